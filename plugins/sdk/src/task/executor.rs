//! Runs the futures of one instance, a turn at a time.

use std::{
    collections::{HashMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use crate::host;

/// The futures of an instance; each ends with a `T`.
pub(crate) struct Executor<T> {
    tasks: HashMap<u32, Task<T>>,
    next: u32,
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
struct Ready(Mutex<VecDeque<u32>>);

struct TaskWaker {
    task: u32,
    ready: Arc<Ready>,
}

impl Ready {
    fn push(&self, task: u32) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(task);
    }

    fn pop(&self) -> Option<u32> {
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
        Self { tasks: HashMap::new(), next: 0, ready: Arc::default() }
    }
}

impl<T> Executor<T> {
    /// Takes a future; it begins in the next `run`.
    pub(crate) fn spawn(&mut self, call: Option<u32>, future: Pin<Box<dyn Future<Output = T>>>) {
        self.next = self.next.wrapping_add(1);
        let task = self.next;
        let waker = Waker::from(Arc::new(TaskWaker { task, ready: Arc::clone(&self.ready) }));
        self.tasks.insert(task, Task { call, future, waker });
        self.ready.push(task);
    }

    /// Drops what runs for this call, or for none.
    pub(crate) fn abandon(&mut self, call: Option<u32>) {
        self.tasks.retain(|_, task| task.call != call);
    }

    /// Goes on until everything waits for the host. What has ended is given to `over`.
    pub(crate) fn run(&mut self, mut over: impl FnMut(T)) {
        while let Some(number) = self.ready.pop() {
            // Out of the map while it runs; one that is woken after its end is not there.
            let Some(mut task) = self.tasks.remove(&number) else { continue };
            host::operations::on_behalf_of(task.call);
            let waker = task.waker.clone();
            match task.future.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(value) => over(value),
                Poll::Pending => {
                    self.tasks.insert(number, task);
                }
            }
        }
    }
}
