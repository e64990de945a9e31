//! The engine without a disk: for benchmarks, for trying things out, and as the model that the
//! durable engine is tested against. Everything is behind one lock, held for about a microsecond.

mod events;
mod groups;
mod history;
mod keys;
mod operator;
mod queue;
mod table;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;

use self::table::Table;
use super::{
    Counters, Discarded, Enqueued, Event, EventQuery, Health, Hints, Leased, ListQuery, NewEvent,
    NewGroup, NewNotification, Page, ParentStatus, Purged, Ready, Row, Settle, Settled, State,
    Status, Store, StoreError, Want,
};
use crate::{
    clock::{Clock, UnixMs},
    ids::{NotificationId, TenantId},
};

/// The store in memory. It forgets everything with the process, and its history is bounded: the
/// newest ten thousand notifications that are over.
#[derive(Debug)]
pub struct MemoryStore {
    table: Mutex<Table>,
    hints: Hints,
    clock: Clock,
    last_event: watch::Sender<i64>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new(clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            hints: Hints::default(),
            clock,
            last_event: watch::Sender::new(0),
        })
    }

    /// What a restart of the durable engine forgets.
    #[cfg(test)]
    pub(super) fn forget_turns(&self) {
        self.table().lanes.iter_mut().for_each(|lane| lane.turns = Default::default());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something that may leave events, and then tells those who follow them.
    fn act<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        let mut table = self.table();
        let done = act(&mut table);
        let last = table.trail.last;
        self.last_event.send_if_modified(|seen| std::mem::replace(seen, last) != last);
        done
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn enqueue(&self, items: Vec<NewNotification>) -> Result<Vec<Enqueued>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| {
            items.into_iter().map(|item| table.enqueue(item, now, &self.hints)).collect()
        }))
    }

    async fn enqueue_groups(&self, groups: Vec<NewGroup>) -> Result<Vec<Enqueued>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| {
            groups.into_iter().map(|group| table.enqueue_group(group, now, &self.hints)).collect()
        }))
    }

    async fn lease(&self, wants: Vec<Want>, ttl: Duration) -> Result<Vec<Leased>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| {
            let mut leased = Vec::new();
            for want in &wants {
                table.lease(want, now, now.after(ttl), &mut leased);
            }
            leased
        }))
    }

    async fn settle(&self, items: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| {
            items.into_iter().map(|item| table.settle(item, now, &self.hints)).collect()
        }))
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        Ok(self.table().ready())
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    async fn status(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Status>, StoreError> {
        Ok(self.table().status(tenant, id))
    }

    async fn parent(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<ParentStatus>, StoreError> {
        Ok(self.table().parent(tenant, id))
    }

    async fn list(&self, query: ListQuery) -> Result<Page<Row>, StoreError> {
        Ok(self.table().list(&query))
    }

    async fn counters(&self, tenant: TenantId) -> Result<Counters, StoreError> {
        Ok(self.table().counters(tenant))
    }

    async fn totals(&self) -> Result<Counters, StoreError> {
        Ok(self.table().totals())
    }

    async fn cancel(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| table.cancel(tenant, id, now, &self.hints)))
    }

    async fn replay(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| table.replay(tenant, id, now, &self.hints)))
    }

    async fn discard(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Discarded>, StoreError> {
        let now = self.clock.now();
        Ok(self.act(|table| table.discard(tenant, id, now)))
    }

    async fn purge(&self, before: UnixMs, _: i64, _: usize) -> Result<Purged, StoreError> {
        Ok(Purged { removed: self.table().purge(before), next: None })
    }

    async fn purge_events(&self, before: UnixMs, _: usize) -> Result<usize, StoreError> {
        Ok(self.table().trail.purge(before))
    }

    async fn record_event(&self, event: NewEvent) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.act(|table| table.trail.record(event, now));
        Ok(())
    }

    async fn events(&self, query: EventQuery) -> Result<Page<Event>, StoreError> {
        Ok(self.table().trail.page(&query))
    }

    fn last_event(&self) -> watch::Receiver<i64> {
        self.last_event.subscribe()
    }

    fn health(&self) -> Health {
        Health::Ok
    }

    async fn close(&self) {}
}
