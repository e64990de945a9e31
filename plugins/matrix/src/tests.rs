use conductor_sdk::{
    HealthStatus, RetryScope,
    http::HttpError,
    testing::{Answer, FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

const ROOM: &str = "!abc:example.org";

fn account_with(mut options: Value) -> (FakeHost, Matrix) {
    let host = FakeHost::install();
    host.secret(ACCESS_TOKEN, "syt_hush");
    options["homeserver"] = json!("https://matrix.example.org/");
    options["room_id"] = json!(ROOM);
    (host, start(options).unwrap())
}

fn account() -> (FakeHost, Matrix) {
    account_with(json!({}))
}

fn sent() -> Answer {
    answer(200).json(&json!({ "event_id": "$event" }))
}

fn refused(answer: Answer) -> SendError {
    let (host, matrix) = account();
    host.answer(answer);
    matrix.send(&message("hello")).unwrap_err()
}

fn refused_with(status: u16, code: &str) -> SendError {
    refused(answer(status).json(&json!({ "errcode": code, "error": "no" })))
}

#[test]
fn the_delivery_key_is_the_transaction_id() {
    let (host, matrix) = account();
    host.answer(sent()).answer(sent());
    let receipt = matrix.send(&message("a <b>")).unwrap();
    assert_eq!(receipt, Receipt::delivered().provider_id("$event"));
    matrix.send(&message("a <b>")).unwrap();
    let [first, second] = host.requests().try_into().unwrap();
    assert_eq!(first.method, "PUT");
    assert_eq!(
        first.url,
        "https://matrix.example.org/_matrix/client/v3/rooms/%21abc%3Aexample.org/send/m.room.message/\
         0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b%3A0"
    );
    assert_eq!(first.url, second.url);
    let bearer = format!("Bearer {}", placeholder(ACCESS_TOKEN));
    assert_eq!(first.header("authorization"), Some(bearer.as_str()));
    assert_eq!(first.json(), json!({ "msgtype": "m.text", "body": "a <b>", "m.mentions": {} }));
}

#[test]
fn markdown_and_a_title_become_html_beside_the_text() {
    let (host, matrix) = account_with(json!({ "message_type": "m.notice" }));
    host.answer(sent());
    let mut message = message("**a** <b>\n- c");
    message.format = Format::Markdown;
    message.title = Some("db & co".into());
    matrix.send(&message).unwrap();
    assert_eq!(
        host.requests()[0].json(),
        json!({
            "msgtype": "m.notice",
            "body": "db & co\na <b>\n\n• c",
            "format": "org.matrix.custom.html",
            "formatted_body":
                "<strong>db &amp; co</strong><br><strong>a</strong> &lt;b&gt;<br><br>• c",
            "m.mentions": {},
        })
    );
}

#[test]
fn a_target_is_a_rooms_id() {
    let (host, matrix) = account();
    let mut message = message("x");
    message.target = Some("!a/../b:example.org".into());
    host.answer(sent());
    matrix.send(&message).unwrap();
    assert!(host.requests()[0].url.contains("/rooms/%21a%2F..%2Fb%3Aexample.org/send/"));
    for bad in ["#alias:example.org", "abc", "!a b"] {
        message.target = Some(bad.into());
        assert_eq!(matrix.send(&message).unwrap_err().problem().code, "invalid_target");
    }
}

#[test]
fn the_parts_of_a_long_message_have_ids_of_their_own() {
    let long = "word\n".repeat(20_000);
    let (_host, matrix) = account();
    assert_eq!(matrix.send(&message(&long)).unwrap_err().problem().code, "too_long");
    let (host, matrix) = account_with(json!({ "overflow": "split" }));
    host.answer(sent()).answer(sent()).answer(sent());
    assert!(matrix.send(&message(&long)).unwrap().details.contains(&("parts".into(), "3".into())));
    let requests = host.requests();
    assert!(requests[0].url.ends_with("%3A0"));
    assert!(requests[1].url.ends_with("%3A0-1"));
    assert!(requests.iter().all(|request| request.body.len() <= CONTENT_BYTES_MAX));
    let (host, matrix) = account_with(json!({ "overflow": "truncate" }));
    host.answer(sent());
    matrix.send(&message(&long)).unwrap();
    assert!(host.requests()[0].json()["body"].as_str().unwrap().ends_with('…'));
}

#[test]
fn a_body_as_long_as_the_manifest_says_fits() {
    let (host, matrix) = account();
    host.answer(sent());
    matrix.send(&message(&"a".repeat(48 * 1_024))).unwrap();
    assert_eq!(manifest::<Matrix>()["bodyMax"], 48 * 1_024);
}

#[test]
fn what_a_homeserver_will_never_take_is_rejected_with_its_own_code() {
    for (status, code) in
        [(403, "M_FORBIDDEN"), (413, "M_TOO_LARGE"), (400, "M_BAD_JSON"), (404, "M_NOT_FOUND")]
    {
        let outcome = refused_with(status, code);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_wrong_token_or_server_stops_the_channel() {
    for outcome in [
        refused_with(401, "M_UNKNOWN_TOKEN"),
        refused_with(401, "M_MISSING_TOKEN"),
        refused_with(403, "M_USER_DEACTIVATED"),
        refused_with(404, "M_UNRECOGNIZED"),
        refused(answer(401)),
        refused(answer(404).body("<html>")),
    ] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_rate_limit_waits_for_the_longer_of_header_and_body() {
    let body = json!({ "errcode": "M_LIMIT_EXCEEDED", "error": "slow", "retry_after_ms": 2_500 });
    for (header, after_ms) in [("1", 2_500), ("3", 3_000)] {
        let outcome = refused(answer(429).header("retry-after", header).json(&body));
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.after_ms == Some(after_ms) && retry.scope == RetryScope::Credential),
            "{outcome:?}"
        );
    }
    assert!(matches!(refused(answer(502)), SendError::Retry(_)));
    assert!(matches!(refused_with(500, "M_UNKNOWN"), SendError::Retry(_)));
}

#[test]
fn a_request_without_an_answer_is_unknown_and_the_host_may_repeat_it() {
    let (host, matrix) = account();
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(matrix.send(&message("x")), Err(SendError::Unknown(_))));
}

#[test]
fn health_asks_whose_token_it_is() {
    let (host, matrix) = account();
    host.answer(answer(200).json(&json!({ "user_id": "@beeper:example.org" })))
        .answer(answer(401).json(&json!({ "errcode": "M_UNKNOWN_TOKEN" })));
    let detail = matrix.health().detail.unwrap();
    assert_eq!(detail, "the homeserver knows the token as @beeper:example.org");
    assert_eq!(matrix.health().status, HealthStatus::Unhealthy);
    assert_eq!(
        host.requests()[0].url,
        "https://matrix.example.org/_matrix/client/v3/account/whoami"
    );
}

#[test]
fn a_homeserver_is_needed() {
    let host = FakeHost::install();
    host.secret(ACCESS_TOKEN, "hush");
    assert!(start::<Matrix>(json!({ "room_id": ROOM })).is_err());
    assert!(start::<Matrix>(json!({ "homeserver": "matrix.example.org" })).is_err());
}
