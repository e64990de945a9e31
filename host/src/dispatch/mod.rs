//! From the queue to the sandbox and back: who is served next, what a failure means, and when to
//! try again.
//!
//! Two tasks. The *scheduler* leases due jobs fairly and hands them to bindings; it leases only what
//! it can run, so nothing waits outside the store. The *settler* takes the reports, decides, writes
//! many of them in one transaction, and tells whoever waits.
//!
//! Between the two stand the [`guards`]: breakers and rates, which hold back what would fail or is
//! too much before it costs a lease or an attempt. What an end brings about ([`follow`]: another
//! channel, a callback) is accepted in the transaction of that end.

mod alarms;
mod breaker;
mod bucket;
mod callbacks;
mod delivery;
mod follow;
mod guards;
mod poison;
mod policy;
mod recent;
mod ring;
mod scheduler;
mod settler;
mod signals;
#[cfg(test)]
mod tests;
mod waiting;

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::Clock,
    config::ThrottleScope,
    egress::Egress,
    generation::Current,
    ids::PluginName,
    limits,
    outcomes::Outcomes,
    sandbox::Sandbox,
    store::{Lane, NewEvent, Store},
    tasks::Tasks,
};

pub use alarms::{BreakerScope, BreakerStatus, Breakers};
use guards::Guards;

/// Who counts deliveries. Called on the hot path: do not wait.
pub trait Observer: Send + Sync + 'static {
    /// An attempt begins; it runs until what is returned is dropped.
    fn begun(&self, plugin: &PluginName) -> Box<dyn Send>;
    /// An attempt is over: its outcome's word (see [`crate::store::Attempt`]), and how long the
    /// plugin took, if it was called.
    fn attempt(&self, plugin: &PluginName, outcome: &'static str, took: Option<Duration>);
    /// How many lanes have work.
    fn lanes(&self, count: usize);
    /// A breaker is not closed any more; it is again when what is returned is dropped.
    fn breaker_opened(&self, plugin: &PluginName, scope: BreakerScope) -> Box<dyn Send>;
    /// A lane, or a message, waits although it is due, because of a rate.
    fn throttled(&self, plugin: &PluginName, scope: ThrottleScope);
    /// There is a message for a plugin that is not loaded yet.
    fn wanted(&self, plugin: &PluginName);
}

/// What dispatching needs.
#[derive(Clone)]
pub struct Dispatch {
    /// The queue.
    pub store: Arc<dyn Store>,
    /// What is configured now.
    pub current: Arc<Current>,
    /// Where plugins run.
    pub sandbox: Arc<Sandbox>,
    /// The way out, for callbacks.
    pub egress: Arc<Egress>,
    /// Who waits.
    pub outcomes: Arc<Outcomes>,
    /// Who counts.
    pub observer: Arc<dyn Observer>,
    /// The time.
    pub clock: Clock,
}

/// Running dispatch; see [`Dispatch::start`].
#[derive(Debug)]
pub struct Running {
    guards: Arc<Guards>,
    clock: Clock,
    stopping: CancellationToken,
    stopped: Arc<Notify>,
    nudge: Arc<Notify>,
}

/// What the scheduler hears of the deliveries that it began.
#[derive(Debug)]
enum Finished {
    /// A call is over for each of these: their lanes have room. What came of it is not on disk yet.
    Calls(Vec<Lane>),
    /// It is on disk for so many. Until then they count, since as many as may be in flight have a
    /// place where they wait for the store, and since they are waited for at the end.
    Settled(usize),
}

impl Dispatch {
    /// Starts dispatching.
    #[must_use]
    pub fn start(self, tasks: &Tasks) -> Running {
        // Both channels hold as many messages as there can be deliveries, so sending never waits.
        let (completed_in, completed) = mpsc::channel(limits::DELIVERIES_AT_ONCE);
        let (finished_in, finished) = mpsc::channel(limits::DELIVERIES_AT_ONCE);
        let (events, alarms) = mpsc::channel(limits::ALARMS_WAITING_MAX);
        let guards = Guards::new(Arc::clone(&self.observer), events);
        tasks.spawn("alarms", write_down(Arc::clone(&self.store), alarms));
        let running = Running {
            guards: Arc::clone(&guards),
            clock: self.clock.clone(),
            stopping: CancellationToken::new(),
            stopped: Arc::default(),
            nudge: Arc::default(),
        };
        let settler =
            settler::Settler::new(self.clone(), Arc::clone(&guards), completed, finished_in);
        tasks.spawn("settler", settler.run());
        let egress = Arc::clone(&self.egress);
        let postman = callbacks::Postman::new(egress, tasks.clone(), self.clock.clone());
        let scheduler = scheduler::Scheduler::new(
            delivery::Starter { dispatch: self, guards, postman, completed: completed_in },
            finished,
            running.stopping.clone(),
            Arc::clone(&running.nudge),
        );
        let stopped = Arc::clone(&running.stopped);
        tasks.spawn("scheduler", async move {
            scheduler.run().await;
            stopped.notify_one();
        });
        running
    }
}

impl Running {
    /// Looks at every lane again: a new generation may have mended what a pause was about.
    pub fn nudge(&self) {
        self.nudge.notify_one();
    }

    /// Every breaker that is not closed.
    #[must_use]
    pub fn breakers(&self) -> Breakers {
        self.guards.status(self.clock.now())
    }

    /// Leases nothing more and waits until what is running is over, for `grace` at most. True when
    /// nothing was left.
    pub async fn stop(&self, grace: Duration) -> bool {
        self.stopping.cancel();
        tokio::time::timeout(grace, self.stopped.notified()).await.is_ok()
    }
}

/// Bounds what a plugin or provider said.
fn short(text: &str) -> String {
    let end = text.floor_char_boundary(limits::ERROR_BYTES_MAX);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Writes alarms down, one after the other.
async fn write_down(store: Arc<dyn Store>, mut alarms: mpsc::Receiver<NewEvent>) {
    while let Some(event) = alarms.recv().await {
        if let Err(error) = store.record_event(event).await {
            tracing::warn!("an alarm was not written down as an event: {error}");
        }
    }
}
