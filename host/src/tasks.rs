//! Background tasks: each has a name, all are waited for at the end, and the panic of one is kept
//! where health reports it.

use std::{
    collections::VecDeque,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::FutureExt as _;
use tokio_util::task::TaskTracker;

/// How many panics are remembered.
const PANICS_KEPT: usize = 20;

/// The tasks of the process.
#[derive(Clone, Default, Debug)]
pub struct Tasks {
    tracker: TaskTracker,
    panics: Arc<Mutex<VecDeque<String>>>,
}

impl Tasks {
    /// Starts a task.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let panics = Arc::clone(&self.panics);
        self.tracker.spawn(async move {
            let Err(panic) = AssertUnwindSafe(task).catch_unwind().await else { return };
            let why = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned())
                .unwrap_or_else(|| String::from("no message"));
            tracing::error!(task = name, "a background task panicked: {why}");
            let mut panics = panics.lock().unwrap_or_else(PoisonError::into_inner);
            if panics.len() == PANICS_KEPT {
                panics.pop_front();
            }
            panics.push_back(format!("{name}: {why}"));
        });
    }

    /// The tasks that panicked, and what they said; the newest last.
    #[must_use]
    pub fn panics(&self) -> Vec<String> {
        self.panics.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
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
    async fn a_panic_ends_its_own_task_and_is_remembered() {
        let tasks = Tasks::default();
        tasks.spawn("good", async {});
        tasks.spawn("bad", async { panic!("no more bread") });
        tasks.finish().await;
        assert_eq!(tasks.panics(), ["bad: no more bread"]);
    }
}
