//! Guests that want out.

use super::arena::{all_are_contained, attack};
use crate::kit::{Provider, Reply};

/// The port of a provider.
fn port(provider: &Provider) -> String {
    provider.url("").rsplit_once(':').unwrap().1.to_owned()
}

fn words(word: &str, count: usize) -> String {
    vec![word; count].join(" ")
}

#[tokio::test]
async fn no_spelling_of_an_inner_address_is_reached_however_much_is_granted() {
    let inside = Provider::start().await;
    let port = port(&inside);
    let at = |host: &str| format!("http://{host}:{port}/");
    let targets = [
        at("127.0.0.1"),
        at("127.1"),
        at("2130706433"),
        at("0x7f000001"),
        at("0x7f.0.0.1"),
        at("017700000001"),
        at("0177.0.0.1"),
        at("0.0.0.0"),
        at("[::1]"),
        at("[::]"),
        at("[::ffff:127.0.0.1]"),
        at("[::ffff:7f00:1]"),
        at("[64:ff9b::127.0.0.1]"),
        at("localhost"),
        at("LOCALHOST"),
        // Full-width digits and an ideographic full stop.
        at("１２７.0。0.1"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://2852039166/latest/meta-data/".to_owned(),
        "http://[::ffff:169.254.169.254]/".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://100.100.100.200/".to_owned(),
        "http://192.168.0.1/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ];
    let count = targets.len();
    let by_wasi = targets.clone().map(|url| {
        let (authority, path) = url["http://".len()..].split_once('/').unwrap();
        format!("http {authority} /{path}")
    });
    // What is no ASCII is no authority to `wasi:http`.
    let by_wasi: Vec<String> = by_wasi.into_iter().filter(|target| target.is_ascii()).collect();
    let grants = "hosts = [\"http://*:*\"]";
    let denied = count as f64 - 1.0;
    all_are_contained(vec![
        attack("reach").targets(targets).grants(grants).answered(words("denied", count)).counts(
            "egress_requests_total",
            "outcome=\"denied\"",
            denied,
        ),
        attack("reach_by_wasi")
            .answered(words("denied", by_wasi.len()))
            .targets(by_wasi)
            .grants(grants)
            .counts("egress_requests_total", "outcome=\"denied\"", denied),
    ])
    .await;
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test]
async fn nothing_is_reached_that_is_not_asked_for_and_granted() {
    let (granted, other) = (Provider::start().await, Provider::start().await);
    let grants = format!("hosts = [\"{}\"]\naddresses = [\"127.0.0.1\"]", granted.url(""));
    let (granted_at, other_at) = (granted.url("/"), other.url("/"));
    let in_other = other_at.replace("http://", "");
    let denied = [
        // Another port, another scheme, another host.
        other_at.clone(),
        granted_at.replace("http://", "https://"),
        granted_at.replace("127.0.0.1", "127.0.0.2"),
        granted_at.replace("127.0.0.1", "127.0.0.1.evil.example"),
        // Asked for and not granted; neither.
        "https://asked.invalid/".to_owned(),
        "https://elsewhere.example/".to_owned(),
        // The granted one only seems to be there.
        format!("http://{}#{granted_at}", in_other.trim_end_matches('/')),
        format!("http://{in_other}{granted_at}"),
        format!("http:\\\\{in_other}"),
    ];
    let invalid = [
        format!("{}@{in_other}", granted_at.trim_end_matches('/')),
        format!("{}:x@{in_other}", granted_at.trim_end_matches('/')),
        "file:///etc/passwd".to_owned(),
        format!("ftp://{in_other}"),
        format!("ws://{in_other}"),
        "data:text/plain,x".to_owned(),
        format!("//{in_other}"),
        "http://".to_owned(),
        "http:///".to_owned(),
        "http://127.0.0.1:99999/".to_owned(),
        "http://127.0.0.1 .example/".to_owned(),
        String::new(),
    ];
    let (many_denied, many_invalid) = (denied.len(), invalid.len());
    all_are_contained(vec![
        attack("reach")
            .named("denied")
            .targets(denied)
            .grants(&grants)
            .answered(words("denied", many_denied))
            .counts("egress_requests_total", "outcome=\"denied\"", many_denied as f64),
        attack("reach")
            .named("invalid")
            .targets(invalid)
            .grants(&grants)
            .answered(words("invalid", many_invalid))
            .counts("egress_requests_total", "outcome=\"failed\"", many_invalid as f64),
        attack("reach").named("granted").targets([granted_at]).grants(&grants).answered("200"),
    ])
    .await;
    assert_eq!(other.seen().len(), 0);
    assert!(!granted.seen().is_empty(), "the grant itself works");
}

#[tokio::test]
async fn a_request_cannot_be_made_into_another_one() {
    let provider = Provider::start().await;
    let grants = format!("hosts = [\"{}\"]\naddresses = [\"127.0.0.1\"]", provider.url(""));
    let refused = |idea, count: usize| {
        attack(idea)
            .targets([provider.url("/")])
            .grants(&grants)
            .answered(words("invalid", count))
            .counts("egress_requests_total", "outcome=\"failed\"", count as f64)
    };
    all_are_contained(vec![refused("methods", 5), refused("headers", 12)]).await;
    assert_eq!(provider.seen().len(), 0);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_what_follows_is_judged_anew() {
    let (provider, inside) = (Provider::start().await, Provider::start().await);
    let redirect = |to: &str| Reply::status(302).header("location", to);
    provider.otherwise(redirect(&inside.url("/secret")));
    let grants = format!("hosts = [\"{}\"]\naddresses = [\"127.0.0.1\"]", provider.url(""));
    let metadata = Provider::start().await;
    metadata.otherwise(redirect("http://169.254.169.254/latest/meta-data/"));
    let open = "hosts = [\"http://*:*\"]\naddresses = [\"127.0.0.0/8\", \"169.254.0.0/16\"]";
    let denied = |attack: super::arena::Attack| {
        attack.answered("302 denied").counts("egress_requests_total", "outcome=\"denied\"", 1.0)
    };
    all_are_contained(vec![
        denied(attack("follow").targets([provider.url("/")]).grants(&grants)),
        denied(attack("follow").named("to-metadata").targets([metadata.url("/")]).grants(open)),
    ])
    .await;
    assert_eq!(inside.seen().len(), 0);
}

#[tokio::test]
async fn there_is_no_other_way_out() {
    let provider = Provider::start().await;
    let mut attack_files = attack("files").answered(words("refused", 6));
    attack_files = attack_files.secret("TOKEN", "only-in-the-environment-of-the-host");
    all_are_contained(vec![
        attack("sockets").targets([port(&provider)]).answered(words("refused", 4)),
        attack_files,
        attack("environment").answered("0 0"),
    ])
    .await;
    assert_eq!(provider.seen().len(), 0);
}
