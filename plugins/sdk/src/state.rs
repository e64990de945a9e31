//! A small memory of the channel, shared by its instances and kept when one is replaced. It is a
//! cache: empty after the host restarts, and bounded (64 keys, 64 KiB).

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use crate::{host, time};

pub use crate::bindings::conductor::channel::state::StateError;

/// What is kept under `key`.
#[must_use]
pub fn get(key: &str) -> Option<Vec<u8>> {
    host::state::get(key)
}

/// Keeps `value` for `ttl`, or until it is removed.
///
/// # Errors
/// When the key, the value or the whole is larger than the host keeps.
pub fn set(key: &str, value: &[u8], ttl: Option<Duration>) -> Result<(), StateError> {
    host::state::set(key, value, ttl.map(time::millis_ceil))
}

/// What was kept by [`set_json`]. What does not parse counts as absent: it is a cache.
#[must_use]
pub fn get_json<T: DeserializeOwned>(key: &str) -> Option<T> {
    get(key).and_then(|bytes| serde_json::from_str(&String::from_utf8_lossy(&bytes)).ok())
}

/// Keeps `value` as JSON.
///
/// # Errors
/// As [`set`], and when `value` has no JSON form.
pub fn set_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    ttl: Option<Duration>,
) -> Result<(), StateError> {
    let bytes =
        serde_json::to_vec(value).map_err(|error| StateError::TooLarge(error.to_string()))?;
    set(key, &bytes, ttl)
}

/// Forgets `key`.
pub fn remove(key: &str) {
    host::state::remove(key);
}
