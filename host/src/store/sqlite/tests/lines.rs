//! What waits for the writer: bounded, in order of service, and nobody starves.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::oneshot;

use super::{
    super::{
        queue::{Class, Queue},
        work::{Batch, Call, Op},
    },
    Anything, open,
};
use crate::{
    limits::{GROUP_COMMIT_BYTES_MAX, GROUP_COMMIT_OPS_MAX, STORE_QUEUE_OPS_MAX},
    store::StoreError,
};

struct Waiting {
    class: Class,
    items: usize,
    bytes: usize,
    told: Option<oneshot::Sender<StoreError>>,
}

impl Op for Waiting {
    fn class(&self) -> Class {
        self.class
    }
    fn items(&self) -> usize {
        self.items
    }
    fn bytes(&self) -> usize {
        self.bytes
    }
    fn run(&mut self, _: &mut Batch<'_>) -> rusqlite::Result<()> {
        Ok(())
    }
    fn done(self: Box<Self>) {}
    fn failed(self: Box<Self>, error: StoreError) {
        if let Some(told) = self.told {
            let _gone = told.send(error);
        }
    }
}

fn op(class: Class, items: usize, bytes: usize) -> Box<Waiting> {
    Box::new(Waiting { class, items, bytes, told: None })
}

#[test]
fn a_full_line_refuses_and_leaves_the_others_open() {
    let queue = Queue::default();
    for _ in 0..STORE_QUEUE_OPS_MAX {
        queue.push(op(Class::Enqueue, 1, 1)).unwrap();
    }
    assert!(matches!(queue.push(op(Class::Enqueue, 1, 1)), Err(StoreError::Busy)));
    queue.push(op(Class::Settle, 1, 1)).unwrap();
}

#[test]
fn a_line_is_bounded_in_bytes_too() {
    let queue = Queue::default();
    let mut pushed = 0;
    while queue.push(op(Class::Enqueue, 1, GROUP_COMMIT_BYTES_MAX)).is_ok() {
        pushed += 1;
    }
    assert_eq!(pushed, 16);
}

#[test]
fn what_ends_work_goes_first_and_every_line_gets_something() {
    let queue = Queue::default();
    for class in [Class::Maintenance, Class::Lease, Class::Enqueue, Class::Settle] {
        for _ in 0..2 * GROUP_COMMIT_OPS_MAX {
            queue.push(op(class, 1, 1)).unwrap();
        }
    }
    let batch = queue.take();
    assert_eq!(batch.len(), GROUP_COMMIT_OPS_MAX);
    let classes: Vec<_> = batch.iter().map(|op| op.class()).collect();
    let of = |class| classes.iter().filter(|found| **found == class).count();
    assert_eq!(of(Class::Settle), GROUP_COMMIT_OPS_MAX - 3 * 64);
    for class in [Class::Enqueue, Class::Lease, Class::Maintenance] {
        assert_eq!(of(class), 64, "{class:?}");
    }
    assert!(classes.is_sorted_by_key(|class| *class as u8));
}

#[test]
fn an_operation_larger_than_a_transaction_does_not_wait_for_ever() {
    let queue = Queue::default();
    queue.push(op(Class::Enqueue, 2 * STORE_QUEUE_OPS_MAX, 100 * GROUP_COMMIT_BYTES_MAX)).unwrap();
    assert_eq!(queue.take().len(), 1);
}

#[test]
fn what_comes_meanwhile_has_the_room_that_is_left() {
    let queue = Queue::default();
    let begun =
        |items| std::collections::VecDeque::from([op(Class::Settle, items, 1) as Box<dyn Op>]);
    assert!(queue.take_more(&begun(1)).is_empty(), "and does not wait");
    for _ in 0..10 {
        queue.push(op(Class::Lease, 1, 1)).unwrap();
    }
    assert!(queue.take_more(&begun(GROUP_COMMIT_OPS_MAX + 1)).is_empty());
    assert_eq!(queue.take_more(&begun(GROUP_COMMIT_OPS_MAX - 4)).len(), 4);
    assert_eq!(queue.take_more(&begun(1)).len(), 6);
}

#[tokio::test]
async fn what_comes_while_a_transaction_works_goes_along_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let (reply, answer) = oneshot::channel();
    let failed = AtomicUsize::new(0);
    // Fails once, and then all that are in its transaction are done again, each alone.
    let second = Anything(move |_: &mut Batch<'_>| match failed.fetch_add(1, Ordering::Relaxed) {
        0 => Err(rusqlite::Error::InvalidQuery),
        _ => Ok(()),
    });
    let second = Mutex::new(Some(Box::new(Call::new(second, reply))));
    let (shared, runs) = (Arc::clone(&store.shared), AtomicUsize::new(0));
    let first = Anything(move |_: &mut Batch<'_>| {
        if let Some(second) = second.lock().unwrap().take() {
            shared.queue.push(second).unwrap();
        }
        Ok(runs.fetch_add(1, Ordering::Relaxed) + 1)
    });
    assert_eq!(store.submit(first).await.unwrap(), 2, "they were in one transaction");
    answer.await.unwrap().unwrap();
}

#[test]
fn what_is_put_back_goes_first_again() {
    let queue = Queue::default();
    for bytes in [1, 2, 3] {
        queue.push(op(Class::Enqueue, 1, bytes)).unwrap();
    }
    let mut batch = queue.take();
    batch.pop_front();
    queue.push(op(Class::Enqueue, 1, 4)).unwrap();
    queue.put_back(batch);
    assert_eq!(queue.take().iter().map(|op| op.bytes()).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn an_abandoned_queue_tells_those_who_wait_and_takes_nothing_new() {
    let queue = Queue::default();
    let (told, mut hears) = oneshot::channel();
    queue
        .push(Box::new(Waiting { class: Class::Lease, items: 1, bytes: 0, told: Some(told) }))
        .unwrap();
    queue.abandon(&StoreError::Closed);
    assert!(matches!(hears.try_recv(), Ok(StoreError::Closed)));
    assert!(matches!(queue.push(op(Class::Lease, 1, 0)), Err(StoreError::Closed)));
    assert!(queue.take().is_empty());
}
