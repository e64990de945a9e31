//! The word that the host goes down, for those who ask with every request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

/// A [`CancellationToken`] that can be asked without the lock that its clones share.
#[derive(Clone, Default, Debug)]
pub struct Stopping {
    token: CancellationToken,
    begun: Arc<AtomicBool>,
}

impl Stopping {
    /// Not yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Now. Whoever waits is woken after it can be asked for.
    pub fn cancel(&self) {
        self.begun.store(true, Ordering::Release);
        self.token.cancel();
    }

    /// Whether it was said.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// Waits until it is said.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// The same for those who only wait.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_ask_and_all_who_wait_are_told() {
        let stopping = Stopping::new();
        let (clone, token) = (stopping.clone(), stopping.token());
        assert!(!clone.is_cancelled() && !token.is_cancelled());
        stopping.cancel();
        assert!(clone.is_cancelled() && token.is_cancelled());
        clone.cancelled().await;
    }
}
