//! The clock, and durations as the interface wants them.

use std::time::{Duration, SystemTime};

/// Days from March 1 of the year 0 to 1970.
const FROM_MARCH_OF_YEAR_0: u64 = 719_468;

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

/// A moment as the interface writes it, for example in [`Message::expires_at`](crate::Message): RFC
/// 3339 in UTC ("2026-11-21T18:00:00.000Z"), with a fraction of a second or without. None for
/// anything else, and for what is before 1970.
#[must_use]
pub fn parse_utc(text: &str) -> Option<SystemTime> {
    const MILLIS_DIGITS: usize = 3;
    let (date, clock) = text.strip_suffix('Z')?.split_once('T')?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2])?;
    let is_fraction = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    // A leap second is the 60th; its day is not looked up.
    let is_there = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (hour < 24 && minute < 60 && second <= 60);
    if !is_there || !is_fraction || year < 1970 {
        return None;
    }
    let millis: u64 = format!("{fraction:0<MILLIS_DIGITS$}").get(..MILLIS_DIGITS)?.parse().ok()?;
    let seconds = ((days_since_1970(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(seconds * 1_000 + millis))
}

/// A moment for people, in whole seconds: RFC 3339 in UTC ("2026-11-21T18:00:00Z").
#[must_use]
pub fn format_utc(time: SystemTime) -> String {
    const DAY: u64 = 86_400;
    let seconds = unix_seconds(time);
    let (days, rest) = (seconds / DAY, seconds % DAY);
    // Years that begin in March, in eras of 400; the reverse of `days_since_1970`.
    let day = days + FROM_MARCH_OF_YEAR_0;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut found = [0; 3];
    for (number, digits) in found.iter_mut().zip(digits) {
        let part = parts.next().filter(|part| part.len() == digits)?;
        *number = part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// Days in the Gregorian calendar, by years that begin in March and so end with the leap day.
fn days_since_1970(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_years = year * 365 + year / 4 - year / 100 + year / 400;
    of_years + (153 * month + 2) / 5 + day - 1 - FROM_MARCH_OF_YEAR_0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(text: &str) -> Option<u128> {
        Some(parse_utc(text)?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_millis())
    }

    #[test]
    fn moments_are_what_other_programs_say_they_are() {
        // Checked with `date -d … +%s`.
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T12:00:00Z", 951_825_600_000),
            ("2000-03-01T00:00:00Z", 951_868_800_000),
            ("2026-11-21T18:00:00.000Z", 1_795_284_000_000),
            ("2026-12-31T23:59:59.5Z", 1_798_761_599_500),
            ("2100-02-28T23:59:59.999999Z", 4_107_542_399_999),
            ("2100-03-01T00:00:00Z", 4_107_542_400_000),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_moment_is_written_as_it_is_read() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2000-02-29T12:00:00Z",
            "2000-03-01T00:00:00Z",
            "2026-11-21T18:00:00Z",
            "2027-12-31T23:59:59Z",
            "2100-02-28T23:59:59Z",
            "2100-03-01T00:00:00Z",
        ] {
            assert_eq!(format_utc(parse_utc(text).unwrap()), text);
        }
    }

    #[test]
    fn anything_else_is_no_moment() {
        for text in [
            "",
            "2026-11-21",
            "2026-11-21T18:00:00",
            "2026-11-21T18:00:00+00:00",
            "2026-11-21 18:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-01-32T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-1-01T00:00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.éZ",
            "1969-12-31T23:59:59Z",
            "+026-01-01T00:00:00Z",
        ] {
            assert_eq!(millis(text), None, "{text}");
        }
    }
}
