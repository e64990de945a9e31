//! What the Cloud API's refusals become.

use conductor_sdk::{RetryScope, http::HttpError, testing::Answer};

use super::*;

/// An error as the Cloud API writes it.
fn refusal(status: u16, code: u32) -> Answer {
    answer(status).json(&json!({ "error": {
        "message": format!("(#{code}) no"),
        "type": "OAuthException",
        "code": code,
        "error_data": { "messaging_product": "whatsapp", "details": "because" },
        "fbtrace_id": "AbC",
    } }))
}

fn refused(answer: Answer) -> SendError {
    let (host, whatsapp) = whatsapp(&json!({}));
    host.answer(answer);
    whatsapp.send(&message("hello")).unwrap_err()
}

#[test]
fn what_whatsapp_will_never_take_is_rejected_with_its_own_code() {
    for code in [100, 130_472, 130_497, 131_008, 131_009, 131_026, 131_047, 131_049, 131_050] {
        let outcome = refused(refusal(400, code));
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code.to_string()
                && problem.detail == format!("WhatsApp: (#{code}) no: because")),
            "{code}: {outcome:?}"
        );
    }
}

#[test]
fn a_credential_or_a_number_that_is_wrong_stops_the_channel() {
    for (status, code) in [
        (401, 0),
        (500, 3),
        (403, 10),
        (400, 33),
        (401, 190),
        (403, 200),
        (403, 299),
        (403, 368),
        (403, 131_031),
        (400, 131_042),
        (400, 133_010),
    ] {
        let outcome = refused(refusal(status, code));
        assert!(
            matches!(&outcome, SendError::Misconfigured(problem) if problem.code == code.to_string()),
            "{code}: {outcome:?}"
        );
    }
    assert!(matches!(refused(answer(404)), SendError::Misconfigured(_)));
}

#[test]
fn a_template_is_the_options_fault_or_the_notifications() {
    let template = json!({ "name": "alert", "language": "en" });
    for (status, code) in
        [(400, 132_000), (404, 132_001), (400, 132_012), (400, 132_015), (400, 132_016)]
    {
        let (host, whatsapp) = whatsapp(&json!({ "template": template }));
        host.answer(refusal(status, code)).answer(refusal(status, code));
        let error = whatsapp.send(&message("x")).unwrap_err();
        assert!(matches!(error, SendError::Misconfigured(_)), "{code}: {error:?}");
        let mut own = message("x");
        own.data = json!({ "whatsapp": { "template": template } }).to_string();
        let error = whatsapp.send(&own).unwrap_err();
        assert!(matches!(error, SendError::Rejected(_)), "{code}: {error:?}");
    }
}

#[test]
fn each_limit_holds_up_what_it_counts() {
    for (code, scope, after_ms) in [
        (4, RetryScope::Credential, None),
        (80_007, RetryScope::Credential, None),
        (130_429, RetryScope::Credential, None),
        (131_048, RetryScope::Credential, None),
        (131_056, RetryScope::Destination, Some(6_000)),
    ] {
        let outcome = refused(refusal(400, code));
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.scope == scope && retry.after_ms == after_ms),
            "{code}: {outcome:?}"
        );
    }
    let outcome = refused(refusal(400, 131_056).header("retry-after", "60"));
    assert!(matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(60_000)));
}

#[test]
fn a_passing_trouble_is_retried_and_a_missing_answer_is_unknown() {
    for outcome in [
        refused(refusal(400, 1)),
        refused(refusal(503, 2)),
        refused(refusal(500, 131_000)),
        refused(refusal(503, 131_016)),
        refused(answer(502).body("<html>")),
        refused(answer(429)),
    ] {
        assert!(matches!(outcome, SendError::Retry(_)), "{outcome:?}");
    }
    let (host, whatsapp) = whatsapp(&json!({}));
    host.fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::NoAnswer("timed out".into()));
    assert!(matches!(whatsapp.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(whatsapp.send(&message("x")), Err(SendError::Unknown(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_accepted() {
    let (host, whatsapp) = whatsapp(&json!({}));
    host.answer(answer(200).body("<html>"));
    assert_eq!(whatsapp.send(&message("x")).unwrap(), Receipt::accepted());
}
