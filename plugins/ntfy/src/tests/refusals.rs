//! What ntfy's refusals become.

use std::time::{Duration, UNIX_EPOCH};

use conductor_sdk::{RetryScope, http::HttpError, testing::Answer};

use super::*;

fn refused(answer: Answer) -> SendError {
    let (host, ntfy) = ntfy(json!({}));
    // 2026-11-21 at 18:00 UTC.
    host.now(UNIX_EPOCH + Duration::from_secs(1_795_284_000)).answer(answer);
    ntfy.send(&message("hello")).unwrap_err()
}

fn refused_with(code: u32) -> SendError {
    let status = u16::try_from(code / 100).unwrap();
    refused(answer(status).json(&json!({ "code": code, "http": status, "error": "no" })))
}

#[test]
fn what_ntfy_will_never_take_is_rejected_with_its_own_code() {
    for code in [40_007, 40_009, 40_014, 40_018, 40_401, 41_301, 41_303, 50_701] {
        let outcome = refused_with(code);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code.to_string()),
            "{code}: {outcome:?}"
        );
    }
    let outcome = refused(answer(413).body("<html>"));
    assert!(matches!(outcome, SendError::Rejected(problem) if problem.code == "http_413"));
}

#[test]
fn a_wrong_credential_stops_the_channel() {
    for outcome in [refused_with(40_101), refused_with(40_301), refused(answer(401))] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_topic_that_the_caller_named_and_may_not_use_concerns_that_message_alone() {
    let (host, ntfy) = ntfy(json!({}));
    host.answer(answer(403).json(&json!({ "code": 40301, "error": "forbidden" })));
    let mut message = message("hello");
    message.target = Some("others".into());
    assert!(matches!(ntfy.send(&message), Err(SendError::Rejected(_))));
}

#[test]
fn a_limit_of_requests_holds_up_the_account() {
    let (code, headers) = (42_901, answer(429).header("retry-after", "7"));
    let outcome = refused(headers.json(&json!({ "code": code, "error": "limit reached" })));
    assert!(
        matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(7_000)
            && retry.scope == RetryScope::Credential && retry.problem.code == "42901"),
        "{outcome:?}"
    );
}

#[test]
fn a_used_up_day_waits_for_midnight() {
    let outcome = refused_with(42_908);
    let six_hours_ms = 6 * 60 * 60 * 1_000;
    assert!(
        matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(six_hours_ms)
            && retry.scope == RetryScope::Credential),
        "{outcome:?}"
    );
}

#[test]
fn a_passing_trouble_is_retried_and_a_missing_answer_is_unknown() {
    for outcome in [refused_with(50_001), refused(answer(502)), refused(answer(408))] {
        assert!(matches!(outcome, SendError::Retry(_)), "{outcome:?}");
    }
    let (host, ntfy) = ntfy(json!({}));
    host.fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(ntfy.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(ntfy.send(&message("x")), Err(SendError::Unknown(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_delivered() {
    let (host, ntfy) = ntfy(json!({}));
    host.answer(answer(200).body("<html>"));
    assert_eq!(ntfy.send(&message("x")).unwrap(), Receipt::delivered());
}
