//! Runs the futures of one instance, a turn at a time.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use crate::host;

/// The futures of an instance; each ends with a `T`.
pub(crate) struct Executor<T> {
    /// A task's place is its number. One that is over leaves its place to another; a late wake then
    /// wakes that one, which finds nothing new and waits on.
    tasks: Vec<Option<Task<T>>>,
    ready: Arc<Ready>,
}

struct Task<T> {
    /// For which of the host's calls it runs.
    call: Option<u32>,
    future: Pin<Box<dyn Future<Output = T>>>,
    waker: Waker,
}

/// The tasks that can go on. A waker must be able to cross threads, though there are none here.
#[derive(Default)]
struct Ready(Mutex<VecDeque<usize>>);

struct TaskWaker {
    task: usize,
    ready: Arc<Ready>,
}

impl Ready {
    fn push(&self, task: usize) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
    }

    fn pop(&self) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.task);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.ready.push(self.task);
    }
}

impl<T> Default for Executor<T> {
    fn default() -> Self {
        Self { tasks: Vec::new(), ready: Arc::default() }
    }
}

impl<T> Executor<T> {
    /// Takes a future; it begins in the next `run`.
    pub(crate) fn spawn(&mut self, call: Option<u32>, future: Pin<Box<dyn Future<Output = T>>>) {
        let free = self.tasks.iter().position(Option::is_none);
        let task = free.unwrap_or(self.tasks.len());
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.ready) }));
        let new = Some(Task { call, future, waker });
        match self.tasks.get_mut(task) {
            Some(place) => *place = new,
            None => self.tasks.push(new),
        }
        self.ready.push(task);
    }

    /// Drops what runs for this call, or for none.
    pub(crate) fn abandon(&mut self, call: Option<u32>) {
        for place in &mut self.tasks {
            if place.as_ref().is_some_and(|task| task.call == call) {
                *place = None;
            }
        }
    }

    /// Goes on until everything waits for the host. What has ended is given to `over`.
    pub(crate) fn run(&mut self, mut over: impl FnMut(T)) {
        while let Some(number) = self.ready.pop() {
            // Out of its place while it runs; one that is woken after its end is not there.
            let Some(place) = self.tasks.get_mut(number) else { continue };
            let Some(mut task) = place.take() else { continue };
            host::operations::on_behalf_of(task.call);
            let waker = task.waker.clone();
            match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => over(value),
                Poll::Pending => *place = Some(task),
            }
        }
    }
}
