//! The load: HTTP/1.1 over plain sockets, one request after the other on each connection. It does
//! as little as can be, on one thread, because it takes its CPU time from what is measured; and it
//! is the same for the subject and its baseline.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// A whole `POST /notifications` as bytes.
pub(crate) fn post(key: &str, more_headers: &str, body: &str) -> Arc<[u8]> {
    post_to(key, "/notifications", more_headers, body)
}

/// A whole `POST` as bytes.
pub(crate) fn post_to(key: &str, path: &str, more_headers: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    let text = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{more_headers}\r\n{body}"
    );
    Arc::from(text.into_bytes())
}

/// A whole `GET` as bytes.
pub(crate) fn get(key: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

/// A kept-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads the whole answer: its status and its body.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Result<(u16, serde_json::Value)> {
        let status = self.exchange(request).await?;
        let at = memchr::memmem::find(&self.buffer, b"\r\n\r\n").context("no head")? + 4;
        let body = self.buffer.get(at..).unwrap_or_default();
        Ok((status, serde_json::from_slice(body).context("a body")?))
    }

    /// Sends a request and reads the whole answer, of which only the status is of interest.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await.context("writing a request")?;
        self.buffer.clear();
        let head_end = loop {
            if self.stream.read_buf(&mut self.buffer).await.context("reading an answer")? == 0 {
                bail!("the connection was closed in front of an answer");
            }
            if let Some(at) = memchr::memmem::find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
        };
        let (status, length) = head(self.buffer.get(..head_end).unwrap_or_default())?;
        while self.buffer.len() < head_end + length {
            if self.stream.read_buf(&mut self.buffer).await.context("reading a body")? == 0 {
                bail!("the connection was closed inside an answer");
            }
        }
        Ok(status)
    }
}

fn head(head: &[u8]) -> Result<(u16, usize)> {
    let text = std::str::from_utf8(head).context("an answer's head")?;
    let status = text.get(9..12).context("no status")?.parse().context("a status")?;
    let length = text
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .context("an answer without a length")?;
    Ok((status, length.1.trim().parse().context("a length")?))
}

/// What came of a round.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) answered: u64,
    /// Answers with another status than the expected one, and broken connections.
    pub(crate) wrong: u64,
    pub(crate) elapsed: Duration,
    pub(crate) latencies_us: Vec<f64>,
    /// The first thing that went wrong.
    pub(crate) first_error: Option<String>,
}

impl Tally {
    pub(crate) fn per_second(&self) -> f64 {
        self.answered as f64 / self.elapsed.as_secs_f64()
    }

    /// # Errors
    /// When anything went wrong.
    pub(crate) fn all_right(self) -> Result<Self> {
        match &self.first_error {
            Some(error) => bail!("{} of {} went wrong: {error}", self.wrong, self.answered),
            None => Ok(self),
        }
    }
}

/// How to load.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) request: Arc<[u8]>,
    pub(crate) connections: usize,
    pub(crate) status: u16,
}

impl Load {
    /// Loads for `time`.
    pub(crate) fn run(&self, time: Duration) -> Result<Tally> {
        let load = self.clone();
        runtime()?.block_on(async move { load.drive(move |_, began| began.elapsed() < time).await })
    }

    /// Sends exactly one request on each connection, all of them at once.
    pub(crate) async fn once_each(&self) -> Result<Tally> {
        self.drive(|sent, _| sent == 0).await
    }

    /// Connects everywhere first, and then sends as long as `goes_on` says so.
    pub(crate) async fn drive(
        &self,
        goes_on: impl Fn(u64, Instant) -> bool + Clone + Send + 'static,
    ) -> Result<Tally> {
        let mut connections = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            connections.push(Connection::open(self.address).await?);
        }
        let began = Instant::now();
        let mut callers = tokio::task::JoinSet::new();
        for connection in connections {
            let request = Arc::clone(&self.request);
            let status = self.status;
            let goes_on = goes_on.clone();
            callers.spawn(async move { call(connection, &request, status, began, goes_on).await });
        }
        let mut tally = Tally::default();
        while let Some(part) = callers.join_next().await {
            let part = part?;
            tally.answered += part.answered;
            tally.wrong += part.wrong;
            tally.latencies_us.extend(part.latencies_us);
            tally.first_error = tally.first_error.or(part.first_error);
        }
        tally.elapsed = began.elapsed();
        Ok(tally)
    }
}

async fn call(
    mut connection: Connection,
    request: &[u8],
    expected: u16,
    began: Instant,
    goes_on: impl Fn(u64, Instant) -> bool,
) -> Tally {
    let mut tally = Tally::default();
    while goes_on(tally.answered + tally.wrong, began) {
        let sent = Instant::now();
        match connection.exchange(request).await {
            Ok(status) if status == expected => {
                tally.answered += 1;
                tally.latencies_us.push(sent.elapsed().as_secs_f64() * 1e6);
            }
            Ok(status) => {
                tally.wrong += 1;
                tally.first_error.get_or_insert_with(|| format!("status {status}"));
            }
            Err(error) => {
                tally.wrong += 1;
                tally.first_error.get_or_insert_with(|| format!("{error:#}"));
                // The connection is gone; its share of the load is lost, which shows.
                break;
            }
        }
    }
    tally
}

/// One thread: the load must not take both cores of a small machine.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
