//! What Discord's refusals become.

use conductor_sdk::{RetryScope, testing::Answer};

use super::*;

fn refused(answer: Answer) -> SendError {
    let (host, discord) = bot();
    host.answer(answer);
    discord.send(&message("hello")).unwrap_err()
}

fn refused_with(status: u16, code: u32) -> SendError {
    refused(answer(status).json(&json!({ "code": code, "message": "no" })))
}

#[test]
fn what_discord_will_never_take_is_rejected_with_its_own_code() {
    for (status, code) in [
        (400, 50_035),
        (400, 50_006),
        (400, 50_008),
        (400, 160_005),
        (400, 200_000),
        (400, 220_001),
        (403, 50_001),
        (403, 50_007),
        (403, 50_013),
        (404, 10_003),
        (413, 40_005),
        (400, 50_045),
    ] {
        let outcome = refused_with(status, code);
        assert!(
            matches!(&outcome, SendError::Rejected(problem) if problem.code == code.to_string()),
            "{status} {code}: {outcome:?}"
        );
    }
    assert!(
        matches!(refused(answer(413)), SendError::Rejected(problem) if problem.code == "http_413")
    );
}

#[test]
fn a_wrong_credential_stops_the_channel() {
    for outcome in [refused_with(401, 0), refused_with(401, 50_014), refused(answer(401))] {
        assert!(matches!(outcome, SendError::Misconfigured(_)), "{outcome:?}");
    }
    let (host, discord) = webhook();
    host.answer(answer(404).json(&json!({ "code": 10_015, "message": "Unknown Webhook" })))
        .answer(answer(401).json(&json!({ "code": 50_027, "message": "Invalid Webhook Token" })));
    for _ in 0..2 {
        assert!(matches!(discord.send(&message("x")), Err(SendError::Misconfigured(_))));
    }
}

#[test]
fn a_passing_trouble_is_retried() {
    for (status, code, scope) in [
        (500, 0, RetryScope::Message),
        (502, 0, RetryScope::Message),
        (503, 130_000, RetryScope::Provider),
        (400, 20_028, RetryScope::Destination),
        (429, 20_016, RetryScope::Destination),
        (403, 40_333, RetryScope::Provider),
    ] {
        let outcome = refused_with(status, code);
        assert!(
            matches!(&outcome, SendError::Retry(retry) if retry.scope == scope),
            "{status} {code}: {outcome:?}"
        );
    }
}

fn limited(headers: &[(&str, &str)], retry_after: f64, global: bool) -> (Option<u32>, RetryScope) {
    let limited =
        headers.iter().fold(answer(429), |answer, (name, value)| answer.header(name, value));
    let body = json!({
        "message": "You are being rate limited.", "retry_after": retry_after, "global": global,
    });
    match refused(limited.json(&body)) {
        SendError::Retry(retry) => (retry.after_ms, retry.scope),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_rate_limit_waits_for_the_longer_of_header_and_body() {
    let bucket = ("X-RateLimit-Bucket", "abcd1234");
    // The three examples of Discord's page on rate limits.
    assert_eq!(
        limited(&[("Retry-After", "65"), bucket, ("X-RateLimit-Scope", "user")], 64.57, false),
        (Some(65_000), RetryScope::Destination)
    );
    assert_eq!(
        limited(
            &[("Retry-After", "1337"), bucket, ("X-RateLimit-Scope", "shared")],
            1336.57,
            false
        ),
        (Some(1_337_000), RetryScope::Destination)
    );
    assert_eq!(
        limited(
            &[
                ("Retry-After", "65"),
                ("X-RateLimit-Global", "true"),
                ("X-RateLimit-Scope", "global")
            ],
            64.57,
            true
        ),
        (Some(65_000), RetryScope::Credential)
    );
    // The body alone, and the body longer than the header.
    assert_eq!(limited(&[bucket], 0.3001, false), (Some(301), RetryScope::Destination));
    assert_eq!(
        limited(&[("Retry-After", "1"), ("X-RateLimit-Scope", "user")], 1.5, false),
        (Some(1_500), RetryScope::Credential)
    );
}

#[test]
fn a_ban_of_the_hosts_address_holds_up_the_whole_provider() {
    for status in [429, 403] {
        let outcome =
            refused(answer(status).header("retry-after", "600").body("<html>error 1015</html>"));
        assert!(
            matches!(&outcome, SendError::Retry(retry)
                if retry.scope == RetryScope::Provider && retry.after_ms == Some(600_000)),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_missing_answer_is_safe_to_repeat_for_a_bot_and_unknown_for_a_webhook() {
    let (host, discord) = bot();
    host.fail(HttpError::NoAnswer("timed out".into()))
        .fail(HttpError::Unreachable("refused".into()));
    assert!(matches!(discord.send(&message("x")), Err(SendError::Retry(_))));
    assert!(matches!(discord.send(&message("x")), Err(SendError::Retry(_))));

    let (host, discord) = webhook();
    host.fail(HttpError::NoAnswer("timed out".into()))
        .fail(HttpError::Unreachable("refused".into()));
    assert!(matches!(discord.send(&message("x")), Err(SendError::Unknown(_))));
    assert!(matches!(discord.send(&message("x")), Err(SendError::Retry(_))));
}

#[test]
fn a_success_that_does_not_parse_is_still_delivered() {
    let (host, discord) = bot();
    host.answer(answer(200).body("<html>"));
    assert_eq!(discord.send(&message("x")).unwrap(), Receipt::delivered());
}
