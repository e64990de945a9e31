//! Guests that want a secret, or to give one away.

use super::arena::{Attack, all_are_contained, attack};
use crate::kit::{Folder, Provider, TestHost, fixture};

const TOKEN: &str = "tok-5up3r-53cr3t-0123456789abcdef";

fn hostile(idea: &'static str) -> Attack {
    attack(idea).secret("TOKEN", TOKEN)
}

/// Nowhere in what the host wrote or keeps: not as it is, and not in pieces.
fn is_told_nowhere(host: &TestHost) {
    let wrote = format!("{}{}", host.stderr(), host.stdout());
    for piece in [TOKEN, &TOKEN[..8], &TOKEN[TOKEN.len() - 8..]] {
        assert!(!wrote.contains(piece), "\"{piece}\" is in what the host wrote");
    }
}

#[tokio::test]
async fn a_secret_is_found_by_no_name_but_its_own_and_read_by_nobody() {
    let refused = ["refused"; 8].join(" ");
    let host = all_are_contained(vec![
        hostile("guess_secrets").answered(refused).counts(
            "guest_refusals_total",
            "what=\"secret-unknown\"",
            8.0,
        ),
        hostile("reveal").answered("refused").counts(
            "guest_refusals_total",
            "what=\"secret-denied\"",
            1.0,
        ),
    ])
    .await;
    is_told_nowhere(&host);
}

#[tokio::test]
async fn a_placeholder_becomes_the_secret_only_where_that_is_granted() {
    let (granted, other) = (Provider::start().await, Provider::start().await);
    let grants = format!(
        "hosts = [\"{0}\", \"{1}\"]\naddresses = [\"127.0.0.1\"]\n[plugin.grants.secrets]\n\
         TOKEN = [\"{0}\"]",
        granted.url(""),
        other.url("")
    );
    let urls = [other.url("/"), granted.url("/"), other.url(&format!("/?x={}", granted.url("")))];
    let host = all_are_contained(vec![
        hostile("secret_elsewhere")
            .targets(urls)
            .grants(&grants)
            .answered("denied 200 denied")
            .counts("egress_requests_total", "outcome=\"denied\"", 2.0),
    ])
    .await;
    assert_eq!(other.seen().len(), 0);
    assert_eq!(granted.seen()[0].header("authorization"), TOKEN);
    is_told_nowhere(&host);
}

#[tokio::test]
async fn a_secret_that_was_handed_over_is_taken_out_of_all_that_is_kept() {
    let reveals = |idea| hostile(idea).grants("reveal = [\"TOKEN\"]");
    let host = all_are_contained(vec![
        reveals("secret_in_panic").stopped_by("trap"),
        reveals("secret_split_by_length").answered("said"),
        reveals("reveal").answered("[secret]"),
    ])
    .await;
    host.logged(&["panicked at", "the provider did not like"]).await;
    host.logged(&["the secret is"]).await;
    is_told_nowhere(&host);
}

#[tokio::test]
async fn a_secret_that_a_provider_repeats_comes_back_as_its_placeholder_and_is_kept_as_neither() {
    let provider = Provider::start().await;
    provider.otherwise(crate::kit::Reply::status(403).json(&TOKEN.into()));
    let grants = format!("hosts = [\"{}\"]\naddresses = [\"127.0.0.1\"]", provider.url(""));
    let attack = hostile("echo").targets([provider.url("/")]).grants(&grants);
    let host = all_are_contained(vec![attack.says("rejected", "echo", "403 \"[secret]\"")]).await;
    assert_eq!(provider.seen()[0].body, TOKEN.as_bytes());
    is_told_nowhere(&host);
}

#[tokio::test]
async fn a_guest_that_will_not_start_gives_no_secret_as_its_reason() {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("hostile")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"\n[plugin.grants]\nreveal = [\"TOKEN\"]");
    folder.channel(
        "guest",
        "[channel.secrets]\nTOKEN = \"GUEST_TOKEN\"\n[channel.options]\nidea = \
         \"secret_in_refusal\"\nwhen = \"initialize\"",
    );
    folder.env("GUEST_TOKEN", TOKEN);
    let host = TestHost::start_with(folder, &["--degraded"]).await;
    let health = host.health().await.to_string();
    assert!(health.contains("the provider did not like"), "{health}");
    assert!(!health.contains(&TOKEN[..8]), "{health}");
    let answer = host.send("guest", "x").await;
    assert!(!answer.text.contains(&TOKEN[..8]), "{answer:?}");
    is_told_nowhere(&host);
}
