//! Callers that wait for the end of their notification.
//!
//! `api` registers before it enqueues, `dispatch` tells after the end is on disk. Nobody waiting is
//! the ordinary case after the caller's patience has ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

use crate::ids::{IdHash, NotificationId};

/// How a notification ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The provider has it.
    Delivered {
        /// The provider's id of the message.
        provider_id: Option<String>,
    },
    /// Taken back before it was sent.
    Cancelled,
    /// Given up.
    Dead {
        /// The outcome of the last attempt, one of the words of [`crate::store::Attempt`].
        outcome: String,
        /// The provider's or plugin's code.
        code: Option<String>,
        /// One sentence; no secret.
        detail: Option<String>,
    },
}

/// Who waits for what. Bounded by the number of requests that are being served.
#[derive(Default, Debug)]
pub struct Outcomes {
    waiting: Mutex<Waiting>,
}

#[derive(Default, Debug)]
struct Waiting {
    callers: HashMap<NotificationId, oneshot::Sender<Ending>, IdHash>,
    stopped: bool,
}

/// One caller's wait; gives its place up when it is dropped.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Arc<Outcomes>,
    id: NotificationId,
    receiver: oneshot::Receiver<Ending>,
    over: bool,
}

impl Outcomes {
    /// Begins to wait for `id`. Call this before the notification is enqueued.
    #[must_use]
    pub fn register(self: &Arc<Self>, id: NotificationId) -> Waiter {
        let (sender, receiver) = oneshot::channel();
        {
            let mut waiting = self.lock();
            if !waiting.stopped {
                waiting.callers.insert(id, sender);
            }
        }
        Waiter { outcomes: Arc::clone(self), id, receiver, over: false }
    }

    /// Says how `id` ended, if somebody waits for it.
    pub fn tell(&self, id: NotificationId, ending: Ending) {
        let waiting = self.lock().callers.remove(&id);
        if let Some(sender) = waiting {
            // The caller may have hung up in this very moment.
            drop(sender.send(ending));
        }
    }

    /// Another notification goes on in the place of `id`: whoever waits for the one waits for the
    /// other now.
    pub fn pass_on(&self, id: NotificationId, next: NotificationId) {
        let mut waiting = self.lock();
        let Some(sender) = waiting.callers.remove(&id) else { return };
        // Those who have left since do not pile up: the caller removes only what it has registered.
        waiting.callers.retain(|_, waiting| !waiting.is_closed());
        waiting.callers.insert(next, sender);
    }

    /// The host goes down: nobody waits any longer.
    pub fn stop(&self) {
        let mut waiting = self.lock();
        waiting.stopped = true;
        waiting.callers.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The end, when it comes; none when the host goes down before. Pending for ever when nobody
    /// will tell: give it a time limit.
    pub async fn ending(&mut self) -> Option<Ending> {
        let ending = (&mut self.receiver).await.ok();
        self.over = true;
        ending
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        if !self.over {
            self.outcomes.lock().callers.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_waits_longer_than_the_host_lives() {
        let outcomes = Arc::new(Outcomes::default());
        let (id, other) = (NotificationId::generate(), NotificationId::generate());
        let mut waiter = outcomes.register(id);
        let mut told = outcomes.register(other);
        outcomes.tell(other, Ending::Cancelled);
        outcomes.stop();
        assert_eq!(waiter.ending().await, None);
        assert_eq!(told.ending().await, Some(Ending::Cancelled), "what is known is told");
        assert_eq!(outcomes.register(id).ending().await, None, "and nobody begins to wait");
        assert!(outcomes.lock().callers.is_empty());
    }

    #[test]
    fn a_caller_that_leaves_leaves_nothing_behind() {
        let outcomes = Arc::new(Outcomes::default());
        drop(outcomes.register(NotificationId::generate()));
        assert!(outcomes.lock().callers.is_empty());
    }
}
