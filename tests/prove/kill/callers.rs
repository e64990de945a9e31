//! Callers that hand over and take back as fast as they may, until the host is gone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::ledger::{Kind, Ledger, Task};
use crate::kit::{KEY_A, TestHost};

const CALLERS: usize = 8;

#[derive(Debug)]
pub(super) struct Callers(Vec<JoinHandle<()>>);

struct Caller {
    client: reqwest::Client,
    url: String,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    chances: fastrand::Rng,
}

impl Callers {
    /// They begin with what is open from before, and go on with new messages unless `stop` is set.
    pub(super) fn start(
        host: &TestHost,
        ledger: &Arc<Ledger>,
        stop: &Arc<AtomicBool>,
        chances: &mut fastrand::Rng,
    ) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let start = |_| {
            let caller = Caller {
                client: client.clone(),
                url: format!("{}/notifications", host.base()),
                ledger: Arc::clone(ledger),
                stop: Arc::clone(stop),
                chances: chances.fork(),
            };
            tokio::spawn(caller.run())
        };
        Self((0..CALLERS).map(start).collect())
    }

    pub(super) async fn stopped(self) {
        for caller in self.0 {
            caller.await.unwrap();
        }
    }
}

impl Caller {
    async fn run(mut self) {
        loop {
            let stopped = || self.stop.load(Ordering::Relaxed);
            let task = match self.ledger.open() {
                Some(task) => task,
                None if stopped() => return,
                None => self.new_task(),
            };
            let answered = match &task {
                Task::HandOver { message, body } => self.hand_over(message, body).await,
                Task::Withdraw { id } => self.withdraw(id).await,
            };
            if !answered {
                self.ledger.unanswered(task);
                // The host is gone; the next round asks again.
                return;
            }
            tokio::time::sleep(Duration::from_millis(self.chances.u64(0..6))).await;
        }
    }

    fn new_task(&mut self) -> Task {
        let kind = match self.chances.u8(0..100) {
            0..45 => Kind::Plain,
            45..55 => Kind::HandedOn,
            55..65 => Kind::Later,
            65..85 => Kind::Swapped,
            85..93 => Kind::Doomed,
            _ => Kind::Withdrawn,
        };
        let message = format!("{}/{}", kind.word(), self.ledger.number());
        let ahead = match kind {
            Kind::Later => Some(1),
            Kind::Withdrawn => Some(3_600),
            _ => None,
        };
        let channel = match kind {
            Kind::Swapped => "versioned",
            Kind::HandedOn => "first",
            _ => "webhook",
        };
        let mut body = json!({"channel": channel, "message": message});
        if let Some(seconds) = ahead {
            let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            body["sendAt"] = json!(due.to_string());
        }
        Task::HandOver { message, body: body.to_string() }
    }

    /// Whether there was an answer that promises something.
    async fn hand_over(&mut self, message: &str, body: &str) -> bool {
        let prefer = if self.chances.u8(0..4) == 0 { "wait=2" } else { "respond-async" };
        let call = self.client.post(&self.url).bearer_auth(KEY_A).body(body.to_owned());
        let call = call.header("content-type", "application/json");
        let call = call.header("prefer", prefer).header("idempotency-key", message);
        let Some((status, answer)) = answer_of(call).await else { return false };
        let promised = match status {
            200 | 202 => true,
            // It is over, and this is how.
            422 | 424 => answer["notificationStatus"] == "dead",
            409 => answer["notificationStatus"] == "cancelled",
            _ => false,
        };
        let later = matches!(status, 503 | 429) || (status == 409 && !promised);
        assert!(promised || later, "{status}: {answer}");
        if promised {
            let id =
                answer["id"].as_str().unwrap_or_else(|| panic!("no id in {answer}")).to_owned();
            self.ledger.accepted(id.clone(), message);
            if Kind::of(message) == Kind::Withdrawn && !self.withdraw(&id).await {
                self.ledger.unanswered(Task::Withdraw { id });
            }
        }
        promised
    }

    async fn withdraw(&self, id: &str) -> bool {
        let call = self.client.delete(format!("{}/{id}", self.url)).bearer_auth(KEY_A);
        let Some((status, answer)) = answer_of(call).await else { return false };
        match status {
            200 => assert_eq!(answer["status"], "cancelled", "{answer}"),
            // It was taken back, and the answer to that was lost.
            409 => assert_eq!(answer["notificationStatus"], "cancelled", "{answer}"),
            503 => return false,
            other => panic!("{other}: {answer}"),
        }
        true
    }
}

/// None if there was none, or not all of it.
async fn answer_of(call: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = call.send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or_default()))
}
