//! What a homeserver's refusals mean
//! (<https://spec.matrix.org/latest/client-server-api/#standard-error-response>).

use std::time::Duration;

use conductor_sdk::{Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    errcode: String,
    error: String,
    /// In place of the header, before version 1.10 of the specification.
    retry_after_ms: Option<u64>,
}

/// What an answer that is not 2xx means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let refusal: Refusal = response.json().unwrap_or_default();
    let (code, detail) = match refusal.errcode.as_str() {
        "" => (format!("http_{}", response.status), response.summary()),
        code => (code.to_owned(), format!("the homeserver: {}", text::excerpt(&refusal.error))),
    };
    let wait = response.retry_after().max(refusal.retry_after_ms.map(Duration::from_millis));
    match refusal.errcode.as_str() {
        "M_LIMIT_EXCEEDED" => {
            return Retry::new(code, detail).after(wait).scope(RetryScope::Credential).into();
        }
        "M_UNKNOWN_TOKEN"
        | "M_MISSING_TOKEN"
        | "M_USER_LOCKED"
        | "M_USER_SUSPENDED"
        | "M_USER_DEACTIVATED"
        | "M_CONSENT_NOT_GIVEN"
        | "M_RESOURCE_LIMIT_EXCEEDED" => {
            return SendError::misconfigured(code, detail);
        }
        // There is something, but it does not speak the protocol.
        "M_UNRECOGNIZED" => {
            return SendError::misconfigured(code, format!("{detail} (is the homeserver right?)"));
        }
        _ => {}
    }
    match response.status {
        401 => SendError::misconfigured(code, detail),
        404 | 405 if refusal.errcode.is_empty() => {
            SendError::misconfigured(code, format!("{detail} (is the homeserver right?)"))
        }
        429 => Retry::new(code, detail).after(wait).scope(RetryScope::Credential).into(),
        408 | 500..=599 => Retry::new(code, detail).after(wait).into(),
        // Among them: M_FORBIDDEN (not in the room), M_TOO_LARGE, M_BAD_JSON, M_NOT_FOUND.
        _ => SendError::rejected(code, detail),
    }
}
