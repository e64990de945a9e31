//! How much CPU time a call has used.
//!
//! Epoch ticks are wall time and the same for all guests, so counting them would bill a guest for
//! waiting in a host call or behind a busy neighbour. What is measured here is the time that the
//! thread itself spent inside the call's `poll`: the guest's code and the host's work for it.

use std::{
    num::NonZero,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The CPU time of the calls on one store. One call at a time.
#[derive(Debug)]
pub(super) struct CpuMeter {
    used_ns: AtomicU64,
    /// The thread's CPU clock when the running `poll` began.
    poll_began_ns: AtomicU64,
    turns: Arc<Turns>,
    /// This one's, while it runs.
    turn: Mutex<Option<OwnedSemaphorePermit>>,
}

/// What all guests share.
#[derive(Debug)]
pub(super) struct Turns {
    /// The turns of those that compute for long.
    long: Arc<Semaphore>,
    /// Whether one has run since the clock last asked.
    has_run: AtomicBool,
}

impl Turns {
    /// As many guests may compute at the same time beyond their first slice as there are threads but
    /// for one, so that what is short never stands behind what is long.
    pub(super) fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let long = Arc::new(Semaphore::new(threads.saturating_sub(1).max(1)));
        Self { long, has_run: AtomicBool::new(false) }
    }

    /// Whether a guest has run since this was last asked.
    pub(super) fn has_run(&self) -> bool {
        self.has_run.swap(false, Ordering::Relaxed)
    }

    fn note(&self) {
        // Mostly it is set already, and looking costs less than setting.
        if !self.has_run.load(Ordering::Relaxed) {
            self.has_run.store(true, Ordering::Relaxed);
        }
    }
}

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl CpuMeter {
    pub(super) const fn new(turns: Arc<Turns>) -> Self {
        Self {
            used_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            turns,
            turn: Mutex::new(None),
        }
    }

    /// What a guest waits for when its slice is over; to be called from inside the `poll`. One that
    /// has computed for less than a slice only lets the others through. One that goes on and on
    /// takes its turn with those like it, so that they together leave a thread free.
    pub(super) fn next_slice(self: &Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if self.used_while_polled() < limits::EPOCH_TICK {
            return Box::pin(tokio::task::yield_now());
        }
        let meter = Arc::clone(self);
        Box::pin(async move {
            tokio::task::yield_now().await;
            // It is never closed.
            let turn = Arc::clone(&meter.turns.long).acquire_owned().await.ok();
            *meter.lock_turn() = turn;
        })
    }

    fn lock_turn(&self) -> MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call at zero.
    pub(super) fn reset(&self) {
        self.used_ns.store(0, Ordering::Relaxed);
    }

    /// Used so far; to be asked from inside the `poll`.
    pub(super) fn used_while_polled(&self) -> Duration {
        let running = thread_cpu_ns().saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed).saturating_add(running))
    }

    /// Used by the call that is over.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }
}

/// A future whose polls are billed to a meter.
pub(super) struct Metered<F> {
    meter: Arc<CpuMeter>,
    inner: F,
}

impl<F: Future> Metered<F> {
    pub(super) const fn new(meter: Arc<CpuMeter>, inner: F) -> Self {
        Self { meter, inner }
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.meter.turns.note();
        self.meter.poll_began_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        let result = Pin::new(&mut self.inner).poll(context);
        let used = self.meter.used_while_polled();
        let used_ns = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.meter.used_ns.store(used_ns, Ordering::Relaxed);
        // Whatever it waits for now, it does not compute.
        drop(self.meter.lock_turn().take());
        result
    }
}
