//! What Google's refusals become.

use conductor_sdk::{RetryScope, http::HttpError, testing::Answer};

use super::*;

/// An error as FCM writes it.
fn refusal(status: u16, rpc: &str, own: Option<&str>, message: &str) -> Answer {
    let details = own.map(|code| {
        json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }])
    });
    answer(status).json(&json!({ "error": {
        "code": status, "message": message, "status": rpc,
        "details": details.unwrap_or(json!([])),
    } }))
}

fn refused(answer: Answer) -> SendError {
    let (host, fcm) = fcm(&json!({}));
    grant(&host).answer(answer);
    fcm.send(&message("hello")).unwrap_err()
}

#[test]
fn what_fcm_will_never_take_is_rejected_with_its_own_code() {
    for (status, rpc, own) in [
        (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        (404, "NOT_FOUND", "UNREGISTERED"),
        (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
    ] {
        let outcome = refused(refusal(status, rpc, Some(own), "no"));
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == own
                && problem.detail == "FCM: no"),
            "{outcome:?}"
        );
    }
    // An error of the form has no code of FCM's own.
    let outcome = refused(refusal(400, "INVALID_ARGUMENT", None, "Invalid value"));
    assert!(matches!(outcome, SendError::Rejected(problem) if problem.code == "INVALID_ARGUMENT"));
}

#[test]
fn an_account_or_a_project_that_may_not_send_stops_the_channel() {
    for outcome in [
        refused(refusal(403, "PERMISSION_DENIED", None, "not enabled")),
        refused(refusal(401, "UNAUTHENTICATED", Some("THIRD_PARTY_AUTH_ERROR"), "no APNs key")),
    ] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_token_that_ended_early_is_forgotten_and_the_message_tried_again() {
    let (host, fcm) = fcm(&json!({}));
    grant(&host).answer(refusal(401, "UNAUTHENTICATED", None, "Request had invalid credentials"));
    assert!(matches!(fcm.send(&message("x")), Err(SendError::Retry(_))));
    assert_eq!(host.kept(ACCESS_TOKEN), None);
    grant(&host).answer(answer(200));
    fcm.send(&message("x")).unwrap();
    assert_eq!(host.requests().len(), 4);
}

#[test]
fn a_quota_is_the_projects_unless_the_words_say_the_targets() {
    for (words, header, scope, after_ms) in [
        ("Quota exceeded for quota metric", None, RetryScope::Credential, 60_000),
        ("Message rate exceeded", Some("7"), RetryScope::Credential, 7_000),
        ("Device message rate exceeded", None, RetryScope::Destination, 60_000),
    ] {
        let mut answer = refusal(429, "RESOURCE_EXHAUSTED", Some("QUOTA_EXCEEDED"), words);
        if let Some(seconds) = header {
            answer = answer.header("retry-after", seconds);
        }
        let outcome = refused(answer);
        assert!(
            matches!(&outcome, SendError::Retry(retry) if retry.scope == scope
                && retry.after_ms == Some(after_ms) && retry.problem.code == "QUOTA_EXCEEDED"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_passing_trouble_waits_ten_seconds_at_least() {
    for (answer, after_ms) in [
        (refusal(500, "INTERNAL", Some("INTERNAL"), "no"), 10_000),
        (
            refusal(503, "UNAVAILABLE", Some("UNAVAILABLE"), "no").header("retry-after", "30"),
            30_000,
        ),
        (refusal(503, "UNAVAILABLE", None, "no").header("retry-after", "1"), 10_000),
        (answer(502).body("<html>"), 10_000),
    ] {
        let outcome = refused(answer);
        assert!(
            matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(after_ms)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_missing_answer_is_unknown_from_fcm_and_harmless_from_the_token_server() {
    let (host, fcm) = fcm(&json!({}));
    host.fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(fcm.send(&message("x")), Err(SendError::Retry(_))));
    grant(&host)
        .fail(HttpError::NoAnswer("timed out".into()))
        .fail(HttpError::Unreachable("refused".into()));
    assert!(matches!(fcm.send(&message("x")), Err(SendError::Unknown(_))));
    assert!(matches!(fcm.send(&message("x")), Err(SendError::Retry(_))));
}

#[test]
fn a_refused_assertion_stops_the_channel_and_a_busy_token_server_does_not() {
    let (host, fcm) = fcm(&json!({}));
    host.answer(answer(400).json(&json!({
        "error": "invalid_grant", "error_description": "Invalid JWT Signature.",
    })))
    .answer(answer(503).header("retry-after", "5"))
    .answer(answer(200).body("<html>"));
    let outcome = fcm.send(&message("x")).unwrap_err();
    assert!(
        matches!(&outcome, SendError::Misconfigured(problem) if problem.code == "invalid_grant"
            && problem.detail.contains("Signature")),
        "{outcome:?}"
    );
    let outcome = fcm.send(&message("x")).unwrap_err();
    assert!(matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(5_000)
        && retry.scope == RetryScope::Credential));
    assert!(matches!(fcm.send(&message("x")), Err(SendError::Retry(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_accepted() {
    let (host, fcm) = fcm(&json!({}));
    grant(&host).answer(answer(200).body("<html>"));
    assert_eq!(fcm.send(&message("x")).unwrap(), Receipt::accepted());
}
