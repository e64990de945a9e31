//! Small providers, and doors to them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::Request;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    config::{ChannelSecret, Grants, Object},
    egress::{BindingEgress, Egress, EgressPolicy, wire::Patience},
    ids::Digest,
    secrets::Secret,
};

/// An answer.
pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// Longer than any test takes.
pub(super) const LONG: Duration = Duration::from_secs(10);

/// How a provider behaves on one connection, after the request was read.
#[derive(Clone, Copy)]
pub(super) enum Script {
    /// Sends this text and keeps the connection for the next request.
    Answer(&'static str),
    /// Sends the text and closes.
    AnswerAndClose(&'static str),
    /// Sends the text, then the second one again and again with the pause in milliseconds.
    Drip(&'static str, &'static str, u64),
    /// Sends nothing and keeps the connection.
    Silence,
    /// Closes without an answer.
    Close,
    /// Sends the request back as the answer's body.
    Echo,
}

/// A provider on a loopback port. Ends with the value.
pub(super) struct Provider {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Provider {
    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let open = Arc::new(AtomicUsize::new(0));
        let (count, count_open) = (Arc::clone(&accepted), Arc::clone(&open));
        let log = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (count_open, log) = (Arc::clone(&count_open), Arc::clone(&log));
                connections.spawn(async move {
                    count_open.fetch_add(1, Ordering::SeqCst);
                    serve(stream, script, log).await;
                    count_open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, accepted, open, seen, _tasks: tasks }
    }

    pub(super) fn url(&self, rest: &str) -> String {
        format!("http://{}{rest}", self.address)
    }

    /// Connections so far.
    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Connections that are open.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// The requests so far, head and body.
    pub(super) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        log.lock().unwrap().push(request.clone());
        let done = match script {
            Script::Answer(text) => stream.write_all(text.as_bytes()).await,
            Script::AnswerAndClose(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                return;
            }
            Script::Drip(head, drop, pause_ms) => {
                let mut done = stream.write_all(head.as_bytes()).await;
                while done.is_ok() {
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    done = stream.write_all(drop.as_bytes()).await;
                }
                done
            }
            Script::Silence => {
                tokio::time::sleep(LONG).await;
                return;
            }
            Script::Close => return,
            Script::Echo => {
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", request.len());
                stream.write_all((head + &request).as_bytes()).await
            }
        };
        if done.is_err() {
            return;
        }
    }
}

/// One request as text; none when the connection ends.
async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text);
            }
        }
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&part[..read]),
        }
    }
}

/// What a door is made of.
pub(super) struct Door {
    pub(super) asks: Vec<String>,
    pub(super) grants: Grants,
    pub(super) secrets: BTreeMap<String, ChannelSecret>,
    pub(super) digest: Digest,
    pub(super) egress_max: usize,
}

impl Door {
    /// To every http origin, on this machine too.
    pub(super) fn to_loopback() -> Self {
        let mut door = Self::to_the_internet();
        door.grants.addresses = vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        door
    }

    /// To every origin, but not to special addresses.
    pub(super) fn to_the_internet() -> Self {
        let everything = ["http://*:*", "https://*:*"];
        let hosts = everything.iter().map(|host| host.parse().unwrap()).collect();
        Self {
            asks: everything.iter().map(ToString::to_string).collect(),
            grants: Grants { hosts, ..Grants::default() },
            secrets: BTreeMap::new(),
            digest: Digest::of(b"plugin"),
            egress_max: 16,
        }
    }

    pub(super) fn with_secret(mut self, name: &str, value: &str) -> Self {
        let value = Secret::new(value.to_owned());
        self.secrets.insert(name.to_owned(), ChannelSecret { value, source: Arc::from("test") });
        self
    }

    pub(super) fn open(&self, egress: &Egress) -> Arc<BindingEgress> {
        let policy = EgressPolicy::new(&self.asks, &Object::new(), &self.grants).unwrap();
        egress.binding(self.digest, policy, &self.secrets, &self.grants, self.egress_max)
    }

    /// The door of a process of its own.
    pub(super) fn open_alone(&self) -> Arc<BindingEgress> {
        self.open(&egress())
    }
}

pub(super) fn egress() -> Arc<Egress> {
    Egress::new(&[]).unwrap()
}

/// An egress that loses patience soon.
pub(super) fn impatient(first_byte_ms: u64, between_bytes_ms: u64) -> Arc<Egress> {
    let mut egress = egress();
    Arc::get_mut(&mut egress).unwrap().patience = Patience {
        first_byte: Duration::from_millis(first_byte_ms),
        between_bytes: Duration::from_millis(between_bytes_ms),
    };
    egress
}

pub(super) fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

pub(super) fn post(url: &str, content_type: &str, body: &str) -> Request<Bytes> {
    Request::post(url)
        .header("content-type", content_type)
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}
