//! How much CPU time a call has used.
//!
//! Epoch ticks are wall time and the same for all guests, so counting them would bill a guest for
//! waiting in a host call or behind a busy neighbour. What is measured here is the time that the
//! thread itself spent inside the call's `poll`: the guest's code and the host's work for it.
//!
//! The thread's CPU clock is asked for in a system call, which costs as much as a plain `send` of a
//! small plugin does, and the monotonic clock is not. So a `poll` that was short by the monotonic
//! clock is billed by it, which can only be too much, and a longer one by the CPU time of its thread
//! since that was last looked at, at most a slice before. Whoever has used a slice is billed by the
//! CPU clock alone. What a call is billed is never less than what it used, and about a slice more at
//! most.

use std::{
    cell::Cell,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::{Instant, Sleep};

use super::background::{self, Place};
use crate::limits;

/// A poll that took so little, in nanoseconds of the monotonic clock, is billed by that clock.
const SHORT_POLL_NS: u64 = 200_000;

thread_local! {
    /// When this thread's CPU clock was last read, in nanoseconds of the monotonic clock, and what it
    /// said.
    static LAST_LOOK: Cell<(u64, u64)> = const { Cell::new((0, 0)) };
}

/// The CPU time of the calls on one store. One call at a time.
#[derive(Debug)]
pub(super) struct CpuMeter {
    used_ns: AtomicU64,
    /// The monotonic clock when the running `poll` began.
    poll_began_ns: AtomicU64,
    /// What the thread's CPU clock said when it was last read before that, or then.
    thread_cpu_ns: AtomicU64,
    activity: Arc<Activity>,
}

/// Whether any guest runs.
#[derive(Default, Debug)]
pub(super) struct Activity {
    /// Whether one has run since the clock last asked.
    has_run: AtomicBool,
}

impl Activity {
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

fn clock_ns(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

impl CpuMeter {
    pub(super) const fn new(activity: Arc<Activity>) -> Self {
        Self {
            used_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            thread_cpu_ns: AtomicU64::new(0),
            activity,
        }
    }

    /// What a guest waits for when its slice is over, having computed for `used`; to be called from
    /// inside the `poll`. It lets the others through, and if it computes for long it goes where it
    /// is in nobody's way.
    pub(super) fn next_slice(used: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        if used >= limits::BACKGROUND_AFTER {
            background::go(Place::Background);
        }
        Box::pin(tokio::task::yield_now())
    }

    /// Begins a call at zero.
    pub(super) fn reset(&self) {
        self.used_ns.store(0, Ordering::Relaxed);
    }

    /// Used so far; to be asked from inside the `poll`.
    pub(super) fn used_while_polled(&self) -> Duration {
        Duration::from_nanos(self.used_ns_at(clock_ns(ClockId::Monotonic)))
    }

    /// The `poll` begins now, by the monotonic clock.
    fn begin_poll(&self, now_ns: u64) {
        self.poll_began_ns.store(now_ns, Ordering::Relaxed);
        let (looked_ns, cpu_ns) = LAST_LOOK.get();
        let is_exact = self.used() >= limits::EPOCH_TICK;
        let is_old = Duration::from_nanos(now_ns.saturating_sub(looked_ns)) > limits::EPOCH_TICK;
        let cpu_ns = if is_exact || is_old {
            let cpu_ns = clock_ns(ClockId::ThreadCPUTime);
            LAST_LOOK.set((now_ns, cpu_ns));
            cpu_ns
        } else {
            cpu_ns
        };
        self.thread_cpu_ns.store(cpu_ns, Ordering::Relaxed);
    }

    /// Used until `now_ns` of the monotonic clock, which is in the running `poll`.
    fn used_ns_at(&self, now_ns: u64) -> u64 {
        let took_ns = now_ns.saturating_sub(self.poll_began_ns.load(Ordering::Relaxed));
        let used_ns = if took_ns < SHORT_POLL_NS {
            took_ns
        } else {
            let before_ns = self.thread_cpu_ns.load(Ordering::Relaxed);
            took_ns.min(clock_ns(ClockId::ThreadCPUTime).saturating_sub(before_ns))
        };
        self.used_ns.load(Ordering::Relaxed).saturating_add(used_ns)
    }

    /// The `poll` is over.
    fn end_poll(&self) {
        let used_ns = self.used_ns_at(clock_ns(ClockId::Monotonic));
        self.used_ns.store(used_ns, Ordering::Relaxed);
    }

    /// Used by the call that is over.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }
}

/// A call whose polls are billed to a meter, and which ends at its wall time.
pub(super) struct Metered<F> {
    meter: Arc<CpuMeter>,
    wall: Duration,
    /// Set when the call waits for the first time: most calls never do.
    end: Option<Pin<Box<Sleep>>>,
    inner: F,
}

/// The wall time is over.
#[derive(Debug)]
pub(super) struct Elapsed;

impl<F: Future> Metered<F> {
    /// `wall` counts from the first poll.
    pub(super) const fn new(meter: Arc<CpuMeter>, wall: Duration, inner: F) -> Self {
        Self { meter, wall, end: None, inner }
    }
}

impl<F: Future + Unpin> Future for Metered<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.meter.activity.note();
        let began_ns = clock_ns(ClockId::Monotonic);
        this.meter.begin_poll(began_ns);
        let result = Pin::new(&mut this.inner).poll(context);
        this.meter.end_poll();
        if let Poll::Ready(value) = result {
            if this.meter.used() >= limits::BACKGROUND_AFTER {
                background::go(Place::Home);
            }
            return Poll::Ready(Ok(value));
        }
        let end = this.end.get_or_insert_with(|| {
            let took_ns = clock_ns(ClockId::Monotonic).saturating_sub(began_ns);
            let left = this.wall.saturating_sub(Duration::from_nanos(took_ns));
            Box::pin(tokio::time::sleep_until(Instant::now() + left))
        });
        end.as_mut().poll(context).map(|()| Err(Elapsed))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        hint::black_box,
        pin::pin,
        thread::{sleep, spawn},
    };

    use super::*;

    fn meter() -> Arc<CpuMeter> {
        Arc::new(CpuMeter::new(Arc::new(Activity::default())))
    }

    fn compute(for_at_least: Duration) {
        let began_ns = clock_ns(ClockId::ThreadCPUTime);
        let enough_ns = u64::try_from(for_at_least.as_nanos()).unwrap();
        while clock_ns(ClockId::ThreadCPUTime) - began_ns < enough_ns {
            black_box((0..1_000).sum::<u64>());
        }
    }

    /// What `polls` polls are billed, each of which does `work`.
    async fn billed(polls: usize, work: impl Fn() + Send) -> Duration {
        let meter = meter();
        let mut left = polls;
        let call = pin!(poll_fn(|context| {
            work();
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        Metered::new(Arc::clone(&meter), Duration::from_secs(60), call).await.unwrap();
        meter.used()
    }

    #[tokio::test]
    async fn what_is_computed_is_billed_whole() {
        for (polls, each_us) in [(1, 50), (1, 30_000), (100, 150), (10, 3_000)] {
            let each = Duration::from_micros(each_us);
            let computed = each * u32::try_from(polls).unwrap();
            let billed = billed(polls, || compute(each)).await;
            assert!(billed >= computed, "{polls} polls of {each:?}: {billed:?}");
        }
    }

    #[tokio::test]
    async fn a_poll_that_does_not_compute_is_billed_a_slice_at_most() {
        // As one that another process interrupts.
        compute(limits::EPOCH_TICK);
        let billed = billed(1, || sleep(Duration::from_millis(60))).await;
        assert!(billed <= limits::EPOCH_TICK * 3, "{billed:?}");
    }

    #[tokio::test]
    async fn what_the_thread_did_for_others_is_not_billed_to_who_computes_for_long() {
        let meter = meter();
        let mut left = 20;
        let call = pin!(poll_fn(|context| {
            compute(limits::EPOCH_TICK);
            left -= 1;
            if left == 0 {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }));
        let mut call = Metered::new(Arc::clone(&meter), Duration::from_secs(60), call);
        poll_fn(|context| {
            // Another's turn on the same thread.
            compute(limits::EPOCH_TICK);
            Pin::new(&mut call).poll(context)
        })
        .await
        .unwrap();
        let computed = limits::EPOCH_TICK * 20;
        assert!(meter.used() < computed + limits::EPOCH_TICK * 5, "{:?}", meter.used());
    }

    #[tokio::test]
    async fn a_call_that_waits_ends_at_its_wall_time() {
        let began = std::time::Instant::now();
        let call = pin!(std::future::pending::<()>());
        Metered::new(meter(), Duration::from_millis(50), call).await.unwrap_err();
        assert!(began.elapsed() >= Duration::from_millis(50));
    }

    #[tokio::test]
    async fn the_wall_time_counts_from_the_first_poll() {
        let began = std::time::Instant::now();
        let mut first = true;
        let call = pin!(poll_fn(|_| {
            if std::mem::take(&mut first) {
                sleep(Duration::from_millis(300));
            }
            Poll::<()>::Pending
        }));
        Metered::new(meter(), Duration::from_millis(400), call).await.unwrap_err();
        let took = began.elapsed();
        assert!(took < Duration::from_millis(600), "{took:?}");
    }

    #[test]
    fn a_call_that_moves_to_another_thread_is_billed_by_that_ones_clock() {
        // The clock of the first is far ahead of the second's.
        compute(Duration::from_millis(20));
        let meter = meter();
        let of_thread = Arc::clone(&meter);
        spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let call = pin!(poll_fn(|_| {
                    compute(Duration::from_millis(5));
                    Poll::Ready(())
                }));
                Metered::new(of_thread, Duration::from_secs(60), call).await.unwrap();
            });
        })
        .join()
        .unwrap();
        assert!(meter.used() >= Duration::from_millis(5), "{:?}", meter.used());
    }
}
