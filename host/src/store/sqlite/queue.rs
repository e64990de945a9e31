//! What waits for the writer: four lines with a bound each, so that memory is finite and that a
//! flood of new notifications does not keep finished deliveries from being written down.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::work::Op;
use crate::{
    limits::{GROUP_COMMIT_BYTES_MAX, GROUP_COMMIT_OPS_MAX, STORE_QUEUE_OPS_MAX},
    store::StoreError,
};

/// Bytes waiting in one line: sixteen full transactions, which is seconds of work.
const LINE_BYTES_MAX: usize = 16 * GROUP_COMMIT_BYTES_MAX;

/// What every line may put into a transaction, however long the lines before it are.
const FLOOR_ITEMS: usize = 64;

/// Which line an operation waits in. The order is the order of service: what ends work goes before
/// what brings new work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    Settle,
    Enqueue,
    Lease,
    Maintenance,
}

const ORDER: [Class; 4] = [Class::Settle, Class::Enqueue, Class::Lease, Class::Maintenance];

#[derive(Default)]
struct Line {
    ops: VecDeque<Box<dyn Op>>,
    items: usize,
    bytes: usize,
}

impl Line {
    fn pop(&mut self) -> Option<Box<dyn Op>> {
        let op = self.ops.pop_front()?;
        self.items -= op.items();
        self.bytes -= op.bytes();
        Some(op)
    }
}

#[derive(Default)]
struct Waiting {
    settle: Line,
    enqueue: Line,
    lease: Line,
    maintenance: Line,
    closed: bool,
}

impl Waiting {
    const fn line(&mut self, class: Class) -> &mut Line {
        match class {
            Class::Settle => &mut self.settle,
            Class::Enqueue => &mut self.enqueue,
            Class::Lease => &mut self.lease,
            Class::Maintenance => &mut self.maintenance,
        }
    }

    fn is_empty(&mut self) -> bool {
        ORDER.into_iter().all(|class| self.line(class).ops.is_empty())
    }

    /// Moves one transaction's worth over, or what there is still room for in one.
    fn drain(&mut self, mut room: usize, mut bytes: usize) -> VecDeque<Box<dyn Op>> {
        let mut batch = VecDeque::new();
        let mut owed: usize =
            ORDER.into_iter().map(|class| self.line(class).items.min(FLOOR_ITEMS)).sum();
        for class in ORDER {
            let line = self.line(class);
            owed -= line.items.min(FLOOR_ITEMS);
            let mut first = true;
            while let Some(op) = line.ops.front() {
                let fits = op.items() + owed <= room && op.bytes() <= bytes;
                // The first always goes: what is larger than a transaction may be must not wait
                // for ever.
                if !fits && !first {
                    break;
                }
                first = false;
                room = room.saturating_sub(op.items());
                bytes = bytes.saturating_sub(op.bytes());
                batch.extend(line.pop());
            }
        }
        batch
    }
}

/// The lines, shared by all callers and the writer.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    filled: Condvar,
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an operation into its line.
    pub(super) fn push(&self, op: Box<dyn Op>) -> Result<(), StoreError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        let line = waiting.line(op.class());
        let (items, bytes) = (line.items + op.items(), line.bytes + op.bytes());
        let full = items > STORE_QUEUE_OPS_MAX || bytes > LINE_BYTES_MAX;
        if full && !line.ops.is_empty() {
            return Err(StoreError::Busy);
        }
        (line.items, line.bytes) = (items, bytes);
        line.ops.push_back(op);
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Puts back what a transaction had no time for, to the front of its lines.
    pub(super) fn put_back(&self, ops: VecDeque<Box<dyn Op>>) {
        let mut waiting = self.waiting();
        for op in ops.into_iter().rev() {
            let line = waiting.line(op.class());
            line.items += op.items();
            line.bytes += op.bytes();
            line.ops.push_front(op);
        }
    }

    /// Waits for work and takes one transaction's worth; nothing once closed and empty.
    pub(super) fn take(&self) -> VecDeque<Box<dyn Op>> {
        let mut waiting = self.waiting();
        while waiting.is_empty() && !waiting.closed {
            waiting = self.filled.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.drain(GROUP_COMMIT_OPS_MAX, GROUP_COMMIT_BYTES_MAX)
    }

    /// Takes what has come since for the transaction that has done `begun`, without waiting.
    pub(super) fn take_more(&self, begun: &VecDeque<Box<dyn Op>>) -> VecDeque<Box<dyn Op>> {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            return VecDeque::new();
        }
        let items = begun.iter().map(|op| op.items()).sum();
        let bytes = begun.iter().map(|op| op.bytes()).sum();
        match (GROUP_COMMIT_OPS_MAX.checked_sub(items), GROUP_COMMIT_BYTES_MAX.checked_sub(bytes)) {
            (Some(room), Some(bytes)) => waiting.drain(room, bytes),
            _ => VecDeque::new(),
        }
    }

    /// Takes nothing new from now on; what waits is still done.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.filled.notify_all();
    }

    /// Takes nothing new, and gives what waits an error.
    pub(super) fn abandon(&self, error: &StoreError) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let mut ops = Vec::new();
        for class in ORDER {
            while let Some(op) = waiting.line(class).pop() {
                ops.push(op);
            }
        }
        drop(waiting);
        for op in ops {
            op.failed(error.clone());
        }
    }
}
