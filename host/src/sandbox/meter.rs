//! How much CPU time a call has used.
//!
//! Epoch ticks are wall time and the same for all guests, so counting them would bill a guest for
//! waiting in a host call or behind a busy neighbour. What is measured here is the time that the
//! thread itself spent inside the call's `poll`: the guest's code and the host's work for it.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};

/// The CPU time of the calls on one store. One call at a time.
#[derive(Default, Debug)]
pub(super) struct CpuMeter {
    used_ns: AtomicU64,
    /// The thread's CPU clock when the running `poll` began.
    poll_began_ns: AtomicU64,
}

fn thread_cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl CpuMeter {
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
        self.meter.poll_began_ns.store(thread_cpu_ns(), Ordering::Relaxed);
        let result = Pin::new(&mut self.inner).poll(context);
        let used = self.meter.used_while_polled();
        let used_ns = u64::try_from(used.as_nanos()).unwrap_or(u64::MAX);
        self.meter.used_ns.store(used_ns, Ordering::Relaxed);
        result
    }
}
