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
