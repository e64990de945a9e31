//! Providers that are in league with their plugin, or hostile by themselves: answers that never
//! begin, never end, or are not what they say.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use super::arena::{Attack, all_are_contained, attack};
use crate::kit::Provider;

/// A text for the rest of the test.
fn leaked(text: String) -> &'static [u8] {
    text.leak().as_bytes()
}

/// A server that writes to every connection what `serve` wants, whatever it is asked.
struct Wire {
    authority: String,
    server: JoinHandle<()>,
}

impl Wire {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let server = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = [0; 4096];
                let _asked = stream.read(&mut head).await;
                let serving = serve(stream);
                tokio::spawn(async move {
                    // The host hangs up on most of these.
                    let _hung_up = serving.await;
                });
            }
        });
        Self { authority, server }
    }

    /// One that writes `head`, and then `more` again and again with pauses.
    async fn endless(head: &'static str, more: &'static [u8], pause_ms: u64) -> Self {
        Self::start(move |mut stream| async move {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(more).await?;
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
        })
        .await
    }

    fn attack(&self, idea: &'static str) -> Attack {
        let grants =
            format!("hosts = [\"http://{}\"]\naddresses = [\"127.0.0.1\"]", self.authority);
        attack(idea).targets([format!("http://{}/", self.authority)]).grants(&grants)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.server.abort();
    }
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
const WALL: &str = "wall_ms = 1500";

#[tokio::test]
async fn an_answer_that_never_ends_is_given_up() {
    let drip = Wire::endless(CHUNKED, b"1\r\nx\r\n", 50).await;
    let slow_head = Wire::endless("HTTP/1.1 200 OK\r\n", b"x-more: x\r\n", 50).await;
    let hints = Wire::endless("", b"HTTP/1.1 103 Early Hints\r\n\r\n", 5).await;
    let silent = Wire::endless("", b"", 50).await;
    let ends = |wire: &Wire, name| {
        wire.attack("reach").named(name).limits(WALL).answered("no-answer").counts(
            "egress_requests_total",
            "outcome=\"timeout\"",
            1.0,
        )
    };
    all_are_contained(vec![
        ends(&drip, "drip"),
        ends(&slow_head, "slow-head"),
        ends(&hints, "hints"),
        ends(&silent, "silent"),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_given_up_at_the_limit() {
    let endless =
        Wire::endless(CHUNKED, leaked(format!("1000\r\n{}\r\n", "x".repeat(4096))), 0).await;
    let announced =
        Wire::endless("HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n", b"x", 50).await;
    let headers = Wire::endless(
        "HTTP/1.1 200 OK\r\n",
        leaked(format!("x-more: {}\r\n", "x".repeat(4096))),
        0,
    )
    .await;
    let ends = |wire: &Wire, name| {
        wire.attack("reach").named(name).answered("too-large").counts(
            "egress_requests_total",
            "outcome=\"too-large\"",
            1.0,
        )
    };
    all_are_contained(vec![
        ends(&endless, "endless"),
        ends(&announced, "announced"),
        ends(&headers, "headers"),
    ])
    .await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_answer() {
    let garbage = Wire::start(|mut stream| async move {
        stream.write_all(b"\x16\x03\x01 this is no HTTP\r\n\r\n").await
    })
    .await;
    let broken_off = Wire::start(|mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nbegun").await
    })
    .await;
    let closed = Wire::start(|stream| async move {
        drop(stream);
        Ok(())
    })
    .await;
    let twice = Wire::start(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy";
        stream.write_all(head.as_bytes()).await
    })
    .await;
    let ends = |wire: &Wire, name| {
        wire.attack("reach").named(name).answered("no-answer").counts(
            "egress_requests_total",
            "outcome=\"timeout\"",
            1.0,
        )
    };
    all_are_contained(vec![
        ends(&garbage, "garbage"),
        ends(&broken_off, "broken-off"),
        ends(&closed, "closed"),
        ends(&twice, "two-lengths"),
    ])
    .await;
}

#[tokio::test]
async fn a_compressed_answer_is_handed_over_as_it_is() {
    // What it says does not matter: nobody here unpacks anything.
    let bomb = Wire::start(|mut stream| async move {
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 1000\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&[0x1f; 1000]).await
    })
    .await;
    all_are_contained(vec![bomb.attack("reach").answered("200")]).await;
}

fn grants(provider: &Provider) -> String {
    format!("hosts = [\"{}\"]\naddresses = [\"127.0.0.1\"]", provider.url(""))
}

/// For the ideas that speak `wasi:http`: authority and path.
fn target(provider: &Provider) -> [String; 1] {
    [format!("{} /", provider.url("").replace("http://", ""))]
}

#[tokio::test]
async fn what_a_guest_leaves_with_the_host_is_bounded() {
    let provider = Provider::start().await;
    provider.otherwise(crate::kit::Reply::status(200).json(&"x".repeat(900 << 10).into()));
    let held = |idea| {
        let attack = attack(idea).targets(target(&provider)).grants(&grants(&provider));
        attack.counts("guest_refusals_total", "what=\"held-bytes\"", 1.0)
    };
    all_are_contained(vec![
        // Nine of 900 KiB fit into 8 MiB.
        held("hoard_answers").answered("9 kept, 91 refused"),
        // What a guest has written is counted when the host takes it in, which on a busy machine is
        // after the guest has gone on to the next.
        held("hoard_bodies").answered("9 kept, 91 refused").or("10 kept, 90 refused"),
    ])
    .await;
}

#[tokio::test]
async fn a_thousand_requests_at_once_are_as_many_as_the_channel_may_have() {
    let provider = Provider::start().await;
    provider.hold();
    let attack = attack("many_requests").targets(target(&provider)).grants(&grants(&provider));
    let attack = attack.limits("egress_max = 4\nwall_ms = 1500").stopped_by("timeout");
    all_are_contained(vec![attack]).await;
    // A message is sent six times over, never two at a time after the first fault; each leaves with
    // its four requests and no more.
    let seen = provider.seen().len();
    assert!((4..=4 * 7).contains(&seen), "{seen} requests were let through");
}

#[tokio::test]
async fn a_request_that_is_never_finished_ends_with_its_call() {
    let provider = Provider::start().await;
    let attack = attack("unfinished_body").targets(target(&provider)).grants(&grants(&provider));
    all_are_contained(vec![attack.limits("wall_ms = 500").stopped_by("timeout")]).await;
    assert_eq!(provider.seen().len(), 0, "half a request is none");
}
