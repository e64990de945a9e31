//! A clock for connections that costs nothing as long as nobody looks at it.
//!
//! The library sets a timer for the head of each request and takes it away when the head has come,
//! which is mostly at once: two turns in the runtime's list of timers, under a lock, for every
//! request. A deadline here is a moment and no more. It is in no list and wakes nobody; it is seen
//! when the connection is polled, so whoever drives the connection has to poll it now and then
//! ([`super::Connections::drive`]), and what is over is over by so much later.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};

#[derive(Clone, Copy, Debug)]
pub(super) struct LazyTimer;

struct Deadline(Instant);

impl Timer for LazyTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Deadline(deadline))
    }
}

impl Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if Instant::now() < self.0 { Poll::Pending } else { Poll::Ready(()) }
    }
}
