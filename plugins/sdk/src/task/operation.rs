//! What was started at the host, as a future.

use std::{
    cell::RefCell,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use crate::{
    bindings::conductor::channel::http::{HttpError, Response},
    bindings_async::conductor::channel::websocket::{Frame, WebsocketError},
    host,
};

/// What came of an operation.
#[derive(Debug)]
pub(crate) enum Outcome {
    Elapsed,
    Fetched(Result<Response, HttpError>),
    Connected(Result<u32, WebsocketError>),
    Sent(Result<(), WebsocketError>),
    Received(Result<Frame, WebsocketError>),
}

enum Slot {
    Waiting(Option<Waker>),
    Done(Outcome),
}

/// What somebody waits for, in the order of the host's numbers, which grow: a map without the code
/// of one.
#[derive(Default)]
struct Slots(Vec<(u32, Slot)>);

impl Slots {
    fn place(&self, number: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&number, |(number, _)| *number)
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Slot> {
        let place = self.place(number).ok()?;
        self.0.get_mut(place).map(|(_, slot)| slot)
    }

    fn insert(&mut self, number: u32) {
        if let Err(place) = self.place(number) {
            self.0.insert(place, (number, Slot::Waiting(None)));
        }
    }

    fn remove(&mut self, number: u32) -> Option<Slot> {
        let place = self.place(number).ok()?;
        Some(self.0.remove(place).1)
    }
}

thread_local! {
    // Only what somebody waits for: a future that is dropped takes its slot with it.
    static SLOTS: RefCell<Slots> = RefCell::default();
}

/// The host says that an operation is over.
pub(crate) fn complete(number: u32, outcome: Outcome) {
    let waker = SLOTS.with_borrow_mut(|slots| {
        let slot = slots.get_mut(number)?;
        match std::mem::replace(slot, Slot::Done(outcome)) {
            Slot::Waiting(waker) => waker,
            Slot::Done(_) => None,
        }
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// An operation that the host has started. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub(crate) struct Operation(u32);

impl Operation {
    pub(crate) fn new(number: u32) -> Self {
        SLOTS.with_borrow_mut(|slots| slots.insert(number));
        Self(number)
    }
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        SLOTS.with_borrow_mut(|slots| {
            if let Some(Slot::Waiting(waker)) = slots.get_mut(self.0) {
                *waker = Some(context.waker().clone());
                return Poll::Pending;
            }
            match slots.remove(self.0) {
                Some(Slot::Done(outcome)) => Poll::Ready(outcome),
                // Polled after its end.
                _ => Poll::Pending,
            }
        })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let slot = SLOTS.with_borrow_mut(|slots| slots.remove(self.0));
        if let Some(Slot::Waiting(_)) = slot {
            host::operations::cancel(self.0);
        }
    }
}
