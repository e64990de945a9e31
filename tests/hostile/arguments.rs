//! Guests that hand the host, or want from it, more than anybody can use.

use super::arena::{all_are_contained, attack};

const TOKEN: &str = "a-token-of-some-length-0123456789";
const URL: &str = "http://127.0.0.1:9/";
const GRANTS: &str = "hosts = [\"http://127.0.0.1:9\"]\naddresses = [\"127.0.0.1\"]";

#[tokio::test]
async fn arguments_that_are_too_large_to_take_stop_the_guest() {
    let stopped = |idea| attack(idea).stopped_by("host_call_limit");
    all_are_contained(vec![
        stopped("huge_log_line"),
        stopped("huge_log_fields"),
        stopped("huge_body").targets([URL]).grants(GRANTS),
        stopped("huge_state"),
        stopped("huge_sign").secret("TOKEN", TOKEN),
        stopped("huge_secret_name"),
        stopped("huge_random"),
        stopped("enormous_receipt"),
    ])
    .await;
}

#[tokio::test]
async fn requests_that_are_too_large_to_send_are_refused() {
    let invalid = |idea| {
        attack(idea).targets([URL]).grants(GRANTS).answered("invalid").counts(
            "egress_requests_total",
            "outcome=\"failed\"",
            1.0,
        )
    };
    all_are_contained(vec![
        invalid("large_body"),
        invalid("huge_url"),
        invalid("huge_header"),
        invalid("header_flood"),
    ])
    .await;
}

#[tokio::test]
async fn what_a_guest_says_of_a_message_is_cut_before_it_is_kept() {
    let host = all_are_contained(vec![
        attack("huge_receipt").answered("i".repeat(1024)),
        attack("huge_problem").says("rejected", "c".repeat(1024), "d".repeat(1024)),
        attack("huge_problem").named("for-good").targets(["misconfigured"]).says(
            "misconfigured",
            "c".repeat(1024),
            "d".repeat(1024),
        ),
        attack("control_characters").says("rejected", NOISE, NOISE),
    ])
    .await;
    let health = host.health().await.to_string();
    assert!(health.contains("ccc") && health.len() < 64 << 10, "{} bytes", health.len());
    for line in host.log() {
        assert!(!line.contains(|c: char| c.is_control()), "{line:?}");
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok(), "{line:?}");
    }
}

/// As it is written in the guest: what is kept is told as JSON, where it does no harm.
const NOISE: &str = "a\r\n{\"level\":\"ERROR\"}\n\u{1b}[2J\u{0}\u{202e}\u{7f}";
