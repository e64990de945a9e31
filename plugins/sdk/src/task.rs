//! Waiting without stopping: timers, and doing two things at the same time, for
//! [`AsyncChannel`](crate::AsyncChannel)s.
//!
//! ```no_run
//! # async fn example() -> Option<conductor_sdk::http::Response> {
//! use std::time::Duration;
//! use conductor_sdk::{http, task};
//!
//! let request = http::get("https://chat.example/api/me").fetch_async();
//! task::timeout(Duration::from_secs(2), request).await?.ok()
//! # }
//! ```

mod executor;
mod operation;

use std::{
    future::{Future, poll_fn},
    hash::{BuildHasher as _, Hasher as _, RandomState},
    pin::pin,
    task::Poll,
    time::Duration,
};

use crate::{host, time};

pub(crate) use executor::Executor;
pub(crate) use operation::{Operation, Outcome, complete};

/// Waits. The host cuts what is longer than a day.
pub async fn sleep(duration: Duration) {
    Operation::new(host::operations::sleep(time::millis_ceil(duration))).await;
}

/// A random part of `most`, so that many who wait for the same thing do not come back together.
#[must_use]
pub fn jitter(most: Duration) -> Duration {
    // The standard library's only source of random numbers; on WebAssembly it asks the host.
    let random = RandomState::new().build_hasher().finish() >> 48;
    let micros = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(micros.saturating_mul(random) >> 16)
}

/// How long to wait before the next try of something that fails: longer each time, with
/// [`jitter`], until it works.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    failures: u32,
}

impl Backoff {
    /// Up to `first` at the first failure, then twice as long each time, up to `most`.
    #[must_use]
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, failures: 0 }
    }

    /// It has failed (again): how long to wait.
    #[must_use]
    pub fn failed(&mut self) -> Duration {
        let longest = self.first.saturating_mul(2_u32.saturating_pow(self.failures)).min(self.most);
        let shortest = if self.failures == 0 { Duration::ZERO } else { longest / 2 };
        self.failures = self.failures.saturating_add(1);
        shortest + jitter(longest - shortest)
    }

    /// It works.
    pub const fn worked(&mut self) {
        self.failures = 0;
    }

    /// Failures since it worked.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }
}

/// The result of `future`, if it is there in time. Otherwise the future is dropped, and what it was
/// waiting for given up.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Option<T> {
    match race(future, sleep(limit)).await {
        First::Left(value) => Some(value),
        First::Right(()) => None,
    }
}

/// Which of two was first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<L, R> {
    /// The first one.
    Left(L),
    /// The second one.
    Right(R),
}

/// Waits for the first of two and drops the other. When both are ready it is the left one.
pub async fn race<L, R>(
    left: impl Future<Output = L>,
    right: impl Future<Output = R>,
) -> First<L, R> {
    let (mut left, mut right) = (pin!(left), pin!(right));
    poll_fn(|context| {
        if let Poll::Ready(value) = left.as_mut().poll(context) {
            return Poll::Ready(First::Left(value));
        }
        right.as_mut().poll(context).map(First::Right)
    })
    .await
}

/// Waits for both.
pub async fn join<L, R>(left: impl Future<Output = L>, right: impl Future<Output = R>) -> (L, R) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut of_left, mut of_right) = (None, None);
    poll_fn(|context| {
        if of_left.is_none()
            && let Poll::Ready(value) = left.as_mut().poll(context)
        {
            of_left = Some(value);
        }
        if of_right.is_none()
            && let Poll::Ready(value) = right.as_mut().poll(context)
        {
            of_right = Some(value);
        }
        match (of_left.take(), of_right.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (of_left, of_right) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}
