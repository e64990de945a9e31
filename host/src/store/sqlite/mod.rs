//! The embedded engine: SQLite, one thread that writes, a few connections that read.
//!
//! One transaction carries whatever was waiting, and one sync makes all of it durable (group
//! commit); measured, that is worth a factor of 17. A claim never walks history, future jobs or
//! other tenants.

mod attempts;
mod audit;
mod backup;
mod ballast;
mod codes;
mod discard;
mod enqueue;
mod events;
mod groups;
mod health;
mod lease;
mod list;
mod lock;
mod names;
mod open;
mod operator;
mod purge;
mod queue;
mod readers;
mod reads;
mod recover;
mod schema;
mod serial;
mod settle;
mod tallies;
#[cfg(test)]
mod tests;
mod work;
mod writer;

use std::{thread::JoinHandle, time::Duration};

use async_trait::async_trait;
use tokio::sync::{oneshot, watch};

use self::{
    discard::Discard,
    enqueue::Enqueue,
    groups::EnqueueGroups,
    health::Condition,
    lease::Lease,
    operator::{Cancel, Replay},
    purge::{Purge, PurgeEvents},
    queue::Queue,
    readers::Readers,
    settle::SettleAll,
    tallies::Tallies,
    work::{Call, Work},
};
use super::{
    Counters, Discarded, Enqueued, Event, EventQuery, Health, Hints, Leased, ListQuery, NewEvent,
    NewGroup, NewNotification, Page, ParentStatus, Purged, Ready, Row, Settle, Settled, State,
    Status, Store, StoreError, Want,
};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
};

#[cfg(test)]
pub(super) use self::tests::check;
pub use self::{
    audit::{Audit, AuditError},
    backup::{BackupError, Copied, backup, restore},
    open::OpenError,
};

/// What callers and the writer's thread share.
struct Shared {
    queue: Queue,
    condition: Condition,
    tallies: Tallies,
    hints: Hints,
    ended: watch::Sender<bool>,
    last_event: watch::Sender<i64>,
}

/// The store in a file. Dropping it ends the writer after what was waiting, as [`Store::close`] does.
///
/// On a full disk ([`Health::ReadOnly`]) new notifications are refused by [`Store::enqueue`] itself.
/// Each call for the writer, and each of [`Store::ready`], once a second at most, is also what finds
/// out that there is room again.
pub struct SqliteStore {
    shared: std::sync::Arc<Shared>,
    readers: Readers,
    thread: Option<JoinHandle<()>>,
}

impl SqliteStore {
    /// Tells at once when a write or sync failed, and why. The process must end then: SQLite would
    /// carry on, but what the page cache says after a failed sync cannot be believed.
    #[must_use]
    pub fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.condition.failed()
    }

    /// Has `work` done by the writer.
    async fn submit<W: Work>(&self, work: W) -> Result<W::Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Box::new(Call::new(work, reply)))?;
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Unknown(String::from("the store's writer ended before it answered")))
        })
    }

    /// Asks `question` of a connection that reads.
    async fn ask<T, Q>(&self, question: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&rusqlite::Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match self.shared.condition.refusal() {
            Some(refusal) => Err(refusal),
            None => self.readers.ask(question).await,
        }
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.readers.close();
        self.shared.queue.close();
        if let Some(thread) = self.thread.take() {
            // A panic there has been told of already.
            let _panicked = thread.join();
        }
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SqliteStore({:?})", self.shared.condition.health())
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn enqueue(&self, items: Vec<NewNotification>) -> Result<Vec<Enqueued>, StoreError> {
        self.submit(Enqueue(items)).await
    }

    async fn enqueue_groups(&self, groups: Vec<NewGroup>) -> Result<Vec<Enqueued>, StoreError> {
        self.submit(EnqueueGroups(groups)).await
    }

    async fn lease(&self, wants: Vec<Want>, ttl: Duration) -> Result<Vec<Leased>, StoreError> {
        self.submit(Lease { wants, ttl }).await
    }

    async fn settle(&self, items: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        self.submit(SettleAll(items)).await
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        // On a full disk the writer looks for room whenever it has something to do. Callers stay
        // away from a host that is not ready, so this question, asked once a second, is that too.
        if self.shared.condition.is_read_only() {
            let looked = self.submit(Lease { wants: Vec::new(), ttl: Duration::ZERO }).await;
            tracing::debug!(ok = looked.is_ok(), "looked for room");
        }
        self.ask(reads::ready).await
    }

    fn hints(&self) -> &Hints {
        &self.shared.hints
    }

    async fn status(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Status>, StoreError> {
        self.ask(move |conn| reads::status(conn, tenant, id)).await
    }

    async fn parent(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<ParentStatus>, StoreError> {
        self.ask(move |conn| groups::status(conn, tenant, id)).await
    }

    async fn list(&self, query: ListQuery) -> Result<Page<Row>, StoreError> {
        self.ask(move |conn| list::list(conn, &query)).await
    }

    async fn counters(&self, tenant: TenantId) -> Result<Counters, StoreError> {
        Ok(self.shared.tallies.of(tenant))
    }

    async fn totals(&self) -> Result<Counters, StoreError> {
        Ok(self.shared.tallies.all())
    }

    async fn cancel(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        self.submit(Cancel(tenant, id)).await
    }

    async fn replay(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        self.submit(Replay(tenant, id)).await
    }

    async fn discard(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Discarded>, StoreError> {
        self.submit(Discard(tenant, id)).await
    }

    async fn purge(&self, before: UnixMs, after: i64, limit: usize) -> Result<Purged, StoreError> {
        self.submit(Purge { before, after, limit }).await
    }

    async fn purge_events(&self, before: UnixMs, limit: usize) -> Result<usize, StoreError> {
        self.submit(PurgeEvents { before, limit }).await
    }

    async fn record_event(&self, event: NewEvent) -> Result<(), StoreError> {
        self.submit(events::Record(event)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StoreError> {
        self.ask(move |conn| events::events(conn, &query)).await
    }

    fn last_event(&self) -> watch::Receiver<i64> {
        self.shared.last_event.subscribe()
    }

    fn health(&self) -> Health {
        self.shared.condition.health()
    }

    async fn close(&self) {
        self.readers.close();
        self.shared.queue.close();
        let mut ended = self.shared.ended.subscribe();
        // It only fails when the sender is gone, and we hold it.
        let _gone = ended.wait_for(|ended| *ended).await;
    }
}
