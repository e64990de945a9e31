//! Short words for the tests.

use std::{ops::Deref, sync::Arc, time::Duration};

use bytes::Bytes;
use tempfile::TempDir;
use uuid::Uuid;

use crate::{
    clock::{Clock, UnixMs},
    ids::{NotificationId, TenantId},
    store::{
        Attempt, Enqueued, Idempotency, Lane, Leased, ListQuery, NewGroup, NewNotification,
        Outcome, Priority, Row, Settle, Settled, Store, Want, memory::MemoryStore,
        sqlite::SqliteStore,
    },
};

/// The moment at which every test begins.
pub(in crate::store) const START: UnixMs = UnixMs(1_763_746_800_000);

/// What settling a notification without a parent comes to.
pub(in crate::store) const DONE: Settled = Settled::Done { parent: None };

/// How long the tests lease.
pub(in crate::store) const TTL: Duration = Duration::from_secs(30);

/// An engine, its clock, and its folder.
pub(in crate::store) struct Engine {
    store: Arc<dyn Store>,
    pub(in crate::store) clock: Clock,
    _folder: Option<TempDir>,
}

impl Deref for Engine {
    type Target = Arc<dyn Store>;
    fn deref(&self) -> &Arc<dyn Store> {
        &self.store
    }
}

impl Engine {
    pub(in crate::store) fn memory() -> Self {
        let clock = Clock::manual(START);
        Self { store: MemoryStore::new(clock.clone()), clock, _folder: None }
    }

    pub(in crate::store) fn sqlite() -> Self {
        let clock = Clock::manual(START);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let store = SqliteStore::open_with(&path, clock.clone(), 4096).unwrap();
        Self { store, clock, _folder: Some(folder) }
    }

    /// Accepts one; it must be accepted.
    pub(in crate::store) async fn accept(&self, item: NewNotification) -> NotificationId {
        let id = item.id;
        assert_eq!(self.enqueue(vec![item]).await.unwrap(), [Enqueued::Accepted]);
        id
    }

    /// Leases up to `max` from a lane.
    pub(in crate::store) async fn take(&self, lane: &Lane, max: usize) -> Vec<Leased> {
        self.lease(vec![want(lane, max)], TTL).await.unwrap()
    }

    /// Leases the one job that must be there.
    pub(in crate::store) async fn take_one(&self, lane: &Lane) -> Leased {
        let mut leased = self.take(lane, 1).await;
        assert_eq!(leased.len(), 1, "one job should be due");
        leased.remove(0)
    }

    /// Settles one.
    pub(in crate::store) async fn end(&self, leased: &Leased, outcome: Outcome) -> Settled {
        self.settle(vec![settle(leased, outcome)]).await.unwrap()[0]
    }

    /// How the notification stands.
    pub(in crate::store) async fn row(&self, tenant: TenantId, id: NotificationId) -> Row {
        self.status(tenant, id).await.unwrap().expect("it is known").row
    }
}

pub(in crate::store) fn tenant(n: u128) -> TenantId {
    TenantId(Uuid::from_u128(n))
}

pub(in crate::store) fn lane(of: u128, channel: &str) -> Lane {
    Lane { tenant: tenant(of), channel: channel.parse().unwrap() }
}

pub(in crate::store) fn want(lane: &Lane, max: usize) -> Want {
    Want { lane: lane.clone(), max }
}

/// A notification for `lane`, due at [`START`].
pub(in crate::store) fn new(lane: &Lane) -> NewNotification {
    NewNotification {
        id: NotificationId::generate(),
        lane: lane.clone(),
        priority: Priority::Normal,
        due: START,
        expires: None,
        idempotency: None,
        payload: Bytes::from_static(b"hello"),
        live_max: 1_000,
        parent: None,
        ordering_key: None,
    }
}

/// The same with an ordering key.
pub(in crate::store) fn ordered(lane: &Lane, key: &str) -> NewNotification {
    NewNotification { ordering_key: Some(key.into()), ..new(lane) }
}

/// A group of one notification for each lane.
pub(in crate::store) fn group(lanes: &[&Lane]) -> NewGroup {
    NewGroup {
        id: NotificationId::generate(),
        tenant: lanes[0].tenant,
        idempotency: None,
        payload: Bytes::from_static(b"to all"),
        live_max: 1_000,
        children: lanes.iter().map(|lane| new(lane)).collect(),
    }
}

/// The same with an idempotency key.
pub(in crate::store) fn keyed(lane: &Lane, key: &'static str, body: u8) -> NewNotification {
    let ttl = Duration::from_hours(24);
    let key = Idempotency { key: Bytes::from_static(key.as_bytes()), body_hash: [body; 32], ttl };
    NewNotification { idempotency: Some(key), ..new(lane) }
}

/// A record of an attempt.
pub(in crate::store) fn attempt(outcome: &str) -> Attempt {
    Attempt {
        started: START,
        took_ms: 12,
        outcome: String::from(outcome).into(),
        code: Some(String::from("E1")),
        detail: Some(format!("it was {outcome}")),
        provider_id: (outcome == "delivered").then(|| String::from("provider-1")),
        digest: Some("sha256:00".into()),
        counts: true,
    }
}

/// Settles `leased`, with a record that fits.
pub(in crate::store) fn settle(leased: &Leased, outcome: Outcome) -> Settle {
    let attempt = match outcome {
        Outcome::Delivered => Some(attempt("delivered")),
        Outcome::Retry { .. } => Some(attempt("retry")),
        Outcome::Dead => Some(attempt("rejected")),
        Outcome::Release { .. } => None,
    };
    Settle { token: leased.token.clone(), outcome, attempt, follow: Vec::new() }
}

/// The first page of a tenant's notifications.
pub(in crate::store) fn all_of(tenant: TenantId) -> ListQuery {
    ListQuery { tenant, state: None, channel: None, from: None, to: None, cursor: None, limit: 50 }
}
