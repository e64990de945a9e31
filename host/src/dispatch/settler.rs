//! The settler: turns reports into what is on disk, many in one transaction, and then tells.

use std::time::Duration;

use tokio::sync::mpsc;

use super::{
    Dispatch, Finished,
    delivery::{Completed, End},
    policy::{self, Case, Next},
};
use crate::{
    limits,
    outcomes::Ending,
    sandbox::{Outcome, RetryScope},
    store::{self, Attempt, Settle, Settled, StoreError},
};

/// How many reports are written together at most.
const BATCH: usize = 512;
/// The pause before a refused batch is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Settler {
    dispatch: Dispatch,
    completed: mpsc::Receiver<Completed>,
    finished: mpsc::Sender<Vec<Finished>>,
}

/// What to tell when a decided delivery is written.
struct News {
    finished: Finished,
    ending: Option<Ending>,
    id: crate::ids::NotificationId,
}

impl Settler {
    pub(super) const fn new(
        dispatch: Dispatch,
        completed: mpsc::Receiver<Completed>,
        finished: mpsc::Sender<Vec<Finished>>,
    ) -> Self {
        Self { dispatch, completed, finished }
    }

    /// Runs until nobody can complete a delivery any more.
    pub(super) async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while self.completed.recv_many(&mut batch, BATCH).await > 0 {
            // The deliveries that end in this moment go into the same transaction.
            tokio::task::yield_now().await;
            while batch.len() < BATCH
                && let Ok(completed) = self.completed.try_recv()
            {
                batch.push(completed);
            }
            let (items, news) = batch.drain(..).map(|completed| self.decide(completed)).unzip();
            self.settle(items, news).await;
        }
    }

    async fn settle(&self, items: Vec<Settle>, news: Vec<News>) {
        let results = loop {
            match self.dispatch.store.settle(items.clone()).await {
                Ok(results) => break results,
                Err(StoreError::Busy) => tokio::time::sleep(REFUSED_PAUSE).await,
                Err(error) => {
                    // The leases run out and the deliveries are repeated, with the same keys.
                    tracing::error!(count = items.len(), "outcomes could not be stored: {error}");
                    break vec![Settled::LeaseLost; items.len()];
                }
            }
        };
        let mut finished = Vec::with_capacity(news.len());
        for (one, result) in news.into_iter().zip(results) {
            if result == Settled::LeaseLost {
                tracing::warn!(
                    notification = %one.id,
                    "its lease had run out before it was settled: it may be delivered twice"
                );
            } else if let Some(ending) = one.ending {
                self.dispatch.outcomes.tell(one.id, ending);
            }
            finished.push(one.finished);
        }
        // The scheduler outlives its deliveries; when it is gone, nobody needs to know.
        drop(self.finished.send(finished).await);
    }

    fn decide(&self, completed: Completed) -> (Settle, News) {
        let now = self.dispatch.clock.now();
        let Completed { token, id, lane, started, .. } = &completed;
        let (outcome, attempt, ending, pause) = match &completed.end {
            // The scheduler has paused the lane when it handed over. Doing so again from here could
            // come after the reload that ended the pause.
            End::NotTried => (store::Outcome::Release { due: now }, None, None, None),
            End::Hopeless { word, code, detail } => {
                if let Some(plugin) = &completed.plugin {
                    self.dispatch.observer.attempt(plugin, word, None);
                }
                let attempt = Attempt {
                    started: *started,
                    took_ms: 0,
                    outcome: String::from(*word),
                    code: Some(String::from(*code)),
                    detail: Some(short(detail)),
                    provider_id: None,
                    digest: None,
                };
                let ending = dead(&attempt);
                (store::Outcome::Dead, Some(attempt), Some(ending), None)
            }
            End::Called(report) => {
                let case = Case {
                    policy: completed.policy,
                    since: completed.since,
                    expires: completed.expires,
                    attempt: token.attempt,
                    deduplicates: completed.deduplicates,
                    now,
                    jitter: fastrand::f64(),
                };
                let verdict = policy::decide(&report.outcome, &case);
                if let Some(plugin) = &completed.plugin {
                    self.dispatch.observer.attempt(plugin, verdict.word, Some(report.took));
                }
                let provider_id = match &report.outcome {
                    Outcome::Delivered { provider_id, .. } => provider_id.as_deref().map(short),
                    _ => None,
                };
                let attempt = Attempt {
                    started: *started,
                    took_ms: u32::try_from(report.took.as_millis()).unwrap_or(u32::MAX),
                    outcome: String::from(verdict.word),
                    code: verdict.code.as_deref().map(short),
                    detail: verdict.detail.as_deref().map(short),
                    provider_id,
                    digest: Some(report.digest.to_string()),
                };
                let (outcome, ending) = match verdict.next {
                    Next::Delivered => {
                        let provider_id = attempt.provider_id.clone();
                        (store::Outcome::Delivered, Some(Ending::Delivered { provider_id }))
                    }
                    Next::Retry { due } => (store::Outcome::Retry { due, counts: true }, None),
                    Next::Dead => (store::Outcome::Dead, Some(dead(&attempt))),
                };
                tell_log(&completed, &attempt, verdict.next);
                (outcome, Some(attempt), ending, lane_pause(&report.outcome))
            }
        };
        let finished = Finished { lane: lane.clone(), pause };
        let settle = Settle { token: token.clone(), outcome, attempt, follow: Vec::new() };
        (settle, News { finished, ending, id: *id })
    }
}

/// Other messages of the lane wait as well when the failure is not about this one alone.
fn lane_pause(outcome: &Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Retry { after: Some(after), scope, .. } => match scope {
            RetryScope::Message | RetryScope::Destination => None,
            RetryScope::Credential | RetryScope::Provider => Some(*after),
        },
        _ => None,
    }
}

fn tell_log(completed: &Completed, attempt: &Attempt, next: Next) {
    let Completed { id, lane, token, .. } = completed;
    let number = token.attempt;
    let outcome = attempt.outcome.as_str();
    let code = attempt.code.as_deref().unwrap_or("-");
    let detail = attempt.detail.as_deref().unwrap_or("-");
    match next {
        Next::Delivered => tracing::debug!(
            notification = %id, tenant = %lane.tenant, channel = %lane.channel, attempt = number,
            took_ms = attempt.took_ms, "delivered"
        ),
        Next::Retry { due } => tracing::warn!(
            notification = %id, tenant = %lane.tenant, channel = %lane.channel, attempt = number,
            outcome, code, next = due.rfc3339(), "not delivered, will be tried again: {detail}"
        ),
        Next::Dead => tracing::error!(
            notification = %id, tenant = %lane.tenant, channel = %lane.channel, attempt = number,
            outcome, code, "not delivered, given up: {detail}"
        ),
    }
}

fn dead(attempt: &Attempt) -> Ending {
    Ending::Dead {
        outcome: attempt.outcome.clone(),
        code: attempt.code.clone(),
        detail: attempt.detail.clone(),
    }
}

/// Bounds what a plugin or provider said.
fn short(text: &str) -> String {
    let end = text.floor_char_boundary(limits::ERROR_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}
