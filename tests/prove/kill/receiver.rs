//! The provider, and whoever is told how it went: fails by chance, is slow by chance, and keeps count
//! of what it took.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode, Uri},
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};

use super::ledger::Kind;

/// What it knows of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// The delivery keys it came with.
    pub(super) keys: Vec<String>,
    /// How often it was answered with a success.
    pub(super) successes: usize,
}

#[derive(Debug)]
struct Shared {
    chances: Mutex<fastrand::Rng>,
    taken: Mutex<BTreeMap<String, Taken>>,
    /// What has an ordering key, as it arrived.
    order: Mutex<Vec<String>>,
}

impl Shared {
    /// Whether this is the delivery key that the message came with at first.
    fn is_first_key(&self, what: &str, headers: &HeaderMap) -> bool {
        let taken = self.taken.lock().unwrap();
        let first = taken.get(what).and_then(|taken| taken.keys.first());
        first.is_none_or(|first| headers["webhook-id"] == first.as_str())
    }
}

#[derive(Debug)]
pub(super) struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Receiver {
    pub(super) async fn start(chances: fastrand::Rng) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            chances: Mutex::new(chances),
            taken: Mutex::default(),
            order: Mutex::default(),
        });
        let router = Router::new().fallback(take).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared, server }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// By path and message, or path and the notification that a callback tells of.
    pub(super) fn taken(&self) -> BTreeMap<String, Taken> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// The messages with an ordering key, in the order in which they arrived.
    pub(super) fn order(&self) -> Vec<String> {
        self.shared.order.lock().unwrap().clone()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(
    State(shared): State<Arc<Shared>>,
    uri: Uri,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> StatusCode {
    // A callback has no message: it says of which notification it is, and what became of it.
    let (what, kind) = match body["data"]["message"].as_str() {
        Some(message) => (message.to_owned(), Some(Kind::of(message))),
        None => {
            let id = body["data"]["id"].as_str().unwrap();
            (format!("{id} {}", body["type"].as_str().unwrap()), None)
        }
    };
    if kind == Some(Kind::Ordered) {
        shared.order.lock().unwrap().push(what.clone());
    }
    let chance = shared.chances.lock().unwrap().u8(0..100);
    if chance < 10 {
        tokio::time::sleep(Duration::from_millis(20 + u64::from(chance) * 10)).await;
    }
    let status = match kind {
        // A callback's own pauses are longer than a test; what fails here is tested elsewhere.
        None => StatusCode::NO_CONTENT,
        Some(Kind::Doomed | Kind::Purged | Kind::Swept) => StatusCode::UNPROCESSABLE_ENTITY,
        // Its first series; a replay comes with another key.
        Some(Kind::Revived) if shared.is_first_key(&format!("{} {what}", uri.path()), &headers) => {
            StatusCode::UNPROCESSABLE_ENTITY
        }
        Some(Kind::HandedOn) if uri.path() == "/first" => StatusCode::UNPROCESSABLE_ENTITY,
        _ if (10..25).contains(&chance) => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    };
    let mut taken = shared.taken.lock().unwrap();
    let one = taken.entry(format!("{} {what}", uri.path())).or_default();
    let key = headers["webhook-id"].to_str().unwrap();
    if !one.keys.iter().any(|known| known == key) {
        one.keys.push(key.to_owned());
    }
    one.successes += usize::from(status.is_success());
    status
}
