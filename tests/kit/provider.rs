//! A double of a provider: answers as it was told and remembers what it was asked.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, Response},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use super::eventually;

/// A request that the double has seen.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Null if the body is no JSON.
    pub(crate) json: Value,
}

impl Seen {
    /// A header, "" if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message in a request of the webhook channel.
    pub(crate) fn message(&self) -> &str {
        self.json["data"]["message"].as_str().unwrap()
    }
}

/// An answer of the double.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Reply {
    /// An answer without a body.
    pub(crate) fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: String::new() }
    }

    /// With a header.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a body that says nothing about itself.
    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// With a body.
    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self.header("content-type", "application/json")
    }

    fn into_response(self) -> Response<Body> {
        let mut response = Response::builder().status(self.status);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        response.body(Body::from(self.body)).unwrap()
    }
}

#[derive(Debug)]
struct Shared {
    script: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Reply>,
    seen: Mutex<Vec<Seen>>,
    /// While true, requests are seen and not answered.
    holding: watch::Sender<bool>,
}

/// The double. It answers 200 unless it is told otherwise.
#[derive(Debug)]
pub(crate) struct Provider {
    port: u16,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

impl Provider {
    /// Starts one on a port of its own.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            otherwise: Mutex::new(Reply::status(200)),
            seen: Mutex::default(),
            holding: watch::Sender::new(false),
        });
        let router = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, shared, server }
    }

    /// `http://127.0.0.1:port` and a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// The next answer that is not planned yet.
    pub(crate) fn then(&self, reply: Reply) -> &Self {
        self.shared.script.lock().unwrap().push_back(reply);
        self
    }

    /// The answer when none is planned.
    pub(crate) fn otherwise(&self, reply: Reply) -> &Self {
        *self.shared.otherwise.lock().unwrap() = reply;
        self
    }

    /// From now on no request is answered, until [`Self::release`].
    pub(crate) fn hold(&self) {
        self.shared.holding.send_replace(true);
    }

    /// Answers all that is held, and everything from now on.
    pub(crate) fn release(&self) {
        self.shared.holding.send_replace(false);
    }

    /// Everything it was asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until it was asked `count` times at least.
    pub(crate) async fn asked(&self, count: usize) -> Vec<Seen> {
        eventually(format_args!("request {count} at the provider"), async || {
            let seen = self.seen();
            (seen.len() >= count).then_some(seen)
        })
        .await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default().to_vec();
    let json = serde_json::from_slice(&body).unwrap_or_default();
    shared.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.to_string(),
        headers: parts.headers,
        body,
        json,
    });
    let mut holding = shared.holding.subscribe();
    // The sender lives in `shared`.
    let _released = holding.wait_for(|holding| !holding).await;
    let planned = shared.script.lock().unwrap().pop_front();
    planned.unwrap_or_else(|| shared.otherwise.lock().unwrap().clone()).into_response()
}
