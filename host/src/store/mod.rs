//! The durable queue: one trait, and what every engine behind it promises.
//!
//! * `Ok` of a call that changes something means *durable*: synced to disk before the answer.
//!   [`StoreError::Unknown`] means that the outcome is not known: repeat with the same key or token.
//! * Every call takes a batch. The results stand in the order of the input, and one bad item does
//!   not fail the others.
//! * A **lane** is one tenant's channel. Lanes are what the dispatcher schedules, so that a channel
//!   which is saturated, paused or broken leaves the schedule without holding up the tenant's others.
//! * A **lease** is a visibility timeout: the job's `due` moves to the lease's end and its attempt
//!   number rises by one, durably, *before* the delivery starts, so that a message which kills the
//!   host still uses up its attempts. An expired lease is nothing but a job that is due; there is no
//!   reaper to forget. The attempt number fences: settling with an old one changes nothing.
//! * An **ordering key** makes a lane's notifications with that key a queue of their own, first come
//!   first served: only the first of them has a job, the next one gets its job in the transaction
//!   that ends the one before it. A first one that is retried holds the others up; that is the promise.
//! * A **parent** stands for one request that became several notifications. It has one *branch* for
//!   each; a notification that takes over from another one (a fallback) continues its branch.
//! * Delivery is at least once. A crash between the provider's answer and [`Store::settle`] repeats
//!   the delivery with the same delivery key (id and generation).

#[cfg(test)]
mod conformance;
mod event;
mod event_line;
mod group;
mod hints;
mod lost;
pub mod memory;
pub mod sqlite;
mod turns;

use std::{borrow::Cow, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    clock::UnixMs,
    ids::{ChannelName, NotificationId, TenantId},
};

pub use event::{Event, EventKind, EventQuery, NewEvent};
pub use event_line::EventLine;
pub use group::{Child, NewGroup, ParentEnd, ParentStatus};
pub use hints::{Hint, Hints};

/// A tenant's channel: the unit of scheduling.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Lane {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which of the tenant's channels.
    pub channel: ChannelName,
}

/// How urgent a notification is. Decides the order inside a lane, and whose turn it is among the
/// lanes of a tenant.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum Priority {
    Low = 3,
    #[default]
    Normal = 2,
    High = 1,
    Urgent = 0,
}

impl Priority {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Urgent, Self::High, Self::Normal, Self::Low];
}

/// Where a notification stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum State {
    /// Accepted, not tried yet.
    Queued = 0,
    /// Leased: an attempt is running.
    Sending = 1,
    /// An attempt failed; another one is due.
    Retrying = 2,
    /// The provider has it.
    Delivered = 3,
    /// Given up, with a reason. Can be replayed.
    Dead = 4,
    /// Taken back by the caller before it was sent.
    Cancelled = 5,
}

impl State {
    /// Whether nothing more will happen by itself.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Delivered | Self::Dead | Self::Cancelled)
    }
}

/// A notification to accept.
#[derive(Clone, Debug)]
pub struct NewNotification {
    /// Made by the caller, so that the answer can name it whatever happens.
    pub id: NotificationId,
    /// Where it goes.
    pub lane: Lane,
    /// Order inside the lane.
    pub priority: Priority,
    /// Not before this moment.
    pub due: UnixMs,
    /// Not after this moment.
    pub expires: Option<UnixMs>,
    /// The caller's own key: the same key of the same tenant is accepted once.
    pub idempotency: Option<Idempotency>,
    /// What is to be delivered; opaque to the store.
    pub payload: Bytes,
    /// The tenant's bound on live notifications; at or over it, the item is refused. Follow-ups
    /// ([`Settle::follow`]) are exempt.
    pub live_max: u64,
    /// Whose branch it continues. Only for follow-ups, which may name the parent of the notification
    /// that they follow, of the same tenant, and no other; a group's children have the group's.
    /// Ignored otherwise.
    pub parent: Option<NotificationId>,
    /// Of its lane's notifications with the same key, it is delivered after those that were accepted
    /// before it: when they are over, one way or another.
    pub ordering_key: Option<Box<str>>,
}

/// A caller's idempotency key.
#[derive(Clone, Debug)]
pub struct Idempotency {
    /// The key, at most 255 bytes.
    pub key: Bytes,
    /// A fingerprint of the request, to tell a repetition from a mistake.
    pub body_hash: [u8; 32],
    /// How long the key is remembered.
    pub ttl: Duration,
}

/// What came of accepting one notification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Enqueued {
    /// It is on disk.
    Accepted,
    /// The key was used before, for this notification.
    Duplicate {
        /// The first notification with that key.
        id: NotificationId,
        /// Whether the request was the same.
        same_body: bool,
    },
    /// The tenant has as many live notifications as it may.
    OverQuota {
        /// How many there are.
        live: u64,
    },
}

/// Proof of a lease; needed to settle it.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct LeaseToken {
    /// Row number of the notification.
    pub seq: i64,
    /// Row number of the lane.
    pub lane: i64,
    /// Part of the job's key.
    pub priority: Priority,
    /// Part of the job's key: the lease's end.
    pub due: UnixMs,
    /// Number of this attempt, from 1; rises with every lease, so an old token is recognised.
    pub attempt: u32,
}

/// A notification that is ours to deliver until `token.due`.
#[derive(Clone, Debug)]
pub struct Leased {
    /// To settle it with.
    pub token: LeaseToken,
    /// Which notification.
    pub id: NotificationId,
    /// Where it goes.
    pub lane: Lane,
    /// 0, and one more with every replay.
    pub generation: u32,
    /// Attempts before this one that count: what a retry policy is asked with. At most one less than
    /// `token.attempt`.
    pub tries: u32,
    /// The parent, if it is part of a group.
    pub parent: Option<NotificationId>,
    /// When it was accepted.
    pub created: UnixMs,
    /// Not to be delivered after this moment.
    pub expires: Option<UnixMs>,
    /// As it was accepted.
    pub payload: Bytes,
    /// The most urgent priority of which a job of the lane was due when this one was taken: its own,
    /// unless it went by age.
    pub most_urgent: Priority,
}

/// How many jobs of a lane to lease.
#[derive(Clone, Debug)]
pub struct Want {
    /// From where.
    pub lane: Lane,
    /// At most so many.
    pub max: usize,
}

/// How one attempt went, for the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// When the plugin was called.
    pub started: UnixMs,
    /// How long it took, in milliseconds.
    pub took_ms: u32,
    /// One stable word: "delivered", "accepted", "rejected", "misconfigured", "retry", "unknown",
    /// "moved", "crashed", "timeout", "limit", "unavailable", "expired", "lost".
    pub outcome: Cow<'static, str>,
    /// The provider's or plugin's code.
    pub code: Option<String>,
    /// One sentence; no secret.
    pub detail: Option<String>,
    /// The provider's id of the message.
    pub provider_id: Option<String>,
    /// Which file ran ("sha256:…"). The same text for all attempts of a plugin, and not copied.
    pub digest: Option<Arc<str>>,
    /// Whether it is one of those that the retry policy allows. Of a retry, what its [`Outcome`] says
    /// is written and not this.
    pub counts: bool,
}

/// What becomes of a leased job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Done.
    Delivered,
    /// Try again at `due`.
    Retry {
        /// Not before this moment.
        due: UnixMs,
        /// Whether the attempt counts in [`Leased::tries`]. It is on record either way.
        counts: bool,
    },
    /// Give up.
    Dead,
    /// Not tried at all: back to the queue, and the attempt is not counted.
    Release {
        /// Not before this moment.
        due: UnixMs,
    },
}

/// One job to settle.
#[derive(Clone, Debug)]
pub struct Settle {
    /// From the lease.
    pub token: LeaseToken,
    /// What becomes of the job.
    pub outcome: Outcome,
    /// The record of the attempt; none for a release.
    pub attempt: Option<Attempt>,
    /// Notifications that are accepted in the same transaction, if the lease holds: what takes over
    /// from this one, and what tells others how it went. The tenant's quota does not stop them. One
    /// whose id or idempotency key is known already is left out.
    pub follow: Vec<NewNotification>,
}

/// What came of settling one job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settled {
    /// It is on disk.
    Done {
        /// Its parent, if this was the end of the parent's last branch.
        parent: Option<ParentEnd>,
    },
    /// The lease had run out and somebody else has the job, or it is over. Nothing was changed.
    LeaseLost,
}

/// A lane with work of one priority, for the schedule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ready {
    /// Which one.
    pub lane: Lane,
    /// Of which priority.
    pub priority: Priority,
    /// When its next job of this priority is due; in the past when it has to be served now.
    pub due: UnixMs,
}

/// A notification as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Which one.
    pub id: NotificationId,
    /// Where it goes.
    pub lane: Lane,
    /// Where it stands.
    pub state: State,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was accepted.
    pub created: UnixMs,
    /// When it last changed.
    pub updated: UnixMs,
    /// How many attempts were begun, in this generation.
    pub attempts: u32,
    /// 0, and one more with every replay.
    pub generation: u32,
    /// The provider's id of the message.
    pub provider_id: Option<String>,
    /// What the last failed attempt said.
    pub last_error: Option<String>,
    /// The parent, if it is part of a group.
    pub parent: Option<NotificationId>,
}

/// A notification with all there is to know about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// The row.
    pub row: Row,
    /// When the next attempt is due, while there is one to come.
    pub due: Option<UnixMs>,
    /// The notification at the head of its ordering key, while this one waits for it.
    pub blocked_by: Option<NotificationId>,
    /// Its payload.
    pub payload: Bytes,
    /// Each attempt, oldest first: its generation, its number, its record.
    pub attempts: Vec<(u32, u32, Attempt)>,
}

/// Which notifications to list: newest first.
#[derive(Clone, Debug)]
pub struct ListQuery {
    /// Whose. Listings never cross tenants.
    pub tenant: TenantId,
    /// Only in this state.
    pub state: Option<State>,
    /// Only of this channel.
    pub channel: Option<ChannelName>,
    /// Only accepted at this moment or later.
    pub from: Option<UnixMs>,
    /// Only accepted before this moment.
    pub to: Option<UnixMs>,
    /// Where the page before ended.
    pub cursor: Option<i64>,
    /// Rows, at most [`crate::limits::LIST_LIMIT_MAX`].
    pub limit: usize,
}

/// One page of a listing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins, if there is more.
    pub next: Option<i64>,
}

/// What one chunk of a purge came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purged {
    /// Notifications that are gone.
    pub removed: usize,
    /// Where the next chunk begins, if there may be more.
    pub next: Option<i64>,
}

/// What came of removing dead letters by their id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discarded {
    /// So many notifications are gone, with all that belongs to them.
    Gone(usize),
    /// Nothing was removed, because it is in this state; of a child whose siblings keep it, that of
    /// its [`ParentStatus::state`].
    Stays(State),
}

/// How many notifications a tenant has in each state.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[expect(missing_docs, reason = "named as the states")]
pub struct Counters {
    pub queued: u64,
    pub sending: u64,
    pub retrying: u64,
    pub delivered: u64,
    pub dead: u64,
    pub cancelled: u64,
}

impl Counters {
    /// Those that are not over.
    #[must_use]
    pub const fn live(&self) -> u64 {
        self.queued + self.sending + self.retrying
    }

    /// The counter of one state.
    pub const fn of_mut(&mut self, state: State) -> &mut u64 {
        match state {
            State::Queued => &mut self.queued,
            State::Sending => &mut self.sending,
            State::Retrying => &mut self.retrying,
            State::Delivered => &mut self.delivered,
            State::Dead => &mut self.dead,
            State::Cancelled => &mut self.cancelled,
        }
    }
}

/// How the store is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Health {
    /// It works.
    Ok,
    /// It takes nothing new (the disk is full), and settles what it has.
    ReadOnly(String),
    /// A write or sync failed: what is on disk cannot be believed. The process must end.
    Failed(String),
}

/// Why a call did not work.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Too much is waiting already; nothing was done.
    #[error("the store has more work waiting than it may")]
    Busy,
    /// There is no room for new data; nothing was done.
    #[error("the store takes nothing new: {0}")]
    ReadOnly(String),
    /// The call may or may not have been done.
    #[error("the store failed and the outcome is not known: {0}")]
    Unknown(String),
    /// A question could not be answered.
    #[error("the store could not be read: {0}")]
    Read(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// A durable queue with its history. See the module's text for what holds for every call.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Accepts notifications.
    async fn enqueue(&self, items: Vec<NewNotification>) -> Result<Vec<Enqueued>, StoreError>;

    /// Accepts groups: each with all its children or not at all.
    async fn enqueue_groups(&self, groups: Vec<NewGroup>) -> Result<Vec<Enqueued>, StoreError>;

    /// Takes due jobs, highest priority first and then the one due first, for `ttl`. When so many of a
    /// lane in a row went ahead of one that had been due longer (`limits::LANE_TURNS`), the next is
    /// the one that has been due longest; a restart begins to count anew. Takes none from lanes that
    /// are not in `wants`, and never waits for work. A job whose `expires` has
    /// passed is leased like any other; the dispatcher ends it.
    async fn lease(&self, wants: Vec<Want>, ttl: Duration) -> Result<Vec<Leased>, StoreError>;

    /// Ends leases: state, job, attempt, event, counters and follow-ups in one transaction.
    async fn settle(&self, items: Vec<Settle>) -> Result<Vec<Settled>, StoreError>;

    /// Every lane that has a job, with the time its next one is due, for each priority of which it
    /// has one; those of one lane stand together. The truth behind [`Store::hints`]; a skip scan, not
    /// a count.
    async fn ready(&self) -> Result<Vec<Ready>, StoreError>;

    /// Which lanes got work since it was last looked at.
    fn hints(&self) -> &Hints;

    /// One notification of `tenant`. Reads what this process has written.
    async fn status(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Status>, StoreError>;

    /// One parent of `tenant` with its children. [`Store::status`] does not know parents.
    async fn parent(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<ParentStatus>, StoreError>;

    /// One page of a tenant's notifications; a group's children are among them, parents are not.
    async fn list(&self, query: ListQuery) -> Result<Page<Row>, StoreError>;

    /// How many notifications a tenant has in each state: kept, not counted.
    async fn counters(&self, tenant: TenantId) -> Result<Counters, StoreError>;

    /// The same over all tenants.
    async fn totals(&self) -> Result<Counters, StoreError>;

    /// Takes back a notification that has not been sent, or whatever of a parent has not been sent.
    /// `Ok(None)`: there is none with that id; otherwise the state it is in afterwards
    /// ([`State::Cancelled`] when it worked; a parent's is that of its [`ParentStatus::state`]).
    async fn cancel(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError>;

    /// Puts a dead or delivered notification back into the queue, with a new generation and no
    /// attempts, behind all others of its ordering key. Of a parent that is over: the first of each
    /// branch that failed. `Ok(None)`: there is none with that id; otherwise the state it was in
    /// before (it was replayed if that is terminal).
    async fn replay(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError>;

    /// Removes a dead letter with all that belongs to it but its events and its idempotency key. A
    /// child goes with its whole parent, if that is over and nothing of it was delivered; a parent
    /// by its own id, if it is over and something of it is dead. `Ok(None)`: there is none with that
    /// id. The counters no longer count what was removed.
    async fn discard(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Discarded>, StoreError>;

    /// Removes notifications that were accepted and are over since before that moment, with all that
    /// belongs to them, and parents whose children are gone; children of one parent go together or
    /// not at all. One chunk of about `limit`, of those numbered behind `after`: begin with 0 and go
    /// on with [`Purged::next`], with pauses, until there is none. The newest notification stays.
    /// The counters no longer count what was removed.
    async fn purge(&self, before: UnixMs, after: i64, limit: usize) -> Result<Purged, StoreError>;

    /// Removes the oldest events, `limit` at most, up to the first one that is not from before that
    /// moment. How many.
    async fn purge_events(&self, before: UnixMs, limit: usize) -> Result<usize, StoreError>;

    /// Writes an event of the host's own down. Events of notifications are written with what they
    /// are about.
    async fn record_event(&self, event: NewEvent) -> Result<(), StoreError>;

    /// One page of events, oldest first; `next` is the number to go on after.
    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StoreError>;

    /// The number of the newest event, and when it rises: for those who follow along. Every
    /// receiver sees the newest; none is told of every one.
    fn last_event(&self) -> tokio::sync::watch::Receiver<i64>;

    /// How the store is. After [`Health::Failed`] no call works any more.
    fn health(&self) -> Health;

    /// Writes what is waiting and closes the files.
    async fn close(&self);
}
