//! A provider on plain TCP, so that it can misbehave below HTTP. It does so for its first requests
//! and is well from then on.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What it does instead of answering.
#[derive(Clone, Debug)]
pub(crate) enum Trick {
    /// Writes this, and closes in good order.
    Answer(String),
    /// Writes this, and then one byte after the other, this far apart, until nobody listens.
    Drip(&'static str, Duration),
    /// Writes this, and says nothing more.
    Silence(&'static str),
    /// Writes this, and resets the connection.
    Reset(&'static str),
    /// Writes this head, and then a body in pieces that is larger than anybody wants.
    Flood(&'static str),
}

/// The answer of a provider that is well. Discord's and a webhook's receiver's at once.
fn well() -> String {
    answer("200 OK", &["content-type: application/json"], r#"{"id":"1","channel_id":"4711"}"#)
}

/// A message that arrived, and when.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    pub(crate) at: Instant,
    /// Head and body.
    pub(crate) text: String,
}

/// One provider, on an address of its own: what the host remembers of one it cannot hold against
/// another.
#[derive(Debug)]
pub(crate) struct Chaos {
    address: SocketAddr,
    arrived: Arc<Mutex<Vec<Arrived>>>,
    server: JoinHandle<()>,
}

impl Chaos {
    /// Misbehaves at the first `times` messages.
    pub(crate) async fn start(host: &str, trick: Trick, times: usize) -> Self {
        let listener = TcpListener::bind((host, 0)).await.unwrap();
        Self::on(listener, Some((trick, times)))
    }

    /// Is well from the first.
    pub(crate) async fn well(address: SocketAddr) -> Self {
        Self::on(TcpListener::bind(address).await.unwrap(), None)
    }

    fn on(listener: TcpListener, trick: Option<(Trick, usize)>) -> Self {
        let address = listener.local_addr().unwrap();
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let log = Arc::clone(&arrived);
        let server = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, trick.clone(), Arc::clone(&log)));
            }
        });
        Self { address, arrived, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The messages that arrived.
    pub(crate) fn arrived(&self) -> Vec<Arrived> {
        self.arrived.lock().unwrap().clone()
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn connection(
    mut stream: TcpStream,
    trick: Option<(Trick, usize)>,
    log: Arc<Mutex<Vec<Arrived>>>,
) {
    let Some(text) = request(&mut stream).await else { return };
    if !text.starts_with("POST ") {
        // A question about its health, which is no message.
        write(&mut stream, &well()).await;
        return;
    }
    let number = {
        let mut log = log.lock().unwrap();
        log.push(Arrived { at: Instant::now(), text });
        log.len()
    };
    match trick {
        Some((trick, times)) if number <= times => misbehave(stream, trick).await,
        _ => {
            write(&mut stream, &well()).await;
        }
    }
}

async fn misbehave(mut stream: TcpStream, trick: Trick) {
    match trick {
        Trick::Answer(text) => {
            write(&mut stream, &text).await;
        }
        Trick::Drip(begin, pause) => {
            let mut listening = write(&mut stream, begin).await;
            while listening {
                tokio::time::sleep(pause).await;
                listening = write(&mut stream, "x").await;
            }
        }
        Trick::Silence(begin) => {
            write(&mut stream, begin).await;
            // Until the other side has had enough.
            let _end = stream.read(&mut [0; 16]).await;
        }
        Trick::Reset(begin) => {
            write(&mut stream, begin).await;
            // What is under way arrives first, or it would be lost with the reset.
            tokio::time::sleep(Duration::from_millis(50)).await;
            stream.set_zero_linger().unwrap();
        }
        Trick::Flood(begin) => {
            let piece = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
            let mut listening = write(&mut stream, begin).await;
            while listening {
                listening = write(&mut stream, &piece).await;
            }
        }
    }
}

/// Whether it was taken.
async fn write(stream: &mut (impl AsyncWrite + Unpin), text: &str) -> bool {
    stream.write_all(text.as_bytes()).await.is_ok() && stream.flush().await.is_ok()
}

/// Reads one request whole; none if the other side left.
pub(super) async fn request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read = stream.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_ascii_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length:").map(|value| value.trim().parse().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}

/// An answer with its length, after which the connection ends.
pub(super) fn answer(status: &str, headers: &[&str], body: &str) -> String {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    format!(
        "HTTP/1.1 {status}\r\n{headers}connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// The well provider's answer over whatever carries it.
pub(super) async fn serve_well(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> bool {
    request(stream).await.is_some() && write(stream, &well()).await
}
