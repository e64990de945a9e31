use std::time::{Duration, UNIX_EPOCH};

use conductor_sdk::{
    HealthStatus, RetryScope,
    http::HttpError,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

fn user_with(mut options: Value) -> (FakeHost, RocketChat) {
    let host = FakeHost::install();
    host.secret(AUTH_TOKEN, "hush");
    options["url"] = json!("https://chat.example.org/");
    options["user_id"] = json!("aobEdbYhXfu5hkeqG");
    options["channel"] = json!("#alerts");
    (host, start(options).unwrap())
}

fn user() -> (FakeHost, RocketChat) {
    user_with(json!({}))
}

fn webhook() -> (FakeHost, RocketChat) {
    let host = FakeHost::install();
    host.secret(WEBHOOK_PATH, "id/hush");
    (host, start(json!({ "url": "https://chat.example.org" })).unwrap())
}

fn posted() -> Answer {
    answer(200).json(&json!({ "success": true, "message": { "_id": "m1" } }))
}

fn by_user(answer: Answer) -> SendError {
    let (host, chat) = user();
    host.answer(answer);
    chat.send(&message("hello")).unwrap_err()
}

fn by_webhook(answer: Answer) -> SendError {
    let (host, chat) = webhook();
    host.answer(answer);
    chat.send(&message("hello")).unwrap_err()
}

#[test]
fn a_user_posts_into_the_default_channel() {
    let (host, chat) = user();
    host.answer(posted()).answer(posted());
    let mut message = message("*a* @here");
    message.title = Some("db".into());
    assert_eq!(chat.send(&message).unwrap(), Receipt::delivered().provider_id("m1"));
    message.target = Some("GENERAL".into());
    chat.send(&message).unwrap();
    let [first, second] = host.requests().try_into().unwrap();
    assert_eq!(first.url, "https://chat.example.org/api/v1/chat.postMessage");
    assert_eq!(first.header("x-user-id"), Some("aobEdbYhXfu5hkeqG"));
    assert_eq!(first.header("x-auth-token"), Some(placeholder(AUTH_TOKEN).as_str()));
    assert_eq!(
        first.json(),
        json!({ "channel": "#alerts", "text": "**db**\n\\*a\\* @\u{200b}here" })
    );
    assert_eq!(second.json()["roomId"], "GENERAL");
}

#[test]
fn a_webhook_posts_where_it_belongs() {
    let (host, chat) = webhook();
    host.answer(answer(200).json(&json!({ "success": true })));
    let mut message = message("**a** @all");
    message.format = Format::Markdown;
    assert_eq!(chat.send(&message).unwrap(), Receipt::delivered());
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(
        request.url,
        format!("https://chat.example.org/hooks/{}", placeholder(WEBHOOK_PATH))
    );
    assert_eq!(request.json(), json!({ "text": "**a** @\u{200b}all" }));
}

#[test]
fn either_a_user_or_a_webhook() {
    let host = FakeHost::install();
    host.secret(AUTH_TOKEN, "hush");
    let url = "https://chat.example.org";
    assert!(start::<RocketChat>(json!({ "url": url })).is_err());
    assert!(start::<RocketChat>(json!({ "url": url, "user_id": "u" })).is_ok());
    host.secret(WEBHOOK_PATH, "a/b");
    assert!(start::<RocketChat>(json!({ "url": url, "user_id": "u" })).is_err());
    let (host, chat) =
        (FakeHost::install(), start::<RocketChat>(json!({ "url": url })).err().unwrap());
    assert!(!chat.temporary && host.requests().is_empty());
}

#[test]
fn a_user_needs_a_target() {
    let host = FakeHost::install();
    host.secret(AUTH_TOKEN, "hush");
    let chat: RocketChat =
        start(json!({ "url": "https://chat.example.org", "user_id": "u" })).unwrap();
    assert_eq!(chat.send(&message("x")).unwrap_err().problem().code, "missing_target");
}

#[test]
fn a_long_message_is_rejected_cut_or_split() {
    let long = "word ".repeat(1_500);
    let (_host, chat) = user();
    assert_eq!(chat.send(&message(&long)).unwrap_err().problem().code, "too_long");
    let (host, chat) = user_with(json!({ "overflow": "split" }));
    host.answer(posted()).answer(posted());
    chat.send(&message(&long)).unwrap();
    for request in host.requests() {
        assert!(request.json()["text"].as_str().unwrap().chars().count() <= 5_000);
    }
    let (host, chat) = user_with(json!({ "overflow": "truncate", "mentions": true }));
    host.answer(posted());
    chat.send(&message(&format!("@all {long}"))).unwrap();
    let text = host.requests()[0].json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("@all") && text.ends_with('…'));
}

#[test]
fn an_error_in_a_200_is_an_error() {
    let outcome =
        by_user(answer(200).json(&json!({ "success": false, "error": "invalid-channel" })));
    assert!(
        matches!(&outcome, SendError::Rejected(problem) if problem.code == "invalid-channel"),
        "{outcome:?}"
    );
    let outcome = by_webhook(answer(200).json(&json!({ "success": false })));
    assert!(matches!(outcome, SendError::Rejected(_)), "{outcome:?}");
}

#[test]
fn what_rocket_chat_will_never_take_is_rejected_with_its_own_code() {
    for (status, body, code) in [
        (
            400,
            json!({ "success": false, "error": "x", "errorType": "error-room-not-found" }),
            "error-room-not-found",
        ),
        (
            400,
            json!({ "success": false, "error": "too long [error-message-size-exceeded]" }),
            "error-message-size-exceeded",
        ),
        (413, json!({}), "http_413"),
    ] {
        let outcome = by_user(answer(status).json(&body));
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_wrong_credential_or_server_stops_the_channel() {
    let logged_out = json!({ "status": "error", "message": "You must be logged in to do this." });
    let invalid = json!({ "success": false, "error": "Invalid integration id or token provided." });
    for outcome in [
        by_user(answer(401).json(&logged_out)),
        by_user(answer(403).json(&json!({ "success": false, "error": "unauthorized" }))),
        by_user(answer(404).body("<html>")),
        by_webhook(answer(404).json(&invalid)),
        by_webhook(answer(400).json(&invalid)),
        by_webhook(answer(404)),
    ] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_rate_limit_waits_until_the_moment_that_the_server_says() {
    let (host, chat) = user();
    host.now(UNIX_EPOCH + Duration::from_secs(1_000)).answer(
        answer(429).header("x-ratelimit-reset", "1046000").json(&json!({
            "success": false,
            "error": "Error, too many requests. Please slow down. You must wait 46 seconds before \
                      trying this endpoint again. [error-too-many-requests]",
        })),
    );
    let outcome = chat.send(&message("x")).unwrap_err();
    assert!(
        matches!(&outcome, SendError::Retry(retry)
            if retry.after_ms == Some(46_000)
                && retry.scope == RetryScope::Credential
                && retry.problem.code == "error-too-many-requests"),
        "{outcome:?}"
    );
    assert!(matches!(by_user(answer(502).body("<html>")), SendError::Retry(_)));
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let (host, chat) = user();
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(chat.send(&message("x")), Err(SendError::Unknown(_))));
    host.answer(answer(200).body("?"));
    assert_eq!(chat.send(&message("x")).unwrap(), Receipt::delivered());
}

#[test]
fn health_asks_whose_token_it_is_or_whether_the_server_is_there() {
    let (host, chat) = user();
    host.answer(answer(200).json(&json!({ "success": true, "username": "beeper" })))
        .answer(answer(401));
    assert_eq!(chat.health().detail.as_deref(), Some("Rocket.Chat knows the token as @beeper"));
    assert_eq!(chat.health().status, HealthStatus::Unhealthy);
    let (host, chat) = webhook();
    host.answer(answer(200).json(&json!({ "version": "7", "success": true })));
    assert_eq!(chat.health().status, HealthStatus::Healthy);
    assert_eq!(host.requests()[0].url, "https://chat.example.org/api/info");
    assert_eq!(manifest::<RocketChat>()["name"], "rocketchat");
}
