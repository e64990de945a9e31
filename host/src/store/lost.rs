//! An attempt of which nothing came back.

use std::borrow::Cow;

use super::Attempt;
use crate::clock::UnixMs;

/// Its record, so that a notification's history has no gap: whether the provider got the message is
/// not known.
pub(super) fn lost_attempt(started: UnixMs, now: UnixMs) -> Attempt {
    Attempt {
        started,
        took_ms: u32::try_from(now.since(started).as_millis()).unwrap_or(u32::MAX),
        outcome: Cow::Borrowed("lost"),
        code: None,
        detail: Some(String::from("the lease ended before the attempt was settled")),
        provider_id: None,
        digest: None,
        counts: true,
    }
}
