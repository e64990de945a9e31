//! Outbound HTTP: one request, one answer, both whole.
//!
//! Only origins that the manifest asks for *and* the operator grants can be reached. Redirects are
//! not followed. Connections are kept and reused by the host.

mod answer;
pub(crate) mod budget;
mod meaning;
mod refusal;
mod response;

use std::time::Duration;

use serde::Serialize;

use crate::{SendError, bindings::conductor::channel::http as wit, host, task, time};

pub use meaning::Meaning;
pub use refusal::Refusal;
pub use response::Response;
pub use wit::HttpError;

/// One request, built step by step.
///
/// ```no_run
/// # fn example() -> Result<(), conductor_sdk::SendError> {
/// use conductor_sdk::{http, json};
///
/// let response = http::post("https://chat.example/api/messages")
///     .header("x-tag", "alerts")
///     .json(&json!({ "text": "hello" }))
///     .fetch()?
///     .error_for_status()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `fetch`"]
pub struct Request {
    raw: wit::Request,
    /// Why the request cannot be sent, found while it was built.
    invalid: Option<String>,
}

/// A GET request. `url` is absolute.
pub fn get(url: impl Into<String>) -> Request {
    Request::new("GET", url)
}

/// A POST request. `url` is absolute.
pub fn post(url: impl Into<String>) -> Request {
    Request::new("POST", url)
}

/// A PUT request. `url` is absolute.
pub fn put(url: impl Into<String>) -> Request {
    Request::new("PUT", url)
}

impl Request {
    /// A request with any method.
    pub fn new(method: &str, url: impl Into<String>) -> Self {
        Self {
            raw: wit::Request {
                method: method.to_owned(),
                url: url.into(),
                headers: Vec::new(),
                body: None,
                timeout_ms: None,
            },
            invalid: None,
        }
    }

    /// Sets a header, in place of one of the same name.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.raw.headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
        self.raw.headers.push((name.to_owned(), value.into()));
        self
    }

    /// The same where there is a value.
    pub fn header_if(self, name: &str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Authenticates by a token (RFC 6750): `token` is what stands for it, from
    /// [`secrets::placeholder`](crate::secrets::placeholder) for example.
    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// Sends these bytes. Set their `content-type` too.
    pub fn body(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.raw.body = Some(bytes.into());
        self
    }

    /// Sends `value` as JSON.
    pub fn json<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => self.header("content-type", "application/json").body(bytes),
            Err(error) => {
                self.invalid = Some(error.to_string());
                self
            }
        }
    }

    /// Sends pairs of name and value as an HTML form does.
    pub fn form(self, pairs: &[(&str, &str)]) -> Self {
        let mut text = String::new();
        for (name, value) in pairs {
            if !text.is_empty() {
                text.push('&');
            }
            text.push_str(&percent_encode(name));
            text.push('=');
            text.push_str(&percent_encode(value));
        }
        self.header("content-type", "application/x-www-form-urlencoded").body(text)
    }

    /// A time limit for this request. Without one it is what is left of the call's own, a little
    /// shortened, so that a slow provider is an answer to the channel and not the end of it.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.raw.timeout_ms = Some(time::millis_ceil(limit));
        self
    }

    /// Sends the request and waits for the answer, whatever its status.
    ///
    /// # Errors
    /// When there is no answer. The cases differ in what the provider may have seen; `?` turns them
    /// into the right [`SendError`].
    pub fn fetch(mut self) -> Result<Response, HttpError> {
        if let Some(why) = self.invalid {
            return Err(HttpError::Invalid(why));
        }
        let left_ms = budget::left().map(time::millis_ceil);
        self.raw.timeout_ms = match (self.raw.timeout_ms, left_ms) {
            (Some(own), Some(left)) => Some(own.min(left)),
            (own, left) => own.or(left),
        };
        host::http::fetch(&self.raw).map(Response::from)
    }

    /// The same for an [`AsyncChannel`](crate::AsyncChannel): other sends go on meanwhile. Dropped
    /// before its end, the request is given up.
    ///
    /// # Errors
    /// As [`fetch`](Self::fetch).
    pub async fn fetch_async(self) -> Result<Response, HttpError> {
        if let Some(why) = self.invalid {
            return Err(HttpError::Invalid(why));
        }
        match task::Operation::new(host::http_async::fetch(&self.raw)).await {
            task::Outcome::Fetched(answer) => answer.map(Response::from),
            _ => Err(HttpError::Invalid(String::from("the host answered something else"))),
        }
    }
}

/// Escapes all but the unreserved characters of RFC 3986, section 2.3: fit for a segment of a path,
/// a query and a form.
#[must_use]
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

impl HttpError {
    /// What this means for a request that may be sent twice, because the provider recognises it or
    /// because it delivers nothing: no answer is a reason to try again.
    #[must_use]
    pub fn repeatable(self) -> SendError {
        match SendError::from(self) {
            SendError::Unknown(problem) => SendError::retry(problem.code, problem.detail),
            error => error,
        }
    }
}

impl From<HttpError> for SendError {
    fn from(error: HttpError) -> Self {
        match error {
            HttpError::Invalid(why) => Self::rejected("invalid_request", why),
            HttpError::Denied(why) => Self::misconfigured("denied", why),
            HttpError::Unreachable(why) => Self::retry("unreachable", why),
            HttpError::NoAnswer(why) => Self::unknown("no_answer", why),
            HttpError::TooLarge(why) => Self::unknown("answer_too_large", why),
        }
    }
}

#[cfg(test)]
mod tests;
