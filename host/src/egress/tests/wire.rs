//! Time limits, size limits, and what a failure says about what the provider has seen.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::kit::{Door, LONG, OK, Provider, Script, get, impatient, post};
use crate::{egress::FetchError, limits};

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
const ENDLESS: &str = "HTTP/1.1 200 OK\r\n\r\n";

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get(&format!("http://{address}/path")), LONG).await.unwrap_err();
    let FetchError::Unreachable(text) = &error else { panic!("{error:?}") };
    assert!(text.contains("refused") && !text.contains("/path"), "{text}");
    assert!(error.nothing_sent());
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_unreachable() {
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get("http://no-such-name.invalid/"), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_provider_that_says_nothing_gives_no_answer() {
    let provider = Provider::start(Script::Silence).await;
    let door = Door::to_loopback().open(&impatient(100, 100));
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn a_provider_that_hangs_up_gives_no_answer_and_is_not_asked_twice() {
    let provider = Provider::start(Script::Close).await;
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(post(&provider.url("/"), "text/plain", "x"), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn a_time_limit_that_ends_before_the_connection_is_there_is_unreachable() {
    // TLS to a provider that accepts and says nothing: the handshake never ends.
    let provider = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/", provider.local_addr().unwrap());
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get(&url), Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
}

#[tokio::test]
async fn a_pause_inside_the_body_ends_it() {
    let provider = Provider::start(Script::Drip(HEAD, "x", 2_000)).await;
    let door = Door::to_loopback().open(&impatient(1_000, 100));
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn a_dripping_body_ends_with_the_whole_time() {
    let provider = Provider::start(Script::Drip(HEAD, "x", 20)).await;
    let door = Door::to_loopback().open_alone();
    let started = Instant::now();
    let error = door.fetch(get(&provider.url("/")), Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_dripping_head_ends_with_the_first_byte_limit() {
    let provider = Provider::start(Script::Drip("HTTP/1.1 200 OK\r\n", "x: y\r\n", 20)).await;
    let door = Door::to_loopback().open(&impatient(200, 100));
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn an_endless_body_is_read_to_the_cap_only() {
    let block: &'static str = Box::leak("x".repeat(64 * 1024).into_boxed_str());
    let provider = Provider::start(Script::Drip(ENDLESS, block, 0)).await;
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(_)), "{error:?}");
}

#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read() {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
        limits::EGRESS_RESPONSE_BYTES_MAX + 1
    );
    let provider = Provider::start(Script::Answer(Box::leak(head.into_boxed_str()))).await;
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLarge(_)), "{error:?}");
}

#[tokio::test]
async fn headers_beyond_the_cap_are_too_large() {
    let few_long = format!("x: {}\r\n", "y".repeat(limits::EGRESS_HEADER_BYTES_MAX));
    let many_short = "x: y\r\n".repeat(200);
    let enormous = format!("x: {}\r\n", "y".repeat(1024 * 1024));
    for headers in [few_long, many_short, enormous] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n{headers}\r\n");
        let provider = Provider::start(Script::Answer(Box::leak(answer.into_boxed_str()))).await;
        let door = Door::to_loopback().open_alone();
        let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge(_)), "{error:?}");
    }
}

#[tokio::test]
async fn an_answer_is_not_decompressed() {
    let answer =
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x0b\x08\x00";
    let provider = Provider::start(Script::Answer(answer)).await;
    let door = Door::to_loopback().open_alone();
    let response = door.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    assert_eq!(response.body().as_ref(), b"\x1f\x0b\x08\x00");
    assert!(!provider.seen().remove(0).to_lowercase().contains("accept-encoding"));
}

#[tokio::test]
async fn a_body_that_is_cut_off_gives_no_answer() {
    let provider = Provider::start(Script::AnswerAndClose(HEAD)).await;
    let door = Door::to_loopback().open_alone();
    let error = door.fetch(get(&provider.url("/")), LONG).await.unwrap_err();
    assert!(matches!(error, FetchError::NoAnswer(_)), "{error:?}");
}

#[tokio::test]
async fn what_is_about_the_connection_does_not_reach_the_guest() {
    let answer = "HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nkeep-alive: timeout=5\r\n\
                  proxy-authenticate: x\r\nx: y\r\ncontent-length: 0\r\n\r\n";
    let provider = Provider::start(Script::Answer(answer)).await;
    let door = Door::to_loopback().open_alone();
    let response = door.fetch(get(&provider.url("/")), LONG).await.unwrap();
    let mut names: Vec<&str> = response.headers().keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["content-length", "x"]);
}

#[tokio::test]
async fn waiting_for_a_slot_counts_against_the_time_and_sends_nothing() {
    let provider = Provider::start(Script::Silence).await;
    let mut door = Door::to_loopback();
    door.egress_max = 1;
    let door = door.open_alone();
    let first = door.fetch(get(&provider.url("/")), Duration::from_millis(600));
    let second = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        door.fetch(get(&provider.url("/")), Duration::from_millis(200)).await
    };
    let (first, second) = tokio::join!(first, second);
    assert!(matches!(first, Err(FetchError::NoAnswer(_))), "{first:?}");
    assert!(matches!(second, Err(FetchError::Unreachable(_))), "{second:?}");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn a_pooled_connection_that_the_provider_closed_is_replaced_without_an_error() {
    let provider = Provider::start(Script::AnswerAndClose(OK)).await;
    let door = Door::to_loopback().open_alone();
    for sent in 1..=3 {
        let request = post(&provider.url("/"), "text/plain", "x");
        assert_eq!(door.fetch(request, LONG).await.unwrap().status(), 200);
        assert_eq!(provider.seen().len(), sent);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
