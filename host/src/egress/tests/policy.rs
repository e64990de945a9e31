//! What may be reached, and what a request may be.

use bytes::Bytes;
use http::Request;

use super::kit::{Door, LONG, OK, Provider, Script, get, post};
use crate::{
    egress::{FetchError, parse_url},
    limits,
};

#[tokio::test]
async fn an_allowed_origin_is_reached() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    let request = post(&provider.url("/x?y=1"), "text/plain", "hello");
    let response = door.fetch(request, LONG).await.unwrap();
    assert_eq!((response.status().as_u16(), response.body().as_ref()), (200, &b"ok"[..]));
    let seen = provider.seen().remove(0);
    assert!(seen.starts_with("POST /x?y=1 HTTP/1.1\r\n"), "{seen}");
    assert!(
        seen.contains("\r\ncontent-length: 5\r\n") && seen.ends_with("\r\n\r\nhello"),
        "{seen}"
    );
    let count = door.count();
    assert_eq!((count.requests, count.denied), (1, 0));
    assert!(count.bytes_out > 5 && count.bytes_in > 2, "{count:?}");
}

#[tokio::test]
async fn an_origin_that_is_not_asked_for_or_not_granted_is_denied() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let mut not_asked = Door::to_loopback();
    not_asked.asks = vec![String::from("https://elsewhere.example")];
    let mut not_granted = Door::to_loopback();
    not_granted.grants.hosts.clear();
    for (door, why) in [(not_asked, "does not ask for"), (not_granted, "does not grant")] {
        let door = door.open_alone();
        let error = door.fetch(get(&provider.url("/path")), LONG).await.unwrap_err();
        let FetchError::Denied(text) = &error else { panic!("{error:?}") };
        assert!(text.contains(why) && !text.contains("/path"), "{text}");
        assert_eq!((door.count().requests, door.count().denied), (0, 1));
    }
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn this_machine_is_denied_by_default_in_every_spelling() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let port = provider.address.port();
    let door = Door::to_the_internet().open_alone();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.0.0.1.",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "LOCALHOST",
    ] {
        let url = parse_url(&format!("http://{host}:{port}/")).unwrap();
        let request = Request::get(url).body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Denied(_)), "{host}: {error:?}");
    }
    let metadata = door.fetch(get("http://169.254.169.254/latest"), LONG).await.unwrap_err();
    assert!(matches!(&metadata, FetchError::Denied(text) if text.contains("metadata")));
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_denied_name_is_told_with_its_address_and_the_remedy() {
    let door = Door::to_the_internet().open_alone();
    let error = door.fetch(get("http://localhost:9/"), LONG).await.unwrap_err().to_string();
    for part in ["localhost", "loopback", "[plugin.grants] addresses"] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_granted_range_opens_this_machine_by_address_and_by_name() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    for host in ["127.0.0.1", "localhost"] {
        let url = format!("http://{host}:{}/", provider.address.port());
        assert_eq!(door.fetch(get(&url), LONG).await.unwrap().status(), 200, "{host}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: /else\r\ncontent-length: 0\r\n\r\n";
    let provider = Provider::start(Script::Answer(moved)).await;
    let door = Door::to_loopback().open_alone();
    let response = door.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["location"]),
        (302, &"/else".parse().unwrap())
    );
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn what_frames_the_message_is_not_the_guests_to_set() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Connection",
        "Upgrade",
        "TE",
        "Trailer",
        "Proxy-Authorization",
        "Proxy-Anything",
        "Keep-Alive",
        "Expect",
    ] {
        let request = Request::get(provider.url("/")).header(name, "1").body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{name}: {error:?}");
    }
    for method in ["CONNECT", "TRACE"] {
        let request =
            Request::builder().method(method).uri(provider.url("/")).body(Bytes::new()).unwrap();
        assert!(matches!(door.fetch(request, LONG).await, Err(FetchError::Invalid(_))), "{method}");
    }
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_invalid() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    let url = provider.url("/");
    let long_url = provider.url(&format!("/{}", "x".repeat(limits::EGRESS_URL_BYTES_MAX)));
    let large_body = "x".repeat(limits::EGRESS_REQUEST_BYTES_MAX + 1);
    let large_header = "x".repeat(limits::EGRESS_HEADER_BYTES_MAX);
    for request in [
        get(&long_url),
        post(&url, "text/plain", &large_body),
        Request::get(&url).header("x", large_header).body(Bytes::new()).unwrap(),
    ] {
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{error:?}");
    }
    assert_eq!(provider.accepted(), 0);
}

#[tokio::test]
async fn a_url_that_is_not_plain_http_is_invalid() {
    let door = Door::to_loopback().open_alone();
    for url in ["ftp://x/", "/relative", "http://user:pass@x/", "http://user@x/"] {
        let request = Request::get(url.parse::<http::Uri>().unwrap()).body(Bytes::new()).unwrap();
        let error = door.fetch(request, LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::Invalid(_)), "{url}: {error:?}");
    }
    // The last two would be a host with a user, were they taken for something else than a URL.
    for url in ["", "x", "http://", "http://a b/", "f:///x", "f:@:", "f:x@here.example:443"] {
        assert!(parse_url(url).is_err(), "{url}");
    }
    assert_eq!(
        parse_url("https://bücher.example/a b").unwrap(),
        "https://xn--bcher-kva.example/a%20b"
    );
}

#[tokio::test]
async fn an_empty_post_says_that_it_is_empty() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let door = Door::to_loopback().open_alone();
    let request = Request::post(provider.url("/")).body(Bytes::new()).unwrap();
    door.fetch(request, LONG).await.unwrap();
    assert!(provider.seen().remove(0).contains("\r\ncontent-length: 0\r\n"));
}
