//! The only place that asks what time it is, so that tests can say so instead.

use std::{
    fmt::{self, Write as _},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct UnixMs(pub i64);

impl UnixMs {
    /// This moment and `duration`, the end of time at most.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This moment without `duration`, the beginning of time at least.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The moment as an RFC 3339 text in UTC with milliseconds.
    #[must_use]
    pub fn rfc3339(self) -> String {
        const END_OF_TIME: &str = "9999-12-31T23:59:59.999Z";
        let Ok(at) = jiff::Timestamp::from_millisecond(self.0) else {
            return String::from(END_OF_TIME);
        };
        // It is written piece by piece: with room for all of them from the start.
        let mut text = String::with_capacity(END_OF_TIME.len());
        // Writing to a string cannot fail.
        let _written = write!(text, "{at:.3}");
        text
    }

    /// Reads an RFC 3339 text.
    ///
    /// # Errors
    /// When the text is no RFC 3339 date and time with an offset.
    pub fn parse_rfc3339(text: &str) -> Result<Self, jiff::Error> {
        Ok(Self(text.parse::<jiff::Timestamp>()?.as_millisecond()))
    }
}

/// Where the time comes from.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands still until it is moved; for tests.
    #[must_use]
    pub fn manual(start: UnixMs) -> Self {
        Self(Source::Manual(Arc::new(AtomicI64::new(start.0))))
    }

    /// The present moment.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        match &self.0 {
            Source::System => {
                #[expect(clippy::disallowed_methods, reason = "this is the one place")]
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixMs(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
            }
            Source::Manual(at) => UnixMs(at.load(Ordering::Acquire)),
        }
    }

    /// Moves a manual clock (backwards too); does nothing to the machine's.
    pub fn advance_ms(&self, by_ms: i64) {
        if let Source::Manual(at) = &self.0 {
            at.fetch_add(by_ms, Ordering::AcqRel);
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Clock({:?})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_from_rfc_3339() {
        let at = UnixMs(1_763_746_800_123);
        assert_eq!(at.rfc3339(), "2025-11-21T17:40:00.123Z");
        assert_eq!(UnixMs::parse_rfc3339(&at.rfc3339()).unwrap(), at);
        assert_eq!(UnixMs::parse_rfc3339("2025-11-21T18:40:00.123+01:00").unwrap(), at);
        assert!(UnixMs::parse_rfc3339("yesterday").is_err());
    }

    #[test]
    fn the_difference_of_two_moments_is_never_negative() {
        assert_eq!(UnixMs(5).since(UnixMs(3)), Duration::from_millis(2));
        assert_eq!(UnixMs(3).since(UnixMs(5)), Duration::ZERO);
    }
}
