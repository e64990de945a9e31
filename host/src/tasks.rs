//! Background tasks: each has a name, all are waited for at the end, and the panic of one is put
//! where health reports it.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::{FutureExt as _, future::BoxFuture};
use tokio_util::task::TaskTracker;

use crate::{
    clock::Clock,
    observe::{HealthBoard, TaskFailure},
};

/// The tasks of the process.
#[derive(Clone, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    health: Arc<HealthBoard>,
    clock: Clock,
}

impl Tasks {
    /// No tasks yet; panics will be reported to `health`.
    #[must_use]
    pub fn new(health: Arc<HealthBoard>, clock: Clock) -> Self {
        Self { tracker: TaskTracker::new(), health, clock }
    }

    /// Starts a task.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(self.caught(name, task));
    }

    /// The same for a task that `wrap` makes another of.
    pub fn spawn_as<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
        wrap: impl FnOnce(BoxFuture<'static, ()>) -> F,
    ) {
        let token = self.tracker.token();
        let task = self.caught(name, task);
        let task = wrap(Box::pin(async move {
            task.await;
            drop(token);
        }));
        drop(tokio::runtime::Handle::current().spawn(task));
    }

    /// `task`, with its panic put on the health board.
    fn caught(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let Self { health, clock, .. } = self.clone();
        async move {
            let Err(panic) = AssertUnwindSafe(task).catch_unwind().await else { return };
            let why = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| String::from("no message"));
            tracing::error!(task = name, "a background task panicked: {why}");
            let why = format!("panicked: {why}");
            health.task_failed(TaskFailure { name: String::from(name), at: clock.now(), why });
        }
    }

    /// How many are running, connections among them.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tracker.len()
    }

    /// The tracker itself, for servers that spawn by themselves.
    #[must_use]
    pub const fn tracker(&self) -> &TaskTracker {
        &self.tracker
    }

    /// Waits until all tasks have ended.
    pub async fn finish(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_ends_its_own_task_and_is_reported() {
        let health = Arc::new(HealthBoard::default());
        let tasks = Tasks::new(Arc::clone(&health), Clock::system());
        tasks.spawn("good", async {});
        tasks.spawn("bad", async { panic!("no more bread") });
        tasks.finish().await;
        let failures = health.read().task_failures;
        assert_eq!(failures.len(), 1);
        assert_eq!((&*failures[0].name, &*failures[0].why), ("bad", "panicked: no more bread"));
    }
}
