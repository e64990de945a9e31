//! `Prefer` (RFC 7240): how long the caller wants to wait for the outcome.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};

use crate::limits::{WAIT_DEFAULT, WAIT_MAX};

/// What the caller prefers, as far as we know about it. Unknown preferences, and known ones that
/// make no sense, are ignored: RFC 7240 says that they are never an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Prefer {
    respond_async: bool,
    wait: Option<Duration>,
}

impl Prefer {
    pub(super) fn read(headers: &HeaderMap) -> Self {
        let mut prefer = Self::default();
        let lines = headers.get_all("prefer").into_iter().filter_map(|line| line.to_str().ok());
        for preference in lines.flat_map(|line| line.split(',')) {
            let token = preference.split(';').next().unwrap_or_default();
            let (name, value) = token.split_once('=').unwrap_or((token, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                prefer.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && prefer.wait.is_none() {
                // Of a preference that comes twice the first counts (RFC 7240, section 2).
                prefer.wait = value.parse().ok().map(|s| Duration::from_secs(s).min(WAIT_MAX));
            }
        }
        prefer
    }

    /// How long to wait before answering 202.
    pub(super) fn wait(self) -> Duration {
        let at_once = if self.respond_async { Duration::ZERO } else { WAIT_DEFAULT };
        self.wait.unwrap_or(at_once)
    }

    /// The `Preference-Applied` header; none if nothing was asked for.
    pub(super) fn applied(self) -> Option<HeaderValue> {
        let wait = self.wait.map(|wait| format!("wait={}", wait.as_secs()));
        match (self.respond_async, wait) {
            (true, None) => Some(HeaderValue::from_static("respond-async")),
            (false, Some(wait)) => HeaderValue::from_str(&wait).ok(),
            (true, Some(wait)) => HeaderValue::from_str(&format!("respond-async, {wait}")).ok(),
            (false, None) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (u64, Option<String>) {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", line.parse().unwrap());
        }
        let prefer = Prefer::read(&headers);
        (prefer.wait().as_secs(), prefer.applied().map(|value| value.to_str().unwrap().to_owned()))
    }

    #[test]
    fn preferences_are_read_combined_bounded_or_ignored() {
        for (lines, wait_s, applied) in [
            (&[][..], 10, None),
            (&["respond-async"], 0, Some("respond-async")),
            (&["wait=0"], 0, Some("wait=0")),
            (&["wait=7"], 7, Some("wait=7")),
            (&["wait=9999"], 30, Some("wait=30")),
            (&["respond-async, wait=3"], 3, Some("respond-async, wait=3")),
            (&["Respond-Async", "Wait = \"3\""], 3, Some("respond-async, wait=3")),
            (&["wait=3, wait=5"], 3, Some("wait=3")),
            (&["return=minimal; foo=1", "wait=-1"], 10, None),
            (&["wait=soon, , ;"], 10, None),
        ] {
            assert_eq!(read(lines), (wait_s, applied.map(String::from)), "{lines:?}");
        }
    }
}
