use std::time::{Duration, UNIX_EPOCH};

use conductor_sdk::{
    http::HttpError,
    json,
    serde_json::Value,
    testing::{FakeHost, answer, manifest, message, placeholder, start},
};

use super::*;

const URL: &str = "https://receiver.example/hook";
/// The key of the published test vector.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn signed() -> (FakeHost, Webhook) {
    let host = FakeHost::install();
    host.secret(SIGNING_SECRET, SECRET).now(UNIX_EPOCH + Duration::from_secs(1_614_265_330));
    let channel = start(json!({ "url": URL })).unwrap();
    (host, channel)
}

fn outcome_of(status: u16) -> Result<Receipt, SendError> {
    let (host, channel) = signed();
    host.answer(answer(status).header("retry-after", "7"));
    channel.send(&message("hello"))
}

#[test]
fn the_published_test_vector_is_signed_right() {
    let (_host, channel) = signed();
    let signature = channel.signature(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1_614_265_330,
        br#"{"test": 2432232314}"#,
    );
    assert_eq!(signature.unwrap(), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[test]
fn a_notification_is_posted_with_id_time_and_signature() {
    let (host, channel) = signed();
    host.answer(answer(204));
    let mut message = message("disk almost full");
    message.title = Some("db-1".into());
    message.target = Some("ops".into());
    message.data = r#"{"usage":0.93}"#.into();

    let receipt = channel.send(&message).unwrap();

    let [request] = host.requests().try_into().unwrap();
    let id = "msg_0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b_0";
    assert_eq!(receipt.provider_id.as_deref(), Some(id));
    assert_eq!((request.method.as_str(), request.url.as_str()), ("POST", URL));
    assert_eq!(request.header("webhook-id"), Some(id));
    assert_eq!(request.header("webhook-timestamp"), Some("1614265330"));
    let signature = channel.signature(id, 1_614_265_330, &request.body).unwrap();
    assert_eq!(request.header("webhook-signature"), Some(signature.as_str()));
    assert_eq!(
        request.json(),
        json!({
            "type": "notification.created",
            "timestamp": "2026-11-21T18:00:00.000Z",
            "data": {
                "id": message.id,
                "message": "disk almost full",
                "format": "plain",
                "priority": "normal",
                "title": "db-1",
                "targetId": "ops",
                "data": { "usage": 0.93 },
            },
        })
    );
}

#[test]
fn a_retry_has_the_same_id_and_body_and_a_replay_has_another_id() {
    let (host, channel) = signed();
    host.answer(answer(500)).answer(answer(204)).answer(answer(204));
    let mut message = message("hello");
    channel.send(&message).unwrap_err();
    message.attempt = 2;
    host.now(UNIX_EPOCH + Duration::from_secs(1_614_265_390));
    channel.send(&message).unwrap();
    message.delivery_key = message.delivery_key.replace(":0", ":1");
    channel.send(&message).unwrap();

    let requests = host.requests();
    let ids: Vec<_> = requests.iter().filter_map(|request| request.header("webhook-id")).collect();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[1], ids[2]);
    assert!(ids.iter().all(|id| !id.contains('.') && id.len() <= 64));
    assert_eq!(requests[0].body, requests[1].body);
    assert_ne!(requests[0].header("webhook-timestamp"), requests[1].header("webhook-timestamp"));
    assert_ne!(requests[0].header("webhook-signature"), requests[1].header("webhook-signature"));
}

#[test]
fn while_a_key_is_changed_both_sign_the_new_one_first() {
    let host = FakeHost::install();
    host.secret(SIGNING_SECRET_OLD, SECRET)
        .secret(SIGNING_SECRET, "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
    let channel: Webhook = start(json!({ "url": URL })).unwrap();
    let both = channel.signature("msg_a", 1, b"{}").unwrap();
    let (_host, old) = signed();
    let [new_part, old_part] = both.split(' ').collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(old.signature("msg_a", 1, b"{}").unwrap(), old_part);
    assert_ne!(new_part, old_part);
}

#[test]
fn sending_unsigned_must_be_asked_for() {
    let host = FakeHost::install();
    let missing = start::<Webhook>(json!({ "url": URL })).err().unwrap();
    assert_eq!(missing.problem.code, "missing_signing_secret");
    assert!(!missing.temporary);

    let channel: Webhook = start(json!({ "url": URL, "unsigned": true })).unwrap();
    host.answer(answer(200));
    channel.send(&message("hello")).unwrap();
    assert_eq!(host.requests()[0].header("webhook-signature"), None);
    assert!(host.requests()[0].header("webhook-id").is_some());

    host.secret(SIGNING_SECRET, SECRET);
    assert!(start::<Webhook>(json!({ "url": URL, "unsigned": true })).is_err());
}

#[test]
fn an_old_key_alone_does_not_count_as_a_key() {
    FakeHost::install().secret(SIGNING_SECRET_OLD, SECRET);
    assert!(start::<Webhook>(json!({ "url": URL })).is_err());
}

#[test]
fn a_key_that_is_no_whsec_stops_the_channel() {
    let host = FakeHost::install();
    host.secret(SIGNING_SECRET, "hunter2");
    let channel: Webhook = start(json!({ "url": URL })).unwrap();
    let error = channel.send(&message("hello")).unwrap_err();
    assert!(matches!(&error, SendError::Misconfigured(problem)
        if problem.code == "unusable_secret" && !problem.detail.contains("hunter2")));
}

#[test]
fn a_credential_travels_as_a_placeholder_and_extra_headers_as_they_are() {
    let (host, _) = signed();
    host.secret(AUTHORIZATION, "Bearer hush").answer(answer(200));
    let channel: Webhook =
        start(json!({ "url": URL, "headers": { "X-Team": "ops" }, "event_type": "alert.raised" }))
            .unwrap();
    channel.send(&message("hello")).unwrap();
    let [request] = host.requests().try_into().unwrap();
    assert_eq!(request.header("authorization"), Some(placeholder(AUTHORIZATION).as_str()));
    assert_eq!(request.header("x-team"), Some("ops"));
    assert_eq!(request.json()["type"], "alert.raised");
    for reserved in ["Webhook-Id", "content-type", "Authorization"] {
        assert!(start::<Webhook>(json!({ "url": URL, "headers": { reserved: "x" } })).is_err());
    }
}

#[test]
fn any_2xx_is_delivered() {
    for status in [200, 201, 202, 204, 299] {
        assert!(outcome_of(status).is_ok(), "{status}");
    }
}

#[test]
fn redirects_and_other_refusals_are_rejected() {
    for status in [301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 413, 422] {
        let outcome = outcome_of(status);
        assert!(matches!(outcome, Err(SendError::Rejected(_))), "{status}: {outcome:?}");
    }
}

#[test]
fn a_gone_endpoint_stops_the_channel() {
    assert!(matches!(outcome_of(410), Err(SendError::Misconfigured(_))));
}

#[test]
fn a_busy_receiver_is_waited_for_as_long_as_it_asks() {
    for status in [429, 502, 503, 504] {
        match outcome_of(status) {
            Err(SendError::Retry(retry)) => {
                assert_eq!(retry.after_ms, Some(7_000), "{status}");
                assert_eq!(retry.scope, RetryScope::Destination, "{status}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    assert!(matches!(outcome_of(500), Err(SendError::Retry(retry))
        if retry.scope == RetryScope::Message));
}

#[test]
fn a_request_without_an_answer_is_unknown_and_an_unsent_one_is_retried() {
    let (host, channel) = signed();
    host.fail(HttpError::NoAnswer("timed out".into()))
        .fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::Denied("not granted".into()));
    let outcome = || channel.send(&message("hello"));
    assert!(matches!(outcome(), Err(SendError::Unknown(_))));
    assert!(matches!(outcome(), Err(SendError::Retry(_))));
    assert!(matches!(outcome(), Err(SendError::Misconfigured(_))));
}

#[test]
fn the_manifest_asks_for_the_origin_of_the_url_alone() {
    let manifest = manifest::<Webhook>();
    assert_eq!(manifest["name"], "webhook");
    assert_eq!(manifest["hosts"], json!(["option:url"]));
    assert_eq!(manifest["optionsSchema"]["required"], json!(["url"]));
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], Value::Bool(false));
}
