//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a request that is repeated with the
//! same key is accepted once.
//!
//! The key lives in the store, written in the same transaction as the notification. What lives here
//! is only which first requests are still being answered: their repetitions get a 409 until the
//! answer is known or the first caller has gone. After that a repetition answers at once with what
//! the notification's state then is; it does not wait again.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use axum::http::HeaderMap;
use bytes::Bytes;

use super::problem::{FieldError, Problem};
use crate::{
    ids::{Digest, NotificationId},
    limits::{IDEMPOTENCY_KEY_BYTES_MAX, IDEMPOTENCY_TTL},
    store::Idempotency,
};

const HEADER: &str = "idempotency-key";

/// Reads the key: a quoted string as the draft has it, or bare as most clients send it.
///
/// # Errors
/// A 400 when it is no key.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Option<Idempotency>, Problem> {
    let mut lines = headers.get_all(HEADER).into_iter();
    let Some(line) = lines.next() else { return Ok(None) };
    let wrong = |detail: &str| {
        super::notification::invalid(vec![FieldError::header("Idempotency-Key", detail)])
    };
    if lines.next().is_some() {
        return Err(wrong("is there more than once"));
    }
    let text = line.to_str().map_err(|_| wrong("has characters outside of ASCII"))?.trim();
    let key = unquote(text).ok_or_else(|| wrong("begins or ends with a quote but not both"))?;
    if key.is_empty() {
        return Err(wrong("is empty"));
    }
    if key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        return Err(wrong(&format!(
            "has {} characters, at most {IDEMPOTENCY_KEY_BYTES_MAX} are allowed",
            key.len()
        )));
    }
    Ok(Some(Idempotency {
        key: Bytes::from(key),
        body_hash: Digest::of(body).0,
        ttl: IDEMPOTENCY_TTL,
    }))
}

/// The content of a structured field's string (RFC 9651, section 3.3.3), or a bare text as it is.
fn unquote(text: &str) -> Option<String> {
    let Some(rest) = text.strip_prefix('"') else {
        return (!text.ends_with('"')).then(|| String::from(text));
    };
    let inner = rest.strip_suffix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return None,
            '\\' => key.push(characters.next()?),
            other => key.push(other),
        }
    }
    Some(key)
}

/// First requests with a key that are being answered. Bounded by the requests being served.
#[derive(Default, Debug)]
pub(super) struct Answering(Mutex<HashSet<NotificationId>>);

/// One of them; leaves when it is dropped, whether answered or hung up on.
#[derive(Debug)]
pub(super) struct Place<'a> {
    answering: &'a Answering,
    id: NotificationId,
}

impl Answering {
    pub(super) fn enter(&self, id: NotificationId) -> Place<'_> {
        self.lock().insert(id);
        Place { answering: self, id }
    }

    pub(super) fn contains(&self, id: NotificationId) -> bool {
        self.lock().contains(&id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<NotificationId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.answering.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(value: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, value.parse().unwrap());
        let key = read(&headers, b"").ok()??.key;
        Some(String::from_utf8(key.to_vec()).unwrap())
    }

    #[test]
    fn a_key_is_read_quoted_and_bare() {
        for (value, expected) in [
            ("\"8e03978e-40d5\"", Some("8e03978e-40d5")),
            ("8e03978e-40d5", Some("8e03978e-40d5")),
            ("\"a\\\"b\\\\c\"", Some("a\"b\\c")),
            ("\"open", None),
            ("open\"", None),
            ("\"a\"b\"", None),
            ("\"\"", None),
            ("", None),
        ] {
            assert_eq!(key(value).as_deref(), expected, "{value}");
        }
        assert!(key(&"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX)).is_some());
        assert!(key(&"k".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn two_keys_are_an_error() {
        let mut headers = HeaderMap::new();
        headers.append(HEADER, "a".parse().unwrap());
        headers.append(HEADER, "a".parse().unwrap());
        assert!(read(&headers, b"").is_err());
    }

    #[test]
    fn a_request_that_is_dropped_is_not_being_answered_any_more() {
        let answering = Answering::default();
        let id = NotificationId::generate();
        let place = answering.enter(id);
        assert!(answering.contains(id));
        drop(place);
        assert!(!answering.contains(id));
    }
}
