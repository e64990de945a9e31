//! What Twilio's refusals become.

use conductor_sdk::{RetryScope, http::HttpError, testing::Answer};

use super::*;

fn refused(answer: Answer) -> SendError {
    let (host, twilio) = twilio(json!({}));
    host.answer(answer);
    twilio.send(&message("hello")).unwrap_err()
}

/// An error as Twilio writes it.
fn refused_with(status: u16, code: u32) -> SendError {
    refused(answer(status).json(&json!({
        "code": code,
        "message": "no",
        "more_info": format!("https://www.twilio.com/docs/errors/{code}"),
        "status": status,
    })))
}

#[test]
fn what_twilio_will_never_take_is_rejected_with_its_own_code() {
    for code in [21_211, 21_214, 21_217, 21_408, 21_608, 21_610, 21_612, 21_614, 21_617] {
        let outcome = refused_with(400, code);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code.to_string()
                && problem.detail == "Twilio: no"),
            "{code}: {outcome:?}"
        );
    }
    assert!(
        matches!(refused(answer(400)), SendError::Rejected(problem) if problem.code == "http_400")
    );
}

#[test]
fn a_wrong_credential_account_or_sender_stops_the_channel() {
    for (status, code) in [
        (401, 20_003),
        (403, 20_005),
        (404, 20_404),
        (400, 21_212),
        (400, 21_603),
        (400, 21_606),
        (400, 21_659),
        (400, 21_660),
        (400, 21_703),
        (404, 21_701),
    ] {
        let outcome = refused_with(status, code);
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{code}: {outcome:?}");
    }
    assert!(matches!(refused(answer(401)), SendError::Misconfigured(_)));
}

#[test]
fn a_full_queue_and_too_many_requests_hold_up_the_account() {
    for limited in [
        answer(429).header("retry-after", "2").json(&json!({ "code": 20_429, "message": "busy" })),
        answer(400).header("retry-after", "2").json(&json!({ "code": 21_611, "message": "full" })),
    ] {
        let outcome = refused(limited);
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.scope == RetryScope::Credential && retry.after_ms == Some(2_000)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_passing_trouble_is_retried_and_a_missing_answer_is_unknown() {
    for outcome in [refused_with(500, 20_500), refused(answer(503)), refused(answer(408))] {
        assert!(matches!(outcome, SendError::Retry(_)), "{outcome:?}");
    }
    let (host, twilio) = twilio(json!({}));
    host.fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(twilio.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(twilio.send(&message("x")), Err(SendError::Unknown(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_accepted() {
    let (host, twilio) = twilio(json!({}));
    host.answer(answer(201).body("<html>"));
    assert_eq!(twilio.send(&message("x")).unwrap(), Receipt::accepted());
}
