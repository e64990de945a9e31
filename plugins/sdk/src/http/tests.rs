use std::time::{Duration, UNIX_EPOCH};

use super::{HttpError, Response, get, percent_encode, post};
use crate::{
    RetryScope, SendError, json,
    testing::{FakeHost, answer},
};

fn waiting(value: &str) -> Option<Duration> {
    Response { status: 429, headers: vec![("retry-after".into(), value.into())], body: vec![] }
        .retry_after()
}

#[test]
fn retry_after_is_read_as_seconds_or_fractions_and_never_shortened() {
    assert_eq!(waiting("0"), Some(Duration::ZERO));
    assert_eq!(waiting(" 120 "), Some(Duration::from_secs(120)));
    assert_eq!(waiting("0.0001"), Some(Duration::from_millis(1)));
    assert_eq!(waiting("1.337"), Some(Duration::from_millis(1_337)));
    assert_eq!(waiting("64.5701"), Some(Duration::from_millis(64_571)));
    assert_eq!(waiting("1e300"), Some(Duration::MAX));
    // As many milliseconds are no whole number any more to a float.
    assert_eq!(waiting("333300020262980."), Some(Duration::from_secs(333_300_020_262_980)));
}

#[test]
fn retry_after_that_says_nothing_is_none() {
    for bad in ["", "soon", "-1", "-0.5", "inf", "NaN", "1e400", "Sun, 99 Nov 1994 08:49:37 GMT"] {
        assert_eq!(waiting(bad), None, "{bad}");
    }
}

#[test]
fn retry_after_as_a_date_takes_the_clock_that_waits_longer() {
    let host = FakeHost::install();
    host.now(UNIX_EPOCH + Duration::from_secs(784_111_777));
    // 40 seconds after the example of RFC 9110, section 5.6.7.
    let mut response = Response {
        status: 503,
        headers: vec![("retry-after".into(), "Sun, 06 Nov 1994 08:50:17 GMT".into())],
        body: vec![],
    };
    assert_eq!(response.retry_after(), Some(Duration::from_secs(40)));
    // A provider whose clock is a minute behind ours.
    response.headers.push(("date".into(), "Sun, 06 Nov 1994 08:48:37 GMT".into()));
    assert_eq!(response.retry_after(), Some(Duration::from_secs(100)));
    // A date in the past means "now".
    host.now(UNIX_EPOCH + Duration::from_secs(784_200_000));
    response.headers.pop();
    assert_eq!(response.retry_after(), Some(Duration::ZERO));
}

#[test]
fn a_failure_without_an_answer_becomes_the_outcome_that_fits() {
    let kind = |error: HttpError| SendError::from(error);
    assert!(matches!(kind(HttpError::Invalid("x".into())), SendError::Rejected(_)));
    assert!(matches!(kind(HttpError::Denied("x".into())), SendError::Misconfigured(_)));
    assert!(matches!(kind(HttpError::Unreachable("x".into())), SendError::Retry(_)));
    assert!(matches!(kind(HttpError::NoAnswer("x".into())), SendError::Unknown(_)));
    assert!(matches!(kind(HttpError::TooLarge("x".into())), SendError::Unknown(_)));
}

#[test]
fn a_status_becomes_the_outcome_that_fits() {
    let host = FakeHost::install();
    host.answer(answer(200));
    assert!(get("https://x.example/").fetch().unwrap().error_for_status().is_ok());

    host.answer(answer(429).header("Retry-After", "1.5"));
    match get("https://x.example/").fetch().unwrap().error_for_status() {
        Err(SendError::Retry(retry)) => {
            assert_eq!(retry.after_ms, Some(1_500));
            assert_eq!(retry.scope, RetryScope::Destination);
            assert_eq!(retry.problem.code, "http_429");
        }
        other => panic!("{other:?}"),
    }
    let outcome =
        |status| Response { status, headers: vec![], body: b" no \n way ".to_vec() }.status_error();
    assert!(matches!(outcome(401), SendError::Misconfigured(_)));
    assert!(matches!(outcome(503), SendError::Retry(_)));
    assert!(matches!(outcome(302), SendError::Rejected(_)));
    assert_eq!(outcome(404).problem().detail, "the provider answered 404: no way");
}

#[test]
fn a_request_leaves_as_it_was_built() {
    let host = FakeHost::install();
    host.answer(answer(204)).answer(answer(204));
    post("https://x.example/a")
        .header("X-Tag", "one")
        .header("x-tag", "two")
        .json(&json!({ "a": 1 }))
        .timeout(Duration::from_secs(2))
        .fetch()
        .unwrap();
    post("https://x.example/b").form(&[("to", "+1 23"), ("body", "é&=")]).fetch().unwrap();

    let sent = host.requests();
    assert_eq!(sent[0].method, "POST");
    assert_eq!(sent[0].header("x-tag"), Some("two"));
    assert_eq!(sent[0].header("Content-Type"), Some("application/json"));
    assert_eq!(sent[0].json(), json!({ "a": 1 }));
    assert_eq!(sent[0].timeout_ms, Some(2_000));
    assert_eq!(sent[1].text(), "to=%2B1%2023&body=%C3%A9%26%3D");
    assert_eq!(sent[1].timeout_ms, None);
}

#[test]
fn a_webhook_that_is_gone_stops_the_channel() {
    let outcome = |status| Response { status, headers: vec![], body: vec![] }.webhook_error();
    for status in [401, 403, 404, 410] {
        let outcome = outcome(status);
        assert!(
            matches!(&outcome, SendError::Misconfigured(problem)
                if problem.code == format!("http_{status}")),
            "{outcome:?}"
        );
    }
    assert!(matches!(outcome(400), SendError::Rejected(_)));
    assert!(matches!(outcome(413), SendError::Rejected(_)));
    assert!(matches!(outcome(429), SendError::Retry(_)));
    assert!(matches!(outcome(500), SendError::Retry(_)));
}

#[test]
fn the_time_limit_of_a_request_leaves_room_to_report_it() {
    let host = FakeHost::install();
    host.answer(answer(204)).answer(answer(204));
    super::budget::begin(Duration::from_secs(10));
    get("https://x.example/").fetch().unwrap();
    get("https://x.example/").timeout(Duration::from_secs(60)).fetch().unwrap();
    super::budget::end();
    let sent = host.requests();
    assert_eq!(sent[0].timeout_ms, Some(9_900));
    assert!(sent[1].timeout_ms.unwrap() <= 9_900);
}

#[test]
fn percent_encoding_leaves_unreserved_characters_alone() {
    assert_eq!(percent_encode("aZ0-._~ /ü"), "aZ0-._~%20%2F%C3%BC");
}

#[test]
fn a_header_is_set_where_there_is_a_value_and_a_token_as_bearer() {
    let host = FakeHost::install();
    host.answer(answer(200));
    let request =
        get("https://a.example").header_if("x-a", Some("1")).header_if("x-b", None::<&str>);
    request.bearer("t").fetch().unwrap();
    let sent = &host.requests()[0];
    assert_eq!((sent.header("x-a"), sent.header("x-b")), (Some("1"), None));
    assert_eq!(sent.header("authorization"), Some("Bearer t"));
}
