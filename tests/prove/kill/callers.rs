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

use super::{
    THIRD,
    ledger::{Kind, Ledger, Task},
    more::key_of,
    ranges::{self, SWEPT},
};
use crate::kit::{KEY_A, TestHost};

const CALLERS: usize = 8;

#[derive(Debug)]
pub(super) struct Callers(Vec<JoinHandle<()>>);

/// What came of a task.
enum Done {
    Yes,
    /// Its time has not come.
    NotYet,
    NoAnswer,
}

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
            let done = match &task {
                Task::HandOver { message, body } => self.hand_over(message, body).await,
                Task::Batch { messages, body } => self.batch(messages, body).await,
                Task::Withdraw { id } => self.withdraw(id).await,
                Task::Replay { id } => self.replay(id).await,
                Task::Purge { id, asked } => self.purge(id, *asked).await,
                Task::Sweep { slot } => self.sweep(*slot).await,
            };
            match done {
                Done::Yes => {}
                Done::NotYet => self.ledger.later(task),
                Done::NoAnswer => {
                    let task = match task {
                        Task::Purge { id, .. } => Task::Purge { id, asked: true },
                        other => other,
                    };
                    self.ledger.unanswered(task);
                    // The host is gone; the next round asks again.
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(self.chances.u64(0..6))).await;
        }
    }

    fn new_task(&mut self) -> Task {
        let kind = match self.chances.u8(0..100) {
            0..8 => return self.new_batch(),
            8..10 => return Task::Sweep { slot: ranges::slot(self.chances.i64(0..24)) },
            10..16 => Kind::Swept,
            16..18 => Kind::Spared,
            18..34 => Kind::Plain,
            34..43 => Kind::HandedOn,
            43..50 => Kind::Later,
            50..64 => Kind::Swapped,
            64..70 => Kind::Doomed,
            70..77 => Kind::Both,
            77..87 => Kind::Ordered,
            87..92 => Kind::Revived,
            92..96 => Kind::Purged,
            _ => Kind::Withdrawn,
        };
        let number = self.ledger.number();
        let message = match kind {
            // The key stands in it.
            Kind::Ordered => format!("{}/{}/{number}", kind.word(), self.chances.u8(0..4)),
            _ => format!("{}/{number}", kind.word()),
        };
        let ahead = match kind {
            Kind::Later => Some(1),
            Kind::Withdrawn => Some(3_600),
            _ => None,
        };
        let channel = match kind {
            Kind::Swapped => "versioned",
            Kind::HandedOn => "first",
            Kind::Ordered => "ordered",
            Kind::Swept | Kind::Spared => SWEPT,
            _ => "webhook",
        };
        let mut body = match kind {
            Kind::Both => json!({"channels": ["webhook", THIRD], "message": message}),
            Kind::Ordered => {
                json!({"channel": channel, "message": message, "orderingKey": key_of(&message)})
            }
            _ => json!({"channel": channel, "message": message}),
        };
        if let Some(seconds) = ahead {
            let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
            body["sendAt"] = json!(due.to_string());
        }
        Task::HandOver { message, body: body.to_string() }
    }

    fn new_batch(&mut self) -> Task {
        let new = |_| format!("{}/{}", Kind::Plain.word(), self.ledger.number());
        let messages: Vec<String> = (0..3).map(new).collect();
        let item = |message: &String| json!({"channel": "webhook", "message": message});
        let body = Value::from(messages.iter().map(item).collect::<Vec<_>>()).to_string();
        Task::Batch { messages, body }
    }

    async fn batch(&self, messages: &[String], body: &str) -> Done {
        let call = self.client.post(format!("{}/batch", self.url)).bearer_auth(KEY_A);
        let call = call.header("content-type", "application/json").body(body.to_owned());
        let Some((status, answer)) = answer_of(call.header("idempotency-key", &messages[0])).await
        else {
            return Done::NoAnswer;
        };
        if matches!(status, 503 | 429) {
            return Done::NoAnswer;
        }
        assert_eq!(status, 202, "{answer}");
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), messages.len(), "{answer}");
        if results.iter().any(|result| result["success"] != true) {
            return Done::NoAnswer;
        }
        for (message, result) in messages.iter().zip(results) {
            self.ledger.accepted(result["id"].as_str().unwrap().to_owned(), message);
        }
        Done::Yes
    }

    /// Done when there was an answer that promises something.
    async fn hand_over(&mut self, message: &str, body: &str) -> Done {
        let prefer = if self.chances.u8(0..4) == 0 { "wait=2" } else { "respond-async" };
        let call = self.client.post(&self.url).bearer_auth(KEY_A).body(body.to_owned());
        let call = call.header("content-type", "application/json");
        let call = call.header("prefer", prefer).header("idempotency-key", message);
        let Some((status, answer)) = answer_of(call).await else { return Done::NoAnswer };
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
            match Kind::of(message) {
                Kind::Withdrawn => self.ledger.later(Task::Withdraw { id }),
                Kind::Revived => self.ledger.later(Task::Replay { id }),
                Kind::Purged => self.ledger.later(Task::Purge { id, asked: false }),
                _ => {}
            }
            return Done::Yes;
        }
        Done::NoAnswer
    }

    /// Sends it again when it is dead, once.
    async fn replay(&self, id: &str) -> Done {
        let url = format!("{}/{id}", self.url);
        let read = self.client.get(&url).bearer_auth(KEY_A);
        let Some((status, found)) = answer_of(read).await else { return Done::NoAnswer };
        match (status, found["replayCount"].as_u64(), found["status"].as_str()) {
            (503, ..) => return Done::NoAnswer,
            // Now, or in a call that was answered to nobody.
            (200, Some(1), _) => return Done::Yes,
            (200, Some(0), Some("dead")) => {}
            (200, Some(0), Some("queued" | "sending" | "retrying")) => return Done::NotYet,
            _ => panic!("{status}: {found}"),
        }
        let call = self.client.post(format!("{url}/replay")).bearer_auth(KEY_A);
        match answer_of(call).await {
            Some((202, _)) => Done::Yes,
            Some((503, _)) | None => Done::NoAnswer,
            Some(other) => panic!("{other:?}"),
        }
    }

    /// Removes it when it is dead.
    async fn purge(&self, id: &str, asked: bool) -> Done {
        let call = self.client.post(format!("{}/{id}/purge", self.url)).bearer_auth(KEY_A);
        match answer_of(call).await {
            Some((200, answer)) => {
                assert_eq!(answer["purged"], 1, "{answer}");
                Done::Yes
            }
            Some((404, _)) if asked => Done::Yes,
            Some((409, answer)) => {
                let on_its_way = ["queued", "sending", "retrying"];
                let state = answer["notificationStatus"].as_str().unwrap();
                assert!(on_its_way.contains(&state), "{answer}");
                Done::NotYet
            }
            Some((503, _)) | None => Done::NoAnswer,
            Some(other) => panic!("{id} was promised and is lost: {other:?}"),
        }
    }

    /// Removes what is dead of a slot, page by page.
    async fn sweep(&self, slot: i64) -> Done {
        let mut cursor: Option<String> = None;
        loop {
            let body = ranges::request(slot, cursor.as_deref()).to_string();
            let call = self.client.post(format!("{}/purge", self.url)).bearer_auth(KEY_A);
            match answer_of(call.header("content-type", "application/json").body(body)).await {
                Some((200, answer)) => {
                    self.ledger.swept(&answer);
                    match answer["nextCursor"].as_str() {
                        Some(next) => cursor = Some(next.to_owned()),
                        None => return Done::Yes,
                    }
                }
                Some((503, _)) | None => return Done::NoAnswer,
                Some(other) => panic!("{other:?}"),
            }
        }
    }

    async fn withdraw(&self, id: &str) -> Done {
        let call = self.client.delete(format!("{}/{id}", self.url)).bearer_auth(KEY_A);
        let Some((status, answer)) = answer_of(call).await else { return Done::NoAnswer };
        match status {
            200 => assert_eq!(answer["status"], "cancelled", "{answer}"),
            // It was taken back, and the answer to that was lost.
            409 => assert_eq!(answer["notificationStatus"], "cancelled", "{answer}"),
            503 => return Done::NoAnswer,
            other => panic!("{other}: {answer}"),
        }
        Done::Yes
    }
}

/// None if there was none, or not all of it.
async fn answer_of(call: reqwest::RequestBuilder) -> Option<(u16, Value)> {
    let response = call.send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or_default()))
}
