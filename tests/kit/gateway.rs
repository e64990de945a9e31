//! A double of Discord's gateway (<https://docs.discord.com/developers/events/gateway>): greets,
//! begins and resumes sessions, acknowledges heartbeats, and misbehaves when told to.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{broadcast, mpsc, watch},
    task::{JoinHandle, JoinSet},
};

use super::websocket::{CLOSE, TEXT, frame, shake_hands, write};

/// How long a connection waits for Hello: whoever held one before has said goodbye by then.
const HELLO_AFTER: Duration = Duration::from_millis(100);
const HEARTBEAT_INTERVAL_MS: u64 = 1_000;

#[derive(Clone, Debug)]
enum Command {
    Close(u16),
    Say(Value),
}

#[derive(Debug)]
struct Shared {
    heard: Mutex<Vec<Value>>,
    sessions: Mutex<BTreeSet<String>>,
    opened: AtomicUsize,
    live: AtomicUsize,
    most_live: AtomicUsize,
    goodbyes: Mutex<Vec<u16>>,
    is_silent: watch::Sender<bool>,
    /// Closes with this code instead of beginning a session; 0: it does not.
    refuses: AtomicU16,
    commands: broadcast::Sender<Command>,
}

/// The double. Dropped, it cuts its connections and knows no session any more.
#[derive(Debug)]
pub(crate) struct Gateway {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Gateway {
    /// Starts one on `port`, or on one of its own when that is 0.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            heard: Mutex::default(),
            sessions: Mutex::default(),
            opened: AtomicUsize::new(0),
            live: AtomicUsize::new(0),
            most_live: AtomicUsize::new(0),
            goodbyes: Mutex::default(),
            is_silent: watch::Sender::new(false),
            refuses: AtomicU16::new(0),
            commands: broadcast::Sender::new(8),
        });
        let of_server = Arc::clone(&shared);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                of_server.opened.fetch_add(1, Ordering::SeqCst);
                connections.spawn(serve(stream, Arc::clone(&of_server)));
            }
        });
        Self { port, shared, server }
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// `ws://127.0.0.1:port`
    pub(crate) fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// The data of all payloads with this opcode, oldest first.
    pub(crate) fn heard(&self, op: u64) -> Vec<Value> {
        let heard = self.shared.heard.lock().unwrap();
        heard.iter().filter(|payload| payload["op"] == op).map(|one| one["d"].clone()).collect()
    }

    /// Connections so far.
    pub(crate) fn opened(&self) -> usize {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// Connections that have had Hello and are not over.
    pub(crate) fn live(&self) -> usize {
        self.shared.live.load(Ordering::SeqCst)
    }

    /// As many of them as there were at the same time.
    pub(crate) fn most_live(&self) -> usize {
        self.shared.most_live.load(Ordering::SeqCst)
    }

    /// The codes with which the other side has closed connections.
    pub(crate) fn goodbyes(&self) -> Vec<u16> {
        self.shared.goodbyes.lock().unwrap().clone()
    }

    /// Closes all connections.
    pub(crate) fn close(&self, code: u16) {
        self.shared.commands.send(Command::Close(code)).unwrap();
    }

    /// Sends a payload over all connections.
    pub(crate) fn say(&self, payload: Value) {
        self.shared.commands.send(Command::Say(payload)).unwrap();
    }

    /// Knows no session any more.
    pub(crate) fn forget(&self) {
        self.shared.sessions.lock().unwrap().clear();
    }

    /// Takes connections and says nothing, or speaks again.
    pub(crate) fn silent(&self, is_silent: bool) {
        self.shared.is_silent.send_replace(is_silent);
    }

    /// Closes with this code instead of beginning a session.
    pub(crate) fn refuse(&self, code: u16) {
        self.shared.refuses.store(code, Ordering::SeqCst);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Counts a connection as live until it is dropped.
struct Live(Arc<Shared>);

impl Live {
    fn new(shared: &Arc<Shared>) -> Self {
        let live = shared.live.fetch_add(1, Ordering::SeqCst) + 1;
        shared.most_live.fetch_max(live, Ordering::SeqCst);
        Self(Arc::clone(shared))
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    if shake_hands(&mut stream).await.is_none() {
        return;
    }
    let (mut reader, mut writer) = stream.into_split();
    let (frames_in, mut frames) = mpsc::channel(16);
    // Dropped with this function.
    let mut reading = JoinSet::new();
    reading.spawn(async move {
        while let Some(frame) = frame(&mut reader).await {
            if frames_in.send(frame).await.is_err() {
                return;
            }
        }
    });
    let mut commands = shared.commands.subscribe();
    tokio::time::sleep(HELLO_AFTER).await;
    let mut is_silent = shared.is_silent.subscribe();
    // The sender lives in `shared`.
    drop(is_silent.wait_for(|silent| !silent).await);
    let live = Live::new(&shared);
    let hello = json!({ "op": 10, "d": { "heartbeat_interval": HEARTBEAT_INTERVAL_MS } });
    let mut say = vec![Command::Say(hello)];
    loop {
        for command in say.drain(..) {
            let written = match command {
                Command::Say(payload) => {
                    write(&mut writer, TEXT, payload.to_string().as_bytes()).await
                }
                Command::Close(code) => {
                    let _gone = write(&mut writer, CLOSE, &code.to_be_bytes()).await;
                    None
                }
            };
            if written.is_none() {
                return;
            }
        }
        tokio::select! {
            command = commands.recv() => say.push(command.unwrap()),
            frame = frames.recv() => match frame {
                Some((TEXT, text)) => {
                    let payload: Value = serde_json::from_slice(&text).unwrap();
                    say.extend(answer(&shared, &payload));
                    shared.heard.lock().unwrap().push(payload);
                }
                Some((CLOSE, payload)) => {
                    drop(live);
                    let code = u16::from_be_bytes([payload[0], payload[1]]);
                    shared.goodbyes.lock().unwrap().push(code);
                    return;
                }
                _ => return,
            },
        }
    }
}

fn answer(shared: &Shared, payload: &Value) -> Option<Command> {
    let is_silent = *shared.is_silent.borrow();
    let refuses = shared.refuses.load(Ordering::SeqCst);
    let mut sessions = shared.sessions.lock().unwrap();
    match payload["op"].as_u64().unwrap() {
        _ if is_silent => None,
        1 => Some(Command::Say(json!({ "op": 11 }))),
        2 | 6 if refuses > 0 => Some(Command::Close(refuses)),
        2 => {
            let id = format!("session-{}", fastrand::u64(..));
            sessions.insert(id.clone());
            Some(Command::Say(json!({ "op": 0, "t": "READY", "s": 1, "d": {
                "session_id": id,
                "resume_gateway_url": "wss://gateway-1.discord.gg",
                "user": { "username": "beeper" },
            }})))
        }
        6 if sessions.contains(payload["d"]["session_id"].as_str().unwrap()) => {
            let next = payload["d"]["seq"].as_u64().unwrap() + 1;
            Some(Command::Say(json!({ "op": 0, "t": "RESUMED", "s": next, "d": {} })))
        }
        6 => Some(Command::Say(json!({ "op": 9, "d": false }))),
        other => panic!("the opcode {other} is not the bot's to send"),
    }
}
