//! Callers of the channel `log`, which needs no provider.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::kit::{KEY_A, TestHost, wait::within};

const CALLERS: usize = 8;

/// How long it may take, with every call traced, to acknowledge as many as a test wants.
const PATIENCE: Duration = Duration::from_secs(120);

/// How large the messages are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Size {
    /// A line.
    Small,
    /// 100 KB: two hundred of them are more than the store's log holds.
    Large,
}

/// What the callers were told.
#[derive(Debug, Default)]
struct Shared {
    acknowledged: Mutex<Vec<String>>,
    refused: AtomicUsize,
    stop: AtomicBool,
}

/// Running callers. Half of them wait for the delivery.
#[derive(Debug)]
pub(crate) struct Load {
    shared: Arc<Shared>,
    callers: Vec<JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(host: &TestHost, size: Size) -> Self {
        let shared = Arc::new(Shared::default());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let text = match size {
            Size::Small => String::from("a line"),
            Size::Large => "a very long line ".repeat(6_000),
        };
        let start = |number: usize| {
            let (shared, client, text) = (Arc::clone(&shared), client.clone(), text.clone());
            let url = format!("{}/notifications", host.base());
            let prefer = if number < CALLERS / 2 { "respond-async" } else { "wait=10" };
            tokio::spawn(async move {
                let body = json!({"channel": "log", "message": text}).to_string();
                while !shared.stop.load(Ordering::Relaxed) {
                    let call = client.post(&url).bearer_auth(KEY_A).body(body.clone());
                    let call = call.header("content-type", "application/json");
                    let call = call.header("prefer", prefer);
                    let Ok(response) = call.send().await else {
                        shared.refused.fetch_add(1, Ordering::Relaxed);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        continue;
                    };
                    let (status, headers) =
                        (response.status().as_u16(), response.headers().clone());
                    let Ok(text) = response.text().await else { continue };
                    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
                    match status {
                        200 | 202 => {
                            let id = answer["id"].as_str().unwrap().to_owned();
                            shared.acknowledged.lock().unwrap().push(id);
                        }
                        503 | 507 => {
                            assert!(headers.contains_key("retry-after"), "{headers:?} {text}");
                            shared.refused.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        other => panic!("{other}: {text}"),
                    }
                }
            })
        };
        let callers = (0..CALLERS).map(start).collect();
        Self { shared, callers }
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// The ids so far.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.shared.acknowledged.lock().unwrap().clone()
    }

    /// How many calls got a 503 or no answer.
    pub(crate) fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::Relaxed)
    }

    /// Waits until so many are acknowledged.
    pub(crate) async fn reaches(&self, enough: usize) {
        within(PATIENCE, format_args!("{enough} are acknowledged"), async || {
            (self.acknowledged() >= enough).then_some(())
        })
        .await;
    }

    /// Ends it; gives the ids.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.shared.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.shared.acknowledged.lock().unwrap().clone()
    }
}
