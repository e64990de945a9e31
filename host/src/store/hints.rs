//! Which lanes got work: how the store wakes the dispatcher without a queue that could grow.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{Lane, Priority};
use crate::clock::UnixMs;

/// What is said of a lane that got work.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Hint {
    /// When the first of its new jobs is due.
    pub due: UnixMs,
    /// The most urgent of them, which need not be the one that is due first.
    pub priority: Priority,
}

impl Hint {
    /// Both in one.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { due: self.due.min(other.due), priority: self.priority.min(other.priority) }
    }
}

/// For every lane that got work since the last look, when it is due and how urgent. Bounded by the
/// number of lanes, and loses nothing.
#[derive(Default, Debug)]
pub struct Hints {
    lanes: Mutex<HashMap<Lane, Hint>>,
    changed: Notify,
}

impl Hints {
    /// Says that `lane` has a job.
    pub fn add(&self, lane: &Lane, hint: Hint) {
        {
            let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
            match lanes.get_mut(lane) {
                Some(known) => *known = known.and(hint),
                None => drop(lanes.insert(lane.clone(), hint)),
            }
        }
        self.changed.notify_one();
    }

    /// Takes all hints.
    #[must_use]
    pub fn take(&self) -> HashMap<Lane, Hint> {
        std::mem::take(&mut *self.lanes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until there may be a hint. One waiter at a time.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}
