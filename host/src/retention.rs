//! Retention: now and then, everything that is over for long enough is removed.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, UnixMs},
    limits::{PURGE_CHUNK, PURGE_EVERY, PURGE_PAUSE},
    store::{Store, StoreError},
};

/// For how long things are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Retention {
    /// Notifications, from their end on, with their payload and attempts.
    pub notifications: Duration,
    /// Events, from when they happened on.
    pub events: Duration,
}

/// Removes what is too old, in rounds, until `stopping`.
pub async fn run(
    store: Arc<dyn Store>,
    clock: Clock,
    retention: Retention,
    stopping: CancellationToken,
) {
    let rounds = async {
        loop {
            match round(&*store, clock.now(), retention).await {
                Ok((0, 0)) => tracing::debug!("retention: nothing is too old"),
                Ok((notifications, events)) => {
                    tracing::info!(notifications, events, "retention: what was too old is removed");
                }
                Err(StoreError::Closed) => return,
                Err(error) => tracing::warn!("retention: tried again later: {error}"),
            }
            tokio::time::sleep(PURGE_EVERY).await;
        }
    };
    tokio::select! {
        () = rounds => {}
        () = stopping.cancelled() => {}
    }
}

/// Everything that is too old at `now`: how many notifications and events were removed.
async fn round(
    store: &dyn Store,
    now: UnixMs,
    retention: Retention,
) -> Result<(usize, usize), StoreError> {
    let (mut notifications, mut events, mut after) = (0, 0, 0);
    loop {
        let chunk = store.purge(now.before(retention.notifications), after, PURGE_CHUNK).await?;
        notifications += chunk.removed;
        match chunk.next {
            Some(next) => after = next,
            None => break,
        }
        // What callers and deliveries want to write goes first.
        tokio::time::sleep(PURGE_PAUSE).await;
    }
    loop {
        let removed = store.purge_events(now.before(retention.events), PURGE_CHUNK).await?;
        events += removed;
        if removed < PURGE_CHUNK {
            return Ok((notifications, events));
        }
        tokio::time::sleep(PURGE_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        ids::{NotificationId, TenantId},
        store::{
            EventQuery, Lane, NewNotification, Outcome, Priority, Settle, Want, memory::MemoryStore,
        },
    };

    const DAY_MS: i64 = 24 * 3_600_000;

    #[tokio::test]
    async fn what_is_too_old_goes_each_kind_at_its_time() {
        let clock = Clock::manual(UnixMs(1_763_746_800_000));
        let store = MemoryStore::new(clock.clone());
        let lane =
            Lane { tenant: TenantId(uuid::Uuid::from_u128(1)), channel: "mail".parse().unwrap() };
        let new = || NewNotification {
            id: NotificationId::generate(),
            lane: lane.clone(),
            priority: Priority::Normal,
            due: clock.now(),
            expires: None,
            idempotency: None,
            payload: Bytes::new(),
            live_max: 10,
            parent: None,
            ordering_key: None,
        };
        store.enqueue(vec![new()]).await.unwrap();
        let want = Want { lane: lane.clone(), max: 1 };
        let leased = store.lease(vec![want], Duration::from_secs(9)).await.unwrap();
        let token = leased[0].token.clone();
        let (outcome, attempt, follow) = (Outcome::Delivered, None, Vec::new());
        store.settle(vec![Settle { token, outcome, attempt, follow }]).await.unwrap();
        let retention =
            Retention { notifications: Duration::from_hours(24), events: Duration::from_hours(48) };
        store.enqueue(vec![new()]).await.unwrap();
        let mut removed = Vec::new();
        for _ in 0..3 {
            removed.push(round(&*store, clock.now(), retention).await.unwrap());
            clock.advance_ms(DAY_MS + 1);
        }
        assert_eq!(removed, [(0, 0), (1, 0), (0, 3)]);
        let query = EventQuery { tenant: None, after: 0, limit: 10 };
        assert!(store.events(query).await.unwrap().items.is_empty());
    }

    #[tokio::test]
    async fn it_stops_when_it_is_told_to() {
        let clock = Clock::manual(UnixMs(0));
        let stopping = CancellationToken::new();
        let retention =
            Retention { notifications: Duration::from_hours(24), events: Duration::from_hours(24) };
        stopping.cancel();
        run(MemoryStore::new(clock.clone()), clock, retention, stopping).await;
    }
}
