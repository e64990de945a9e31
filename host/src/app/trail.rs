//! The host's own lines in the trail of events: starts, stops, reloads, and what plugins tried.

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::{
    ids::TenantId,
    reload::Outcome,
    store::{EventKind, Lane, NewEvent, Store},
};

/// Lines that wait to be written: far more than reloads can follow each other, and what plugins try is
/// summed up.
const WAITING_MAX: usize = 256;

/// Where the host's events go.
#[derive(Clone, Debug)]
pub(super) struct Trail(mpsc::Sender<NewEvent>);

impl Trail {
    /// The trail, and what waits for it.
    pub(super) fn new() -> (Self, mpsc::Receiver<NewEvent>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (Self(sender), receiver)
    }

    /// A reload that did something.
    pub(super) fn reloaded(&self, outcome: &Outcome) {
        let detail = match outcome {
            Outcome::Unchanged => return,
            Outcome::Applied { generation, changes } => {
                format!("applied as generation {generation}: {changes}")
            }
            Outcome::Rejected { errors } => {
                format!("rejected, {} error(s): {}", errors.len(), errors.join("; "))
            }
            Outcome::RolledBack { plugin, why } => format!("rolled back \"{plugin}\": {why}"),
        };
        let kind = match outcome {
            Outcome::RolledBack { .. } => EventKind::RolledBack,
            _ => EventKind::Reload,
        };
        self.note(of_host(kind, detail));
    }

    /// A channel went into quarantine, or came out of it.
    pub(super) fn quarantine(&self, kind: EventKind, lane: &Lane, detail: String) {
        let tenant = Some(lane.tenant);
        self.note(NewEvent { kind, tenant, notification: None, detail: Some(detail) });
    }

    /// A channel's connection was stopped, or is so no longer: an alarm like that of a breaker.
    pub(super) fn connection(&self, lane: &Lane, detail: String) {
        let (kind, tenant) = (EventKind::Host, Some(lane.tenant));
        self.note(NewEvent { kind, tenant, notification: None, detail: Some(detail) });
    }

    fn note(&self, event: NewEvent) {
        let kind = event.kind.word();
        if self.0.try_send(event).is_err() {
            tracing::error!(kind, "too many events are waiting; this one is not on record");
        }
    }
}

impl Trail {
    /// Something that is worth a look, of a tenant's channel or of the host.
    pub(super) fn security(&self, tenant: Option<TenantId>, detail: String) {
        let kind = EventKind::Security;
        let event = NewEvent { kind, tenant, notification: None, detail: Some(detail) };
        if self.0.try_send(event).is_err() {
            tracing::error!("too many events are waiting; a security event is only in the log");
        }
    }
}

/// Writes down what comes, until nobody can send any more.
pub(super) async fn write(store: Arc<dyn Store>, mut events: mpsc::Receiver<NewEvent>) {
    while let Some(event) = events.recv().await {
        record(&*store, event).await;
    }
}

/// The host has started, or stops.
pub(super) async fn host(store: &dyn Store, what: String) {
    record(store, of_host(EventKind::Host, what)).await;
}

async fn record(store: &dyn Store, event: NewEvent) {
    let kind = event.kind.word();
    if let Err(error) = store.record_event(event).await {
        tracing::error!(kind, "an event is not on record: {error}");
    }
}

const fn of_host(kind: EventKind, detail: String) -> NewEvent {
    NewEvent { kind, tenant: None, notification: None, detail: Some(detail) }
}
