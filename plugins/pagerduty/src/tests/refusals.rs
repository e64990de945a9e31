//! What PagerDuty's refusals become.

use conductor_sdk::testing::Answer;

use super::*;

fn refused(answer: Answer) -> SendError {
    let (host, pagerduty) = pagerduty(json!({}));
    host.answer(answer);
    pagerduty.send(&message("hello")).unwrap_err()
}

#[test]
fn what_pagerduty_will_never_take_is_rejected_with_its_words() {
    // The example of its description.
    let outcome = refused(answer(400).json(&json!({
        "status": "Unrecognized object",
        "message": "Event object format is unrecognized",
        "errors": ["JSON parse error"],
    })));
    assert!(
        matches!(&outcome, SendError::Rejected(problem) if problem.code == "http_400"
            && problem.detail == "PagerDuty: Event object format is unrecognized; JSON parse error"),
        "{outcome:?}"
    );
    assert!(matches!(refused(answer(413)), SendError::Rejected(_)));
}

#[test]
fn a_wrong_key_stops_the_channel() {
    let outcome = refused(answer(400).json(&json!({
        "status": "invalid event",
        "message": "Event object is invalid",
        "errors": ["Length of 'routing_key' is incorrect (should be 32 characters)"],
    })));
    assert!(
        matches!(&outcome, SendError::Misconfigured(problem)
            if problem.code == "invalid_routing_key"),
        "{outcome:?}"
    );
    for outcome in [401, 403, 404].map(|status| refused(answer(status))) {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
}

#[test]
fn a_rate_limit_holds_up_the_key_for_some_minutes() {
    for (limited, after_ms) in
        [(answer(429), 120_000), (answer(429).header("retry-after", "30"), 30_000)]
    {
        let outcome = refused(limited);
        assert!(
            matches!(&outcome, SendError::Retry(retry) if retry.after_ms == Some(after_ms)
                && retry.scope == RetryScope::Credential),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_passing_trouble_and_a_missing_answer_are_retried_under_the_same_key() {
    for outcome in [500, 502, 503, 408].map(|status| refused(answer(status))) {
        assert!(matches!(outcome, SendError::Retry(_)), "{outcome:?}");
    }
    let (host, pagerduty) = pagerduty(json!({}));
    host.fail(HttpError::NoAnswer("timed out".into()))
        .fail(HttpError::Unreachable("refused".into()))
        .fail(HttpError::Denied("not granted".into()));
    for _ in 0..2 {
        assert!(matches!(pagerduty.send(&message("x")), Err(SendError::Retry(_))));
    }
    assert!(matches!(pagerduty.send(&message("x")), Err(SendError::Misconfigured(_))));
    let keys: Vec<Value> =
        host.requests().iter().map(|request| request.json()["dedup_key"].clone()).collect();
    assert_eq!(keys[0], keys[1]);
}

#[test]
fn a_success_that_does_not_parse_is_still_a_success() {
    let (host, pagerduty) = pagerduty(json!({}));
    host.answer(answer(202).body("<html>"));
    let message = message("x");
    let receipt = pagerduty.send(&message).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id(&message.delivery_key));
}
