//! Which lanes got work: how the store wakes the dispatcher without a queue that could grow.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::Lane;
use crate::clock::UnixMs;

/// For every lane that got work since the last look, when its first job is due. Bounded by the
/// number of lanes, and loses nothing.
#[derive(Default, Debug)]
pub struct Hints {
    lanes: Mutex<HashMap<Lane, UnixMs>>,
    changed: Notify,
}

impl Hints {
    /// Says that `lane` has a job due at `due`.
    pub fn add(&self, lane: &Lane, due: UnixMs) {
        {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            match lanes.get_mut(lane) {
                Some(first) => *first = due.min(*first),
                None => drop(lanes.insert(lane.clone(), due)),
            }
        }
        self.changed.notify_one();
    }

    /// Takes all hints.
    #[must_use]
    pub fn take(&self) -> HashMap<Lane, UnixMs> {
        std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there may be a hint. One waiter at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
