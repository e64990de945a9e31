use conductor_sdk::{
    HealthStatus,
    http::HttpError,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

const CHANNEL: &str = "4xp9fdt77pncbef59f4k1qe83o";

fn bot_with(mut options: Value) -> (FakeHost, Mattermost) {
    let host = FakeHost::install();
    host.secret(BOT_TOKEN, "hush");
    options["url"] = json!("https://chat.example.org/");
    options["channel"] = json!(CHANNEL);
    (host, start(options).unwrap())
}

fn bot() -> (FakeHost, Mattermost) {
    bot_with(json!({}))
}

fn webhook() -> (FakeHost, Mattermost) {
    let host = FakeHost::install();
    host.secret(WEBHOOK_KEY, "hush");
    (host, start(json!({ "url": "https://chat.example.org", "priority_labels": true })).unwrap())
}

fn posted() -> Answer {
    answer(201).json(&json!({ "id": "p1" }))
}

fn refusal(status: u16, id: &str) -> Answer {
    answer(status).json(&json!({ "id": id, "message": "no", "status_code": status }))
}

fn by_bot(answer: Answer) -> SendError {
    let (host, mattermost) = bot();
    host.answer(answer);
    mattermost.send(&message("hello")).unwrap_err()
}

fn by_webhook(answer: Answer) -> SendError {
    let (host, mattermost) = webhook();
    host.answer(answer);
    mattermost.send(&message("hello")).unwrap_err()
}

#[test]
fn a_bot_posts_into_the_default_channel() {
    let (host, mattermost) = bot();
    host.answer(posted());
    let mut message = message("*a* @all");
    message.title = Some("db".into());
    message.priority = Priority::Urgent;
    assert_eq!(mattermost.send(&message).unwrap(), Receipt::delivered().provider_id("p1"));
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.url, "https://chat.example.org/api/v4/posts");
    let bearer = format!("Bearer {}", placeholder(BOT_TOKEN));
    assert_eq!(request.header("authorization"), Some(bearer.as_str()));
    assert_eq!(
        request.json(),
        json!({ "channel_id": CHANNEL, "message": "**db**\n\\*a\\* @\u{200b}all" })
    );
}

#[test]
fn a_webhook_posts_where_it_belongs_or_into_a_channel_by_name() {
    let (host, mattermost) = webhook();
    host.answer(answer(200).body("ok")).answer(answer(200).body("ok"));
    let mut message = message("**a**");
    message.format = Format::Markdown;
    assert_eq!(mattermost.send(&message).unwrap(), Receipt::delivered());
    message.target = Some("town-square".into());
    message.priority = Priority::High;
    mattermost.send(&message).unwrap();
    let [first, second] = host.requests().try_into().unwrap();
    assert_eq!(first.url, format!("https://chat.example.org/hooks/{}", placeholder(WEBHOOK_KEY)));
    assert_eq!(first.json(), json!({ "text": "**a**" }));
    assert_eq!(
        second.json(),
        json!({
            "text": "**a**", "channel": "town-square", "priority": { "priority": "important" },
        })
    );
}

#[test]
fn mentions_and_labels_are_there_where_the_options_say_so() {
    let (host, mattermost) = bot_with(json!({ "mentions": true, "priority_labels": true }));
    host.answer(posted());
    let message = Message { priority: Priority::Urgent, ..message("@channel") };
    mattermost.send(&message).unwrap();
    let body = host.requests()[0].json();
    assert_eq!(body["message"], "@channel");
    assert_eq!(body["metadata"], json!({ "priority": { "priority": "urgent" } }));
}

#[test]
fn a_long_message_is_rejected_cut_or_split() {
    let long = "word ".repeat(4_000);
    let (_host, mattermost) = bot();
    assert_eq!(mattermost.send(&message(&long)).unwrap_err().problem().code, "too_long");
    let (host, mattermost) = bot_with(json!({ "overflow": "split" }));
    host.answer(posted()).answer(posted());
    mattermost.send(&message(&long)).unwrap();
    for request in host.requests() {
        assert!(request.json()["message"].as_str().unwrap().chars().count() <= 16_383);
    }
    let (host, mattermost) = bot_with(json!({ "overflow": "truncate" }));
    host.answer(posted());
    mattermost.send(&message(&long)).unwrap();
    assert!(host.requests()[0].json()["message"].as_str().unwrap().ends_with('…'));
}

#[test]
fn one_of_the_two_secrets_is_needed() {
    let host = FakeHost::install();
    let options = || json!({ "url": "https://chat.example.org" });
    assert!(start::<Mattermost>(options()).is_err());
    host.secret(BOT_TOKEN, "a").secret(WEBHOOK_KEY, "b");
    assert!(start::<Mattermost>(options()).is_err());
}

#[test]
fn what_mattermost_will_never_take_is_rejected_with_its_own_code() {
    for (status, id) in [
        (400, "model.post.is_valid.msg.app_error"),
        (403, "api.context.permissions.app_error"),
        (404, "app.channel.get.existing.app_error"),
        (501, "api.something.app_error"),
    ] {
        let outcome = by_bot(refusal(status, id));
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == id),
            "{outcome:?}"
        );
    }
    let outcome = by_webhook(refusal(403, "web.incoming_webhook.channel_locked.app_error"));
    assert!(matches!(outcome, SendError::Rejected(_)), "{outcome:?}");
}

#[test]
fn a_wrong_credential_or_server_stops_the_channel() {
    for outcome in [
        by_bot(refusal(401, "api.context.session_expired.app_error")),
        by_bot(answer(404).body("<html>")),
        by_webhook(refusal(400, "web.incoming_webhook.invalid.app_error")),
        by_webhook(refusal(501, "web.incoming_webhook.disabled.app_error")),
        by_webhook(answer(403)),
    ] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_passing_trouble_is_retried() {
    let outcome = by_bot(answer(429).header("x-ratelimit-reset", "5").body("limit exceeded"));
    assert!(
        matches!(&outcome, SendError::Retry(retry)
            if retry.after_ms == Some(5_000) && retry.scope == RetryScope::Credential),
        "{outcome:?}"
    );
    assert!(matches!(by_bot(refusal(500, "x")), SendError::Retry(_)));
    assert!(matches!(by_webhook(answer(502)), SendError::Retry(_)));
}

#[test]
fn a_request_without_an_answer_may_have_been_delivered() {
    let (host, mattermost) = bot();
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(mattermost.send(&message("x")), Err(SendError::Unknown(_))));
    host.answer(answer(201).body("?"));
    assert_eq!(mattermost.send(&message("x")).unwrap(), Receipt::delivered());
}

#[test]
fn health_asks_whose_token_it_is_or_whether_the_server_is_there() {
    let (host, mattermost) = bot();
    host.answer(answer(200).json(&json!({ "username": "beeper" }))).answer(refusal(401, "x"));
    let detail = mattermost.health().detail;
    assert_eq!(detail.as_deref(), Some("Mattermost knows the token as @beeper"));
    assert_eq!(mattermost.health().status, HealthStatus::Unhealthy);
    let (host, mattermost) = webhook();
    host.answer(answer(200).json(&json!({ "status": "OK" })));
    assert_eq!(mattermost.health().status, HealthStatus::Healthy);
    assert_eq!(host.requests()[0].url, "https://chat.example.org/api/v4/system/ping");
    assert_eq!(manifest::<Mattermost>()["name"], "mattermost");
}
