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
