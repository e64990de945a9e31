//! The clock, and durations as the interface wants them.

use std::time::{Duration, SystemTime};

/// The time now. In tests: what [`FakeHost::now`](crate::testing::FakeHost::now) was told, else the
/// machine's.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place that asks the machine")]
pub fn now() -> SystemTime {
    #[cfg(not(target_family = "wasm"))]
    if let Some(time) = crate::testing::backend::now() {
        return time;
    }
    SystemTime::now()
}

/// The whole seconds since 1970 that many protocols want.
#[must_use]
pub fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Whole milliseconds, rounded up, at most `u32::MAX` (49 days).
#[must_use]
pub(crate) fn millis_ceil(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u32::MAX)
}
