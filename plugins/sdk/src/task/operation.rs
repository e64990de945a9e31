//! What was started at the host, as a future.

use std::{
    cell::RefCell,
    collections::HashMap,
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

thread_local! {
    // Only what somebody waits for: a future that is dropped takes its slot with it.
    static SLOTS: RefCell<HashMap<u32, Slot>> = RefCell::default();
}

/// The host says that an operation is over.
pub(crate) fn complete(number: u32, outcome: Outcome) {
    let waker = SLOTS.with_borrow_mut(|slots| {
        let slot = slots.get_mut(&number)?;
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
        SLOTS.with_borrow_mut(|slots| slots.insert(number, Slot::Waiting(None)));
        Self(number)
    }
}

impl Future for Operation {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        SLOTS.with_borrow_mut(|slots| match slots.remove(&self.0) {
            Some(Slot::Done(outcome)) => Poll::Ready(outcome),
            Some(Slot::Waiting(_)) => {
                slots.insert(self.0, Slot::Waiting(Some(context.waker().clone())));
                Poll::Pending
            }
            // Polled after its end.
            None => Poll::Pending,
        })
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let slot = SLOTS.with_borrow_mut(|slots| slots.remove(&self.0));
        if let Some(Slot::Waiting(_)) = slot {
            host::operations::cancel(self.0);
        }
    }
}
