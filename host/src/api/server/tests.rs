use std::net::SocketAddr;

use axum::{Extension, Router, routing::get};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

struct Running {
    address: SocketAddr,
    stopping: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

/// Routes: `/` answers with the caller's address, `/slow` after half a second, `/never` never.
async fn start(limits: ServerLimits) -> Running {
    let router = Router::new()
        .route(
            "/",
            get(|Extension(ends): Extension<Ends>| async move { ends.peer.ip().to_string() }),
        )
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                "done"
            }),
        )
        .route("/never", get(std::future::pending::<()>));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stopping = CancellationToken::new();
    let tasks = TaskTracker::new();
    let runner = tasks.clone();
    let token = stopping.clone();
    let ended = tasks.spawn(async move { serve(listener, router, token, &runner, limits).await });
    Running { address, stopping, ended }
}

fn quick() -> ServerLimits {
    ServerLimits {
        connections_max: 8,
        connections_per_source_max: 8,
        header_read_timeout: Duration::from_millis(200),
        grace: Duration::from_secs(5),
    }
}

/// Sends `text` and reads until the server closes.
async fn talk(address: SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // A connection that is reset has said what it had to say.
    drop(stream.read_to_end(&mut answer).await);
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn handlers_know_the_callers_address() {
    let running = start(quick()).await;
    let answer = talk(running.address, &request("/")).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("127.0.0.1"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_is_idle_behind_an_answer_is_closed() {
    let running = start(quick()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn http_2_is_spoken_without_tls() {
    let running = start(quick()).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    // The preface and an empty SETTINGS frame; the answer begins with the server's SETTINGS.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4);
}

#[tokio::test]
async fn a_connection_that_sends_nothing_or_half_a_head_is_closed() {
    let running = start(quick()).await;
    for text in ["", "PRI * HT", "GET / HTTP/1.1\r\nHost"] {
        let started = Instant::now();
        talk(running.address, text).await;
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(150) && took < Duration::from_secs(4), "{text}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let running = start(quick()).await;
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(64 * 1024));
    let answer = talk(running.address, &head).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    let many: String = (0..100).map(|number| format!("X{number}: x\r\n")).collect();
    let answer = talk(running.address, &format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn one_connection_more_than_the_cap_waits_for_a_place() {
    let running = start(ServerLimits { connections_max: 1, ..quick() }).await;
    let slow = request("/slow");
    let started = Instant::now();
    let (first, second) = tokio::join!(talk(running.address, &slow), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        talk(running.address, &request("/")).await
    });
    assert!(first.ends_with("done") && second.ends_with("127.0.0.1"));
    assert!(started.elapsed() >= Duration::from_millis(500));
}

#[tokio::test]
async fn one_source_cannot_have_all_places() {
    let limits = ServerLimits {
        connections_per_source_max: 2,
        header_read_timeout: Duration::from_secs(60),
        ..quick()
    };
    let running = start(limits).await;
    let first = TcpStream::connect(running.address).await.unwrap();
    let second = TcpStream::connect(running.address).await.unwrap();
    assert_eq!(talk(running.address, &request("/")).await, "", "the third is closed");
    let elsewhere = tokio::net::TcpSocket::new_v4().unwrap();
    elsewhere.bind("127.0.0.5:0".parse().unwrap()).unwrap();
    let mut stream = elsewhere.connect(running.address).await.unwrap();
    stream.write_all(request("/").as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("127.0.0.5"), "{answer}");
    // A place that is given back is free again.
    drop((first, second));
    let began = Instant::now();
    while !talk(running.address, &request("/")).await.ends_with("127.0.0.1") {
        assert!(began.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_stop_lets_requests_in_flight_end_and_takes_no_new_ones() {
    let running = start(quick()).await;
    let idle = TcpStream::connect(running.address).await.unwrap();
    let slow = request("/slow");
    let (answer, ()) = tokio::join!(talk(running.address, &slow), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        running.stopping.cancel();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(TcpStream::connect(running.address).await.is_err());
    });
    assert!(answer.ends_with("done"), "{answer}");
    tokio::time::timeout(Duration::from_secs(5), running.ended).await.unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_stop_does_not_wait_longer_than_its_grace() {
    let running = start(ServerLimits { grace: Duration::from_millis(200), ..quick() }).await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(request("/never").as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    running.stopping.cancel();
    tokio::time::timeout(Duration::from_secs(4), running.ended).await.unwrap().unwrap();
}
