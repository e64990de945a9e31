//! Scripted answers and recorded requests.

use serde::Serialize;
use serde_json::Value;

use crate::bindings::conductor::channel::http as wit;

/// An answer for [`FakeHost::answer`](super::FakeHost::answer).
#[derive(Clone, Debug)]
pub struct Answer(wit::Response);

/// An empty answer with this status.
#[must_use]
pub fn answer(status: u16) -> Answer {
    Answer(wit::Response { status, headers: Vec::new(), body: Vec::new() })
}

impl Answer {
    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.0.body = bytes.into();
        self
    }

    /// Sets the body to `value` as JSON.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.header("content-type", "application/json").body(bytes)
    }

    pub(super) fn into_raw(self) -> wit::Response {
        self.0
    }
}

/// A request that the channel sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentRequest {
    /// "GET", "POST" …
    pub method: String,
    /// Absolute.
    pub url: String,
    /// As the channel wrote them.
    pub headers: Vec<(String, String)>,
    /// Empty when there was none.
    pub body: Vec<u8>,
    /// The time limit that the channel asked for.
    pub timeout_ms: Option<u32>,
}

impl SentRequest {
    pub(super) fn record(raw: &wit::Request) -> Self {
        Self {
            method: raw.method.clone(),
            url: raw.url.clone(),
            headers: raw.headers.clone(),
            body: raw.body.clone().unwrap_or_default(),
            timeout_ms: raw.timeout_ms,
        }
    }

    /// The header of that name, in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(present, _)| present.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, or null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}
