//! The settler: turns reports into what is on disk, many in one transaction, and then tells.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{
    Dispatch, Finished,
    delivery::{Completed, End},
    guards::{Guards, Ticket},
    policy::{self, Case, Next, Verdict},
    short,
};
use crate::{
    clock::UnixMs,
    outcomes::Ending,
    sandbox::{Outcome, Problem, Report},
    store::{self, Attempt, Settle, Settled, StoreError},
};

/// How many reports are written together at most.
const BATCH: usize = 512;
/// The pause before a refused batch is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Settler {
    dispatch: Dispatch,
    guards: Arc<Guards>,
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
        guards: Arc<Guards>,
        completed: mpsc::Receiver<Completed>,
        finished: mpsc::Sender<Vec<Finished>>,
    ) -> Self {
        Self { dispatch, guards, completed, finished }
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

    fn decide(&self, mut completed: Completed) -> (Settle, News) {
        let now = self.dispatch.clock.now();
        let Decided { outcome, attempt, ending } = match &completed.end {
            // The scheduler has paused the lane when it handed over. Doing so again from here could
            // come after the reload that ended the pause.
            End::NotTried => Decided::release(now),
            End::Waits { until } => Decided::release(*until),
            End::Hopeless { word, code, detail } => {
                let (code, detail) = (Some(String::from(*code)), Some(detail.clone()));
                let verdict = Verdict { word, code, detail, next: Next::Dead };
                self.written(&completed, verdict, None)
            }
            End::Misconfigured { detail, probe } => {
                let problem =
                    Problem { code: String::from("configuration"), detail: detail.clone() };
                let case = case(&completed, *probe, now);
                let verdict = policy::decide(&Outcome::Misconfigured(problem), &case);
                self.written(&completed, verdict, None)
            }
            End::Called(report) => {
                let ticket = completed.ticket.take();
                let probe = ticket.as_ref().is_some_and(Ticket::is_probe);
                if let Some(ticket) = ticket {
                    let contact = report.usage.contact.as_ref();
                    let current = self.dispatch.current.load();
                    self.guards.record(ticket, &report.outcome, contact, &current, now);
                }
                let verdict = policy::decide(&report.outcome, &case(&completed, probe, now));
                self.written(&completed, verdict, Some(report))
            }
        };
        let Completed { token, id, lane, .. } = completed;
        let settle = Settle { token, outcome, attempt };
        (settle, News { finished: Finished { lane }, ending, id })
    }

    /// A verdict as it is stored and told. `report`: none when the plugin was not called.
    fn written(&self, completed: &Completed, verdict: Verdict, report: Option<&Report>) -> Decided {
        if let Some(plugin) = &completed.plugin {
            self.dispatch.observer.attempt(plugin, verdict.word, report.map(|report| report.took));
        }
        let provider_id = match report.map(|report| &report.outcome) {
            Some(Outcome::Delivered { provider_id, .. }) => provider_id.as_deref().map(short),
            _ => None,
        };
        let took_ms = report.map_or(0, |report| report.took.as_millis());
        let attempt = Attempt {
            started: completed.started,
            took_ms: u32::try_from(took_ms).unwrap_or(u32::MAX),
            outcome: String::from(verdict.word),
            code: verdict.code.as_deref().map(short),
            detail: verdict.detail.as_deref().map(short),
            provider_id,
            digest: report.map(|report| report.digest.to_string()),
        };
        tell_log(completed, &attempt, verdict.next);
        let (outcome, ending) = match verdict.next {
            Next::Delivered => {
                let provider_id = attempt.provider_id.clone();
                (store::Outcome::Delivered, Some(Ending::Delivered { provider_id }))
            }
            Next::Retry { due } => (store::Outcome::Retry { due }, None),
            Next::Dead => (store::Outcome::Dead, Some(dead(&attempt))),
        };
        Decided { outcome, attempt: Some(attempt), ending }
    }
}

/// What becomes of a delivery.
struct Decided {
    outcome: store::Outcome,
    attempt: Option<Attempt>,
    ending: Option<Ending>,
}

impl Decided {
    const fn release(due: UnixMs) -> Self {
        Self { outcome: store::Outcome::Release { due }, attempt: None, ending: None }
    }
}

fn case(completed: &Completed, probe: bool, now: UnixMs) -> Case {
    Case {
        policy: completed.policy,
        since: completed.since,
        expires: completed.expires,
        attempt: completed.token.attempt,
        deduplicates: completed.deduplicates,
        probe,
        now,
        jitter: fastrand::f64(),
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
