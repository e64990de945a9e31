//! Every denial has a reason that is told, and what is only reported goes out.

use std::sync::Mutex;

use bytes::Bytes;
use http::Request;

use super::kit::{Door, LONG, OK, Provider, Script, get, post};
use crate::{
    config::GrantMode,
    egress::{BindingEgress, Denial, DenialReason, FetchError},
    limits,
};

const TOKEN: &str = "tok-5f2a9c7714e0-secret";

async fn told(door: &BindingEgress, request: Request<Bytes>) -> (bool, Vec<Denial>) {
    let told = Mutex::new(Vec::new());
    let answer = door.fetch_told(request, LONG, &|denial| told.lock().unwrap().push(denial)).await;
    (answer.is_ok(), told.into_inner().unwrap())
}

fn with_hosts(hosts: &[&str]) -> Door {
    let mut door = Door::to_loopback();
    door.grants.hosts = hosts.iter().map(|host| host.parse().unwrap()).collect();
    door
}

#[tokio::test]
async fn each_refusal_is_told_with_its_reason_and_its_origin() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let port = provider.address.port();
    let url = provider.url("/path?query");
    let here = format!("http://127.0.0.1:{port}");
    let mut not_asked = Door::to_loopback();
    not_asked.asks = vec![String::from("https://a.example")];
    let mut other_secret = Door::to_loopback().with_secret("TOKEN", TOKEN);
    let elsewhere = vec!["https://a.example".parse().unwrap()];
    other_secret.grants.secrets.insert(String::from("TOKEN"), elsewhere);
    let other_secret = other_secret.open_alone();
    let placeholder = other_secret.vault().placeholder("TOKEN").unwrap();
    let open = Door::to_loopback().open_alone();
    let framed = Request::get(&url).header("te", "x").body(Bytes::new()).unwrap();
    let traced = Request::builder().method("TRACE").uri(&url).body(Bytes::new()).unwrap();
    let large = post(&url, "text/plain", &"x".repeat(limits::EGRESS_REQUEST_BYTES_MAX + 1));
    for (door, request, reason, origin, lacks_grant) in [
        (&not_asked.open_alone(), get(&url), DenialReason::NotAsked, Some(&*here), false),
        (
            &with_hosts(&["https://a.example"]).open_alone(),
            get(&url),
            DenialReason::NotGranted,
            Some(&*here),
            true,
        ),
        (
            &with_hosts(&["http://127.0.0.1"]).open_alone(),
            get(&url),
            DenialReason::Port,
            Some(&*here),
            true,
        ),
        (
            &with_hosts(&["https://127.0.0.1"]).open_alone(),
            get(&url),
            DenialReason::Scheme,
            Some(&*here),
            true,
        ),
        (
            &Door::to_the_internet().open_alone(),
            get(&url),
            DenialReason::Address,
            Some(&*here),
            false,
        ),
        (
            &Door::to_the_internet().open_alone(),
            get("http://localhost/x"),
            DenialReason::Address,
            Some("http://localhost"),
            false,
        ),
        (
            &other_secret,
            get(&provider.url(&format!("/{placeholder}"))),
            DenialReason::Secret,
            Some(&*here),
            false,
        ),
        (&open, framed, DenialReason::Header, Some(&*here), false),
        (&open, traced, DenialReason::Method, Some(&*here), false),
        (&open, large, DenialReason::Size, Some(&*here), false),
        (&open, get("ftp://x.example/"), DenialReason::Scheme, Some("ftp://x.example"), false),
        (
            &open,
            get("http://me@x.example/"),
            DenialReason::Malformed,
            Some("http://x.example"),
            false,
        ),
    ] {
        let (went_out, told) = told(door, request).await;
        let secret = (reason == DenialReason::Secret).then(|| String::from("TOKEN"));
        let origin = origin.map(str::to_owned);
        assert_eq!(told, [Denial { reason, origin, secret, lacks_grant, enforced: true }]);
        assert!(!went_out);
    }
    assert_eq!(provider.accepted(), 0);
    assert_eq!(told(&open, get(&url)).await, (true, Vec::new()));
}

#[tokio::test]
async fn a_grant_that_is_only_reported_lets_out_and_tells() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let mut door = with_hosts(&["https://a.example"]);
    door.grants.mode = GrantMode::ReportOnly;
    let door = door.open_alone();
    let (went_out, told) = told(&door, get(&provider.url("/path"))).await;
    assert!(went_out);
    let origin = Some(provider.url(""));
    let reason = DenialReason::NotGranted;
    assert_eq!(told, [Denial { reason, origin, secret: None, lacks_grant: true, enforced: false }]);
    assert_eq!((door.count().denied, door.count().unenforced), (0, 1));
}

#[tokio::test]
async fn report_only_loosens_neither_what_is_asked_nor_addresses_nor_secrets() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let report_only = |mut door: Door| {
        door.grants.hosts.clear();
        door.grants.mode = GrantMode::ReportOnly;
        door
    };
    let mut not_asked = report_only(Door::to_loopback());
    not_asked.asks = vec![String::from("https://a.example")];
    let url = provider.url("/");
    assert!(matches!(
        not_asked.open_alone().fetch(get(&url), LONG).await,
        Err(FetchError::Denied(_))
    ));
    let inward = report_only(Door::to_the_internet()).open_alone();
    for url in [url.as_str(), "http://169.254.169.254/latest", "http://localhost/"] {
        let (went_out, told) = told(&inward, get(url)).await;
        assert!(!went_out, "{url}");
        let reasons: Vec<_> = told.iter().map(|told| (told.reason, told.enforced)).collect();
        let expected = [(DenialReason::NotGranted, false), (DenialReason::Address, true)];
        assert_eq!(reasons, expected, "{url}");
    }
    let secret = report_only(Door::to_loopback().with_secret("TOKEN", TOKEN)).open_alone();
    let placeholder = secret.vault().placeholder("TOKEN").unwrap();
    let (went_out, told) = told(&secret, get(&provider.url(&format!("/{placeholder}")))).await;
    assert!(!went_out && told[1].reason == DenialReason::Secret, "{told:?}");
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_looks_like_a_granted_one_is_another() {
    let door = with_hosts(&["https://apple.example", "https://*.apple.example"]).open_alone();
    for url in [
        // Cyrillic, fullwidth with another ending, a trailing dot, user names, ports, deeper names.
        "https://аpple.example/",
        "https://xn--pple-43d.example/",
        "https://apple.example.evil.example/",
        "https://apple.example./",
        "https://x.apple.example./",
        "https://evilapple.example/",
        "https://apple.example:8443/",
        "http://apple.example/",
        "https://apple%2eexample.evil.example/",
    ] {
        let url = crate::egress::parse_url(url).unwrap();
        let request = Request::get(url.clone()).body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Denied(_)), "{url}: {error:?}");
    }
    // Other spellings of the same name are the same name: these get as far as looking it up.
    for url in ["https://APPLE.example/", "https://ａpple.example/", "https://%61pple.example:443/"]
    {
        let url = crate::egress::parse_url(url).unwrap();
        assert_eq!(url.host(), Some("apple.example"));
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    }
}

#[tokio::test]
async fn this_machine_is_denied_in_the_spellings_that_only_parsers_know() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let port = provider.address.port();
    let door = Door::to_the_internet().open_alone();
    for host in [
        "１２７.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "0177.0.0.0x1",
        "017700000001",
        "127.0.1",
        "[::7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "ⓛocalhost",
    ] {
        let url = crate::egress::parse_url(&format!("http://{host}:{port}/")).unwrap();
        let request = Request::get(url.clone()).body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Denied(_)), "{host} is {url}: {error:?}");
    }
    for host in ["[fe80::1%25eth0]", "[fe80::1%eth0]", "127.0.0.1:99999"] {
        assert!(crate::egress::parse_url(&format!("http://{host}/")).is_err(), "{host}");
    }
    // What stands in front of the "@" is a user name, whatever it looks like.
    let url = crate::egress::parse_url(&format!("http://[::1]@127.0.0.1:{port}/")).unwrap();
    let request = Request::get(url).body(Bytes::new()).unwrap();
    let error = door.fetch(request, LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Invalid(_)), "{error:?}");
    assert_eq!(provider.accepted(), 0);
}
