//! The settler: turns reports into what is on disk, many in one transaction, and then tells.

use std::{borrow::Cow, sync::Arc, task::Poll, time::Duration};

use futures_util::poll;
use tokio::sync::mpsc;

use super::{
    Dispatch, Finished,
    delivery::{Completed, End},
    follow::{self, Became, Following},
    guards::{Guards, Ticket},
    poison::Poison,
    policy::{self, Case, Next, Verdict},
    short,
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    outcomes::Ending,
    sandbox::{Outcome, Problem, Report},
    store::{self, Attempt, Lane, Leased, NewNotification, ParentEnd, Settle, Settled, StoreError},
};

/// How many reports are written together at most.
const BATCH: usize = 512;
/// The pause before a refused batch is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

pub(super) struct Settler {
    dispatch: Dispatch,
    guards: Arc<Guards>,
    poison: Poison,
    completed: mpsc::Receiver<Completed>,
    finished: mpsc::Sender<Finished>,
}

/// What to tell when a decided delivery is written.
struct News {
    lane: Lane,
    ending: Option<Ending>,
    id: NotificationId,
    parent: Option<NotificationId>,
    /// What goes on in its place: whoever waits for this one waits for that one now.
    takes_over: Option<NotificationId>,
}

impl Settler {
    pub(super) fn new(
        dispatch: Dispatch,
        guards: Arc<Guards>,
        completed: mpsc::Receiver<Completed>,
        finished: mpsc::Sender<Finished>,
    ) -> Self {
        Self { dispatch, guards, poison: Poison::new(), completed, finished }
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
        let lanes = news.iter().map(|one| one.lane.clone()).collect();
        let mut writing = self.dispatch.store.settle(items.clone());
        // It is in the store's line now. What takes the places of these deliveries comes into the line
        // behind it, and mostly into the same transaction.
        let written = poll!(&mut writing);
        self.tell(Finished::Calls(lanes)).await;
        let mut result = match written {
            Poll::Ready(result) => result,
            Poll::Pending => writing.await,
        };
        let results = loop {
            match result {
                Ok(results) => break results,
                Err(StoreError::Busy) => {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                    result = self.dispatch.store.settle(items.clone()).await;
                }
                Err(error) => {
                    // The leases run out and the deliveries are repeated, with the same keys.
                    tracing::error!(count = items.len(), "outcomes could not be stored: {error}");
                    break vec![Settled::LeaseLost; items.len()];
                }
            }
        };
        let count = news.len();
        for (one, result) in news.into_iter().zip(results) {
            match result {
                Settled::LeaseLost => tracing::warn!(
                    notification = %one.id,
                    "its lease had run out before it was settled: it may be delivered twice"
                ),
                Settled::Done { parent } => {
                    if let (Some(id), Some(end), Some(ending)) = (one.parent, parent, &one.ending) {
                        self.dispatch.outcomes.tell(id, of_all(end, ending));
                    }
                    match (one.takes_over, one.ending) {
                        (Some(next), _) => self.dispatch.outcomes.pass_on(one.id, next),
                        (None, Some(ending)) => self.dispatch.outcomes.tell(one.id, ending),
                        (None, None) => {}
                    }
                }
            }
        }
        self.tell(Finished::Settled(count)).await;
    }

    async fn tell(&self, finished: Finished) {
        // The scheduler outlives its deliveries; when it is gone, nobody needs to know.
        drop(self.finished.send(finished).await);
    }

    fn decide(&self, mut completed: Completed) -> (Settle, News) {
        let now = self.dispatch.clock.now();
        let Decided { outcome, attempt, ending, follow, takes_over } = match &completed.end {
            // The scheduler has paused the lane when it handed over. Doing so again from here could
            // come after the reload that ended the pause.
            End::NotTried => Decided::release(now),
            End::Waits { until } => Decided::release(*until),
            End::Hopeless { word, code, detail } => {
                let (code, detail) = (Some(String::from(*code)), Some(detail.clone()));
                let verdict = Verdict { word, code, detail, next: Next::Dead, counts: true };
                self.written(&completed, verdict, None)
            }
            End::Misconfigured { code, detail, probe } => {
                let problem = Problem { code: code.clone(), detail: detail.clone() };
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
                let case = Case {
                    poison: self.poison.convicts(
                        completed.leased.id,
                        completed.leased.generation,
                        report,
                    ),
                    quarantined_for: report.quarantined_for,
                    ..case(&completed, probe, now)
                };
                let verdict = policy::decide(&report.outcome, &case);
                self.written(&completed, verdict, Some(report))
            }
        };
        let Leased { token, id, lane, parent, .. } = completed.leased;
        let settle = Settle { token, outcome, attempt, follow };
        (settle, News { lane, ending, id, parent, takes_over })
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
            outcome: Cow::Borrowed(verdict.word),
            code: verdict.code.as_deref().map(short),
            detail: verdict.detail.as_deref().map(short),
            provider_id,
            digest: report.map(|report| Arc::clone(&report.digest)),
            counts: verdict.counts,
        };
        tell_log(completed, &attempt, verdict.next);
        let (outcome, ending) = match verdict.next {
            Next::Delivered => {
                let provider_id = attempt.provider_id.clone();
                (store::Outcome::Delivered, Some(Ending::Delivered { provider_id }))
            }
            Next::Retry { due } => (store::Outcome::Retry { due, counts: verdict.counts }, None),
            Next::Dead => (store::Outcome::Dead, Some(dead(&attempt))),
        };
        let became = match verdict.next {
            Next::Delivered => Became::Delivered,
            Next::Retry { .. } => Became::Retrying,
            Next::Dead => Became::Dead,
        };
        let generation = self.dispatch.current.load();
        let Following { new, takes_over } =
            follow::of(&generation, completed, &attempt, became, self.dispatch.clock.now());
        if let (Some(_), Some(next)) = (takes_over, new.first()) {
            tracing::info!(
                notification = %completed.leased.id, channel = %completed.leased.lane.channel,
                next = %next.id, next_channel = %next.lane.channel,
                "another channel takes over"
            );
        }
        Decided { outcome, attempt: Some(attempt), ending, follow: new, takes_over }
    }
}

/// What becomes of a delivery.
struct Decided {
    outcome: store::Outcome,
    attempt: Option<Attempt>,
    ending: Option<Ending>,
    follow: Vec<NewNotification>,
    takes_over: Option<NotificationId>,
}

impl Decided {
    const fn release(due: UnixMs) -> Self {
        let outcome = store::Outcome::Release { due };
        Self { outcome, attempt: None, ending: None, follow: Vec::new(), takes_over: None }
    }
}

fn case(completed: &Completed, probe: bool, now: UnixMs) -> Case {
    Case {
        policy: completed.policy,
        since: completed.since,
        expires: completed.leased.expires,
        budget_end: completed.budget_end,
        attempt: completed.leased.token.attempt,
        tries: completed.leased.tries,
        deduplicates: completed.deduplicates,
        // One that has another channel need not wait for this one to be mended.
        probe: probe && !completed.has_next,
        poison: false,
        quarantined_for: None,
        now,
        jitter: fastrand::f64(),
    }
}

fn tell_log(completed: &Completed, attempt: &Attempt, next: Next) {
    let Leased { id, lane, token, .. } = &completed.leased;
    let number = token.attempt;
    let outcome = &*attempt.outcome;
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

/// How a whole ended, of which `last` was the last part.
fn of_all(end: ParentEnd, last: &Ending) -> Ending {
    match (end.delivered, end.failed) {
        (1, 0) | (0, 1) => last.clone(),
        (_, 0) => Ending::Delivered { provider_id: None },
        (delivered, failed) => Ending::Dead {
            outcome: String::from("rejected"),
            code: Some(String::from(if delivered == 0 { "all_failed" } else { "partly_failed" })),
            detail: Some(format!(
                "of {} channels {delivered} delivered it and {failed} gave up",
                delivered.saturating_add(failed)
            )),
        },
    }
}

fn dead(attempt: &Attempt) -> Ending {
    Ending::Dead {
        outcome: attempt.outcome.to_string(),
        code: attempt.code.clone(),
        detail: attempt.detail.clone(),
    }
}
