//! Where a guest goes on that computes for long.
//!
//! A guest gives its thread back at every tick of the epoch, but for what lies behind it in the
//! queue of the runtime a slice is long: a message passes through four tasks, and would wait for a
//! slice in front of each. So whoever computes for more than [`limits::BACKGROUND_AFTER`] goes on, to
//! the end of its call, on threads of its own that have less right to the processor. From there on
//! it is the system that interrupts it, at any place, when somebody else has work.
//!
//! It does not always do so at once. A thread that has just had more than its share waits for the
//! clock of the kernel (some milliseconds) though the other one has less right, and so does whoever
//! meets a thread that is inside a system call, such as one that gives a large memory back. So the
//! threads are one fewer than the processors, where there are two: somewhere there is always room for
//! what takes no time.
//!
//! A channel whose calls have done so lately begins its next ones there ([`Habit`]): otherwise each of
//! them would take a slice in front of everybody first, and so would the start of the instance that
//! replaces one which was stopped.
//!
//! Only the computing moves. What the task starts (timers, connections, tasks) belongs to the
//! runtime that it came from.

use std::{
    cell::Cell,
    num::NonZero,
    pin::Pin,
    sync::atomic::{AtomicU32, Ordering},
    task::{Context, Poll},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::limits;

/// Where a task is polled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// Where it was started.
    Home,
    /// With those that compute for long.
    Background,
}

thread_local! {
    /// Where the task that this thread is polling wants to be polled next.
    static WANTED: Cell<Option<Place>> = const { Cell::new(None) };
}

thread_local! {
    /// Where the task is polled that this thread is polling, if it can move.
    static HERE: Cell<Option<Place>> = const { Cell::new(None) };
}

/// Whether the calls of a channel have computed for long lately.
#[derive(Default, Debug)]
pub(super) struct Habit(AtomicU32);

impl Habit {
    /// A call is over that has used so much.
    pub(super) fn note(&self, cpu: Duration) {
        if cpu >= limits::BACKGROUND_AFTER {
            self.0.store(limits::BACKGROUND_CALLS, Ordering::Relaxed);
            return;
        }
        let left = self.0.load(Ordering::Relaxed);
        if left > 0 {
            // Of two calls that end in the same moment one may not count.
            self.0.store(left - 1, Ordering::Relaxed);
        }
    }

    /// Goes, in a task that can move, where a call of this channel begins.
    pub(super) async fn begin(&self) {
        let is_heavy = self.0.load(Ordering::Relaxed) > 0;
        let place = if is_heavy { Place::Background } else { Place::Home };
        if HERE.get().is_some_and(|here| here != place) {
            go(place);
            tokio::task::yield_now().await;
        }
    }
}

/// Asks, from inside a poll, for the task to be polled there from now on. A task that was not spawned
/// by [`Background::spawn`] stays where it is.
pub(super) fn go(place: Place) {
    WANTED.set(Some(place));
}

/// The threads. They end with it.
#[derive(Debug)]
pub(super) struct Background(Option<Runtime>);

impl Background {
    /// Starts the threads: one fewer than the machine runs at once, and at least one.
    ///
    /// # Errors
    /// When the system gives no more threads.
    pub(super) fn start() -> std::io::Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads(processors))
            .thread_name("background")
            .on_thread_start(give_way)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// `task` as a task that may go to the background and come back; it begins here.
    pub(super) fn movable(&self, task: BoxFuture<'static, ()>) -> Movable {
        Movable {
            task: Some(task),
            home: Handle::current(),
            background: self.0.as_ref().map(|runtime| runtime.handle().clone()),
            place: Place::Home,
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // It may be dropped by one of its own threads.
            runtime.shutdown_background();
        }
    }
}

/// How many threads there are for those that compute for long.
fn threads(processors: usize) -> usize {
    processors.saturating_sub(limits::BACKGROUND_PROCESSORS_SPARED).max(1)
}

/// Lowers the right of this thread to the processor.
fn give_way() {
    // On Linux each thread has its own; elsewhere it would be the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(limits::BACKGROUND_NICENESS) {
        tracing::warn!("a thread for long computing cannot lower its priority: {error}");
    }
}

/// A task that can change its place whenever it waits.
pub(super) struct Movable {
    /// None: it has moved on.
    task: Option<BoxFuture<'static, ()>>,
    home: Handle,
    background: Option<Handle>,
    place: Place,
}

impl Future for Movable {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let Some(task) = &mut this.task else { return Poll::Ready(()) };
        WANTED.set(None);
        let before = HERE.replace(Some(this.place));
        let polled = {
            let _at_home = (this.place == Place::Background).then(|| this.home.enter());
            task.as_mut().poll(context)
        };
        HERE.set(before);
        if polled.is_ready() {
            return Poll::Ready(());
        }
        match (WANTED.take().filter(|place| *place != this.place), &this.background) {
            (Some(place), Some(background)) => {
                let (home, background) = (this.home.clone(), background.clone());
                let there = if place == Place::Home { home.clone() } else { background.clone() };
                let task = this.task.take();
                // It is polled there at once, so whatever wakes this task up instead is not missed.
                there.spawn(Self { task, home, background: Some(background), place });
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::{sync::oneshot, time::Duration};

    use super::*;

    fn is_in_background() -> bool {
        thread::current().name() == Some("background")
    }

    fn movable(to: &Background, task: impl Future<Output = ()> + Send + 'static) -> Movable {
        to.movable(Box::pin(task))
    }

    /// Waits for a turn, after which the task is where it wanted to be.
    async fn go_now(place: Place) {
        go(place);
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn a_task_moves_there_and_back() {
        let background = Background::start().unwrap();
        let (tell, told) = oneshot::channel();
        let task = movable(&background, async move {
            let mut seen = vec![is_in_background()];
            for place in [Place::Background, Place::Background, Place::Home, Place::Background] {
                go_now(place).await;
                seen.push(is_in_background());
            }
            tell.send(seen).unwrap();
        });
        Handle::current().spawn(task);
        assert_eq!(told.await.unwrap(), [false, true, true, false, true]);
    }

    #[tokio::test]
    async fn what_computes_for_long_begins_there_the_next_times() {
        let background = Background::start().unwrap();
        let (tell, told) = oneshot::channel();
        let task = movable(&background, async move {
            let habit = Habit::default();
            let mut seen = Vec::new();
            for cpu in [limits::BACKGROUND_AFTER, Duration::ZERO, Duration::ZERO] {
                habit.begin().await;
                seen.push(is_in_background());
                habit.note(cpu);
            }
            for _ in 0..limits::BACKGROUND_CALLS {
                habit.begin().await;
                habit.note(Duration::ZERO);
            }
            habit.begin().await;
            seen.push(is_in_background());
            tell.send(seen).unwrap();
        });
        Handle::current().spawn(task);
        assert_eq!(told.await.unwrap(), [false, true, true, false]);
    }

    #[tokio::test]
    async fn what_a_task_starts_there_belongs_to_where_it_came_from() {
        let background = Background::start().unwrap();
        let (tell, told) = oneshot::channel();
        Handle::current().spawn(movable(&background, async move {
            go_now(Place::Background).await;
            // The threads there have no clock of their own: it is this runtime's.
            tokio::time::sleep(Duration::from_millis(5)).await;
            let of_task = Handle::current().spawn(async { is_in_background() });
            tell.send((is_in_background(), of_task.await.unwrap())).unwrap();
        }));
        assert_eq!(told.await.unwrap(), (true, false));
    }

    #[test]
    fn a_processor_is_left_to_the_others_where_there_are_two() {
        assert_eq!([1, 2, 3, 16].map(threads), [1, 1, 2, 15]);
    }

    #[tokio::test]
    async fn what_one_task_wants_moves_no_other() {
        let background = Background::start().unwrap();
        // Not movable: what it wants stays behind on the thread.
        Handle::current().spawn(async { go_now(Place::Background).await }).await.unwrap();
        let (tell, told) = oneshot::channel();
        Handle::current().spawn(movable(&background, async move {
            tokio::task::yield_now().await;
            tell.send(is_in_background()).unwrap();
        }));
        assert!(!told.await.unwrap());
    }

    #[tokio::test]
    async fn the_background_may_end_on_its_own_thread() {
        let background = std::sync::Arc::new(Background::start().unwrap());
        let (tell, told) = oneshot::channel();
        let own = std::sync::Arc::clone(&background);
        let task = movable(&background, async move {
            go_now(Place::Background).await;
            drop(own);
            tell.send(is_in_background()).unwrap();
        });
        drop(background);
        Handle::current().spawn(task);
        assert!(told.await.unwrap());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn its_threads_give_way_and_the_others_do_not() {
        let background = Background::start().unwrap();
        let niceness = || rustix::process::nice(0).unwrap();
        let before = niceness();
        let (tell, told) = oneshot::channel();
        Handle::current().spawn(movable(&background, async move {
            go_now(Place::Background).await;
            tell.send(niceness()).unwrap();
        }));
        let there = told.await.unwrap();
        assert_eq!(there, (before + limits::BACKGROUND_NICENESS).min(19));
        assert_eq!(niceness(), before);
    }
}
