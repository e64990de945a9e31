//! What Apple's refusals become.

use conductor_sdk::{RetryScope, http::HttpError, testing::Answer};

use super::*;

fn refused(answer: Answer) -> SendError {
    let (host, apns) = apns(&json!({}));
    host.answer(answer);
    apns.send(&message("hello")).unwrap_err()
}

fn refused_with(status: u16, reason: &str) -> SendError {
    refused(answer(status).json(&json!({ "reason": reason })))
}

#[test]
fn what_apple_will_never_take_is_rejected_with_its_reason() {
    for (status, reason) in [
        (400, "BadDeviceToken"),
        (400, "DeviceTokenNotForTopic"),
        (400, "BadCollapseId"),
        (400, "PayloadEmpty"),
        (410, "ExpiredToken"),
        (413, "PayloadTooLarge"),
    ] {
        let outcome = refused_with(status, reason);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == reason
                && problem.detail.contains(reason)),
            "{outcome:?}"
        );
    }
    let gone = json!({ "reason": "Unregistered", "timestamp": 1_795_000_000_000_u64 });
    let outcome = refused(answer(410).json(&gone));
    assert!(
        matches!(&outcome, SendError::Rejected(problem)
            if problem.detail.contains("1795000000000")),
        "{outcome:?}"
    );
}

#[test]
fn a_wrong_key_team_or_topic_stops_the_channel() {
    for (status, reason) in [
        (403, "InvalidProviderToken"),
        (403, "MissingProviderToken"),
        (403, "Forbidden"),
        (403, "BadEnvironmentKeyInToken"),
        (400, "MissingTopic"),
        (400, "BadTopic"),
        (400, "TopicDisallowed"),
        (404, "BadPath"),
        (405, "MethodNotAllowed"),
    ] {
        let outcome = refused_with(status, reason);
        assert!(
            matches!(&outcome, SendError::Misconfigured(problem) if problem.code == reason),
            "{outcome:?}"
        );
    }
}

#[test]
fn each_limit_holds_up_what_it_counts() {
    for (status, reason, scope, after_ms) in [
        (429, "TooManyRequests", RetryScope::Destination, None),
        (429, "TooManyProviderTokenUpdates", RetryScope::Credential, Some(300_000)),
        (403, "ExpiredProviderToken", RetryScope::Credential, None),
        (500, "InternalServerError", RetryScope::Message, None),
        (503, "ServiceUnavailable", RetryScope::Message, None),
        (503, "Shutdown", RetryScope::Message, None),
        (400, "IdleTimeout", RetryScope::Message, None),
    ] {
        let outcome = refused_with(status, reason);
        assert!(
            matches!(&outcome, SendError::Retry(retry) if retry.scope == scope
                && retry.after_ms == after_ms && retry.problem.code == reason),
            "{outcome:?}"
        );
    }
    let limited =
        answer(429).header("retry-after", "4").json(&json!({ "reason": "TooManyRequests" }));
    assert!(matches!(refused(limited), SendError::Retry(retry) if retry.after_ms == Some(4_000)));
}

#[test]
fn a_missing_answer_is_unknown_and_a_missing_connection_is_not() {
    let (host, apns) = apns(&json!({}));
    host.fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(apns.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(apns.send(&message("x")), Err(SendError::Unknown(_))));
    assert!(matches!(refused(answer(502).body("<html>")), SendError::Retry(_)));
}
