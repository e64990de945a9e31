//! Callers that wait for the end of their notification.
//!
//! `api` registers before it enqueues, `dispatch` tells after the end is on disk. Nobody waiting is
//! the ordinary case after the caller's patience has ended.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use crate::ids::NotificationId;

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
    waiting: Mutex<HashMap<NotificationId, oneshot::Sender<Ending>>>,
}

/// One caller's wait; gives its place up when it is dropped.
#[derive(Debug)]
pub struct Waiter {
    outcomes: Arc<Outcomes>,
    id: NotificationId,
    receiver: oneshot::Receiver<Ending>,
}

impl Outcomes {
    /// Begins to wait for `id`. Call this before the notification is enqueued.
    #[must_use]
    pub fn register(self: &Arc<Self>, id: NotificationId) -> Waiter {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(id, sender);
        Waiter { outcomes: Arc::clone(self), id, receiver }
    }

    /// Says how `id` ended, if somebody waits for it.
    pub fn tell(&self, id: NotificationId, ending: Ending) {
        let waiting = self.lock().remove(&id);
        if let Some(sender) = waiting {
            // The caller may have hung up in this very moment.
            drop(sender.send(ending));
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NotificationId, oneshot::Sender<Ending>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The end, when it comes. Pending for ever when nobody will tell: give it a time limit.
    pub async fn ending(&mut self) -> Ending {
        match (&mut self.receiver).await {
            Ok(ending) => ending,
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.outcomes.lock().remove(&self.id);
    }
}
