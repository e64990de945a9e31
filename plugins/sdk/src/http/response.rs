//! The answer to a request.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::de::DeserializeOwned;

use crate::{Retry, SendError, bindings::conductor::channel::http as wit, time};

/// The answer to a request, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl From<wit::Response> for Response {
    fn from(raw: wit::Response) -> Self {
        Self { status: raw.status, headers: raw.headers, body: raw.body }
    }
}

impl Response {
    /// Whether the status is 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text; wrong bytes are replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none, or of another shape. For a success that no longer parses think twice before
    /// you report an error: the message is delivered.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        // As text, like everything else: read as bytes too, a component would have the reader of
        // JSON twice. JSON is UTF-8 (RFC 8259), and what is not costs one sign and not the answer.
        serde_json::from_str(&String::from_utf8_lossy(&self.body))
    }

    /// How long the provider asks to wait: `Retry-After` as seconds or as a date (RFC 9110, section
    /// 10.2.3), or as a fraction of seconds, which providers send too. Never shorter than what it
    /// says, by whichever clock, the provider's `Date` or our own, asks for more.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let value = self.header("retry-after")?.trim();
        if let Some(wait) = seconds(value) {
            return Some(wait);
        }
        let until = httpdate::parse_http_date(value).ok()?;
        let since = |now: SystemTime| until.duration_since(now).unwrap_or_default();
        let by_provider = self
            .header("date")
            .and_then(|date| httpdate::parse_http_date(date).ok())
            .map_or(Duration::ZERO, since);
        Some(by_provider.max(since(time::now())))
    }

    /// The response itself if its status is 2xx, else what the status means at most providers:
    ///
    /// | status | outcome |
    /// |---|---|
    /// | 401, 407 | misconfigured |
    /// | 408, 425, 429 and 5xx | retry, with the provider's waiting time |
    /// | 429 | the same, for the whole destination |
    /// | anything else | rejected |
    ///
    /// Look at the provider's own error codes first where it has some: they know better.
    ///
    /// # Errors
    /// As the table says.
    pub fn error_for_status(self) -> Result<Self, SendError> {
        if self.is_success() { Ok(self) } else { Err(self.status_error()) }
    }

    /// What [`error_for_status`](Self::error_for_status) says of a status that is not 2xx.
    #[must_use]
    pub fn status_error(&self) -> SendError {
        let code = format!("http_{}", self.status);
        let detail = self.summary();
        match self.status {
            401 | 407 => SendError::misconfigured(code, detail),
            429 => Retry::new(code, detail)
                .after(self.retry_after())
                .scope(crate::RetryScope::Destination)
                .into(),
            408 | 425 | 500..=599 => Retry::new(code, detail).after(self.retry_after()).into(),
            _ => SendError::rejected(code, detail),
        }
    }

    /// The same for an endpoint whose URL is the credential, an incoming webhook for example: there
    /// 401, 403, 404 and 410 say that the URL is wrong or was withdrawn, which no other message
    /// changes. They are misconfigured; all else is as in [`status_error`](Self::status_error).
    #[must_use]
    pub fn webhook_error(&self) -> SendError {
        match self.status {
            401 | 403 | 404 | 410 => SendError::misconfigured(
                format!("http_{}", self.status),
                format!("{}; is the webhook's URL right, and does it still exist?", self.summary()),
            ),
            _ => self.status_error(),
        }
    }

    /// Status and the beginning of the body, on one line, for a person.
    #[must_use]
    pub fn summary(&self) -> String {
        const BODY_CHARACTERS_MAX: usize = 200;
        let text = self.text();
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let excerpt =
            crate::text::truncate(&line, BODY_CHARACTERS_MAX, crate::LengthUnit::Characters);
        match (self.status, excerpt.as_str()) {
            (status, "") => format!("the provider answered {status}"),
            (status, excerpt) => format!("the provider answered {status}: {excerpt}"),
        }
    }
}

/// A number of seconds, whole or not, as a duration that is not shorter.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    if let Ok(whole) = text.parse() {
        return Some(Duration::from_secs(whole));
    }
    // "inf" and "nan" are numbers to Rust, and "1e400" is infinite.
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)?;
    Some(from_seconds(value))
}

/// Rounded up to a millisecond. Not as a float: of a large number that would round it down.
fn from_seconds(value: f64) -> Duration {
    let Ok(exact) = Duration::try_from_secs_f64(value) else { return Duration::MAX };
    let millis = u64::from(exact.subsec_nanos().div_ceil(1_000_000));
    Duration::from_secs(exact.as_secs()).saturating_add(Duration::from_millis(millis))
}
