//! Keys that are nobody's, counted for each source: beyond a burst they are answered with 429 and the
//! end of the connection.
//!
//! Only failures are slowed. A key that is somebody's is served whatever its neighbours behind the
//! same address do, so that nobody who shares a proxy or a NAT with a guesser is locked out. What
//! makes guessing hopeless is the length of a key; this keeps the noise of it small.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::http::{HeaderValue, header};

use super::{kinds, problem::Problem};
use crate::{
    bounded::Bounded,
    clock::UnixMs,
    limits::{KEY_FAILURE_EVERY, KEY_FAILURE_SOURCES_MAX, KEY_FAILURES_BURST},
    source::Source,
};

/// The sources with failures, each with the moment at which all of them are forgotten.
#[derive(Debug)]
pub(super) struct Guesses(Mutex<Bounded<Source, UnixMs>>);

impl Default for Guesses {
    fn default() -> Self {
        Self(Mutex::new(Bounded::new(KEY_FAILURE_SOURCES_MAX)))
    }
}

impl Guesses {
    /// A key of `peer` was nobody's. When it was one too many: the answer in place of the usual one.
    pub(super) fn failed(&self, peer: Option<IpAddr>, now: UnixMs) -> Option<Problem> {
        let wait = self.count(peer?, now)?;
        let problem = Problem::new(
            kinds::TOO_MANY_FAILURES,
            "Too many keys from this address were nobody's. Keys that are valid are served.",
        );
        Some(
            problem.retry_after(wait).header(header::CONNECTION, HeaderValue::from_static("close")),
        )
    }

    fn count(&self, peer: IpAddr, now: UnixMs) -> Option<Duration> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = table.get_or_insert(&Source::from(peer), || now);
        // A clock that was set back must not lock anybody out for the step.
        let full = KEY_FAILURE_EVERY.saturating_mul(KEY_FAILURES_BURST);
        let owed = forgotten.since(now).min(full).saturating_add(KEY_FAILURE_EVERY);
        if owed > full {
            return Some(owed - full);
        }
        *forgotten = now.after(owed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn failures(guesses: &Guesses, count: u32, now: UnixMs) -> usize {
        (0..count).filter(|_| guesses.failed(Some(ADDRESS), now).is_none()).count()
    }

    #[test]
    fn a_burst_is_free_and_then_one_after_each_pause() {
        let guesses = Guesses::default();
        let now = UnixMs(1_000_000);
        assert_eq!(failures(&guesses, 1_000, now), KEY_FAILURES_BURST as usize);
        let other = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
        assert!(guesses.failed(Some(other), now).is_none(), "another source");
        let later = now.after(KEY_FAILURE_EVERY);
        assert_eq!(failures(&guesses, 10, later), 1);
        let wait = guesses.count(ADDRESS, later).unwrap();
        assert!(wait > Duration::ZERO && wait <= KEY_FAILURE_EVERY, "{wait:?}");
        assert_eq!(failures(&guesses, 10, later.before(Duration::from_hours(9_999))), 0);
        let much_later = later.after(KEY_FAILURE_EVERY * KEY_FAILURES_BURST);
        assert_eq!(failures(&guesses, 1_000, much_later), KEY_FAILURES_BURST as usize);
    }

    #[test]
    fn sources_beyond_the_bound_are_forgotten_and_not_kept() {
        let guesses = Guesses::default();
        for number in 0..u32::try_from(3 * KEY_FAILURE_SOURCES_MAX).unwrap() {
            let address = IpAddr::V4(std::net::Ipv4Addr::from(number));
            assert!(guesses.failed(Some(address), UnixMs(0)).is_none());
        }
        assert!(guesses.0.lock().unwrap().iter().count() <= KEY_FAILURE_SOURCES_MAX);
    }
}
