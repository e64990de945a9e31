//! How much of the call's time is left for a request.

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

/// Kept back, so that the channel can still answer after a request has timed out. A call that the
/// host has to end tells nobody what happened.
const RESERVE: Duration = Duration::from_millis(100);

#[derive(Clone, Copy)]
enum Budget {
    /// Not inside `send`: the host's own limit for the call is the only one.
    None,
    /// Inside `send`, no request yet. The clock is not asked before it is needed.
    Whole(Duration),
    Until(Instant),
}

thread_local! {
    static BUDGET: Cell<Budget> = const { Cell::new(Budget::None) };
}

pub(crate) fn begin(call: Duration) {
    BUDGET.set(Budget::Whole(call - RESERVE.min(call / 10)));
}

pub(crate) fn end() {
    BUDGET.set(Budget::None);
}

/// What is left, at least a millisecond: a limit of nothing is the host's to enforce.
pub(crate) fn left() -> Option<Duration> {
    let left = match BUDGET.get() {
        Budget::None => return None,
        Budget::Whole(budget) => {
            BUDGET.set(Budget::Until(Instant::now() + budget));
            budget
        }
        Budget::Until(end) => end.saturating_duration_since(Instant::now()),
    };
    Some(left.max(Duration::from_millis(1)))
}
