//! How the last calls to one destination went: the failure rate over a window that is bounded by
//! calls and forgets what is long ago. Pure bookkeeping, two words of memory.

use crate::{clock::UnixMs, limits};

/// See the module's text.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    /// One bit for each call, the newest is the lowest; 1: it failed.
    failed: u64,
    /// How many calls there were, up to the window's length.
    calls: u32,
    last: UnixMs,
}

/// The bits of a full window.
const WINDOW: u64 = (1 << limits::BREAKER_WINDOW) - 1;

impl Recent {
    /// A call is over.
    pub(super) fn note(&mut self, failed: bool, now: UnixMs) {
        if now.since(self.last) > limits::BREAKER_WINDOW_GAP {
            *self = Self::default();
        }
        self.failed = ((self.failed << 1) | u64::from(failed)) & WINDOW;
        self.calls = self.calls.saturating_add(1).min(limits::BREAKER_WINDOW);
        self.last = now;
    }

    /// Whether so many of them failed that the few which got through are no reason to go on.
    pub(super) const fn is_bad(&self) -> bool {
        self.calls >= limits::BREAKER_WINDOW
            && self.failed.count_ones() >= limits::BREAKER_WINDOW_FAILURES
    }

    /// Whether none of them failed.
    pub(super) const fn is_clean(&self) -> bool {
        self.failed == 0
    }
}
