//! A store in memory that does what the surface needs of one, and fails when it is told to.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    outcomes::Ending,
    store::{
        Attempt, Counters, Discarded, Enqueued, Event, EventQuery, Health, Hints, Leased,
        ListQuery, NewEvent, NewGroup, NewNotification, Page, ParentStatus, Purged, Ready, Row,
        Settle, Settled, State, Status, Store, StoreError, Want,
    },
};

#[derive(Default)]
struct Tables {
    rows: BTreeMap<NotificationId, (NewNotification, Status)>,
    unseen: Vec<NotificationId>,
    error: Option<StoreError>,
    health: Option<Health>,
}

/// See the module's text.
#[derive(Default)]
pub(in crate::api) struct FakeStore {
    tables: Mutex<Tables>,
    accepted: Notify,
    hints: Hints,
}

impl FakeStore {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap()
    }

    pub(in crate::api) fn fail_with(&self, error: Option<StoreError>) {
        self.tables().error = error;
    }

    pub(in crate::api) fn be(&self, health: Health) {
        self.tables().health = Some(health);
    }

    pub(in crate::api) fn all(&self) -> Vec<NewNotification> {
        self.tables().rows.values().map(|(new, _)| new.clone()).collect()
    }

    pub(in crate::api) async fn next_accepted(&self) -> NotificationId {
        loop {
            if let Some(id) = self.tables().unseen.pop() {
                return id;
            }
            self.accepted.notified().await;
        }
    }

    pub(in crate::api) fn set_state(&self, id: NotificationId, state: State) {
        self.tables().rows.get_mut(&id).unwrap().1.row.state = state;
    }

    pub(in crate::api) fn end(&self, id: NotificationId, ending: &Ending) {
        let mut tables = self.tables();
        let status = &mut tables.rows.get_mut(&id).unwrap().1;
        let mut attempt = Attempt {
            started: status.row.created,
            took_ms: 5,
            outcome: "delivered".into(),
            code: None,
            detail: None,
            provider_id: None,
            digest: None,
            counts: true,
        };
        match ending {
            Ending::Delivered { provider_id } => {
                status.row.state = State::Delivered;
                status.row.provider_id.clone_from(provider_id);
            }
            Ending::Cancelled => status.row.state = State::Cancelled,
            Ending::Dead { outcome, code, detail } => {
                status.row.state = State::Dead;
                status.row.last_error.clone_from(detail);
                attempt.outcome = outcome.clone().into();
                attempt.code.clone_from(code);
                attempt.detail.clone_from(detail);
            }
        }
        status.row.attempts += 1;
        status.attempts.push((0, status.row.attempts, attempt));
    }

    fn check(&self) -> Result<MutexGuard<'_, Tables>, StoreError> {
        let tables = self.tables();
        match &tables.error {
            Some(error) => Err(error.clone()),
            None => Ok(tables),
        }
    }
}

fn status_of(new: &NewNotification) -> Status {
    Status {
        row: Row {
            id: new.id,
            lane: new.lane.clone(),
            state: State::Queued,
            priority: new.priority,
            created: super::NOW,
            updated: super::NOW,
            attempts: 0,
            generation: 0,
            provider_id: None,
            last_error: None,
            parent: None,
        },
        due: Some(new.due),
        blocked_by: None,
        payload: new.payload.clone(),
        attempts: Vec::new(),
    }
}

fn enqueue_one(tables: &mut Tables, new: NewNotification) -> Enqueued {
    let key = |item: &NewNotification| item.idempotency.as_ref().map(|key| key.key.clone());
    let first = tables.rows.values().find(|(old, _)| {
        key(&new).is_some() && key(old) == key(&new) && old.lane.tenant == new.lane.tenant
    });
    if let Some((first, _)) = first {
        let hash = |item: &NewNotification| item.idempotency.as_ref().map(|key| key.body_hash);
        return Enqueued::Duplicate { id: first.id, same_body: hash(first) == hash(&new) };
    }
    let live = tables
        .rows
        .values()
        .filter(|(old, status)| {
            old.lane.tenant == new.lane.tenant && !status.row.state.is_terminal()
        })
        .count() as u64;
    if live >= new.live_max {
        return Enqueued::OverQuota { live };
    }
    tables.unseen.push(new.id);
    tables.rows.insert(new.id, (new.clone(), status_of(&new)));
    Enqueued::Accepted
}

#[async_trait]
impl Store for FakeStore {
    async fn enqueue(&self, items: Vec<NewNotification>) -> Result<Vec<Enqueued>, StoreError> {
        let results = {
            let mut tables = self.check()?;
            items.into_iter().map(|new| enqueue_one(&mut tables, new)).collect()
        };
        self.accepted.notify_one();
        Ok(results)
    }

    async fn enqueue_groups(&self, _: Vec<NewGroup>) -> Result<Vec<Enqueued>, StoreError> {
        Ok(Vec::new())
    }

    async fn parent(
        &self,
        _: TenantId,
        _: NotificationId,
    ) -> Result<Option<ParentStatus>, StoreError> {
        Ok(None)
    }

    async fn lease(&self, _: Vec<Want>, _: Duration) -> Result<Vec<Leased>, StoreError> {
        Ok(Vec::new())
    }

    async fn settle(&self, _: Vec<Settle>) -> Result<Vec<Settled>, StoreError> {
        Ok(Vec::new())
    }

    async fn ready(&self) -> Result<Vec<Ready>, StoreError> {
        Ok(Vec::new())
    }

    fn hints(&self) -> &Hints {
        &self.hints
    }

    async fn status(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Status>, StoreError> {
        let tables = self.check()?;
        let found = tables.rows.get(&id).filter(|(new, _)| new.lane.tenant == tenant);
        Ok(found.map(|(_, status)| status.clone()))
    }

    async fn list(&self, query: ListQuery) -> Result<Page<Row>, StoreError> {
        let tables = self.check()?;
        let rows = tables.rows.values().rev().map(|(_, status)| status.row.clone());
        let matching = rows.filter(|row| {
            row.lane.tenant == query.tenant
                && query.state.is_none_or(|state| state == row.state)
                && query.channel.as_ref().is_none_or(|channel| *channel == row.lane.channel)
        });
        let start = usize::try_from(query.cursor.unwrap_or(0)).unwrap();
        let mut items: Vec<Row> = matching.skip(start).take(query.limit + 1).collect();
        let more = items.len() > query.limit;
        items.truncate(query.limit);
        let next = more.then(|| i64::try_from(start + query.limit).unwrap());
        Ok(Page { items, next })
    }

    async fn counters(&self, _: TenantId) -> Result<Counters, StoreError> {
        self.totals().await
    }

    async fn totals(&self) -> Result<Counters, StoreError> {
        let tables = self.check()?;
        let mut counters = Counters::default();
        for (_, status) in tables.rows.values() {
            *counters.of_mut(status.row.state) += 1;
        }
        Ok(counters)
    }

    async fn cancel(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        let Some(status) = self.status(tenant, id).await? else { return Ok(None) };
        if matches!(status.row.state, State::Queued | State::Retrying) {
            self.set_state(id, State::Cancelled);
            return Ok(Some(State::Cancelled));
        }
        Ok(Some(status.row.state))
    }

    async fn replay(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<State>, StoreError> {
        let Some(status) = self.status(tenant, id).await? else { return Ok(None) };
        if status.row.state.is_terminal() {
            self.set_state(id, State::Queued);
        }
        Ok(Some(status.row.state))
    }

    async fn discard(
        &self,
        tenant: TenantId,
        id: NotificationId,
    ) -> Result<Option<Discarded>, StoreError> {
        let Some(status) = self.status(tenant, id).await? else { return Ok(None) };
        if status.row.state != State::Dead {
            return Ok(Some(Discarded::Stays(status.row.state)));
        }
        self.check()?.rows.remove(&id);
        Ok(Some(Discarded::Gone(1)))
    }

    async fn purge(&self, _: UnixMs, _: i64, _: usize) -> Result<Purged, StoreError> {
        Ok(Purged { removed: 0, next: None })
    }

    async fn purge_events(&self, _: UnixMs, _: usize) -> Result<usize, StoreError> {
        Ok(0)
    }

    async fn record_event(&self, _: NewEvent) -> Result<(), StoreError> {
        Ok(())
    }

    async fn events(&self, _: EventQuery) -> Result<Page<Event>, StoreError> {
        Ok(Page { items: Vec::new(), next: None })
    }

    fn last_event(&self) -> tokio::sync::watch::Receiver<i64> {
        tokio::sync::watch::Sender::new(0).subscribe()
    }

    fn health(&self) -> Health {
        self.tables().health.clone().unwrap_or(Health::Ok)
    }

    async fn close(&self) {}
}
