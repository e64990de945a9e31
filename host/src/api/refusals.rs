//! Refusals that several routes share.

use axum::http::{Method, Uri};

use super::{json::shorten, kinds, problem::Problem};
use crate::{
    limits::{BUSY_RETRY_AFTER, HEADER_BYTES_MAX, UNAVAILABLE_RETRY_AFTER},
    store::StoreError,
};

/// There is nothing at this path.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    Problem::new(
        kinds::UNKNOWN_PATH,
        format!(
            "There is nothing at \"{}\"; /openapi.json lists what there is.",
            shorten(uri.path())
        ),
    )
}

/// The path is there, the method is not. (The router adds `Allow`.)
pub(super) async fn method_not_allowed(method: Method, uri: Uri) -> Problem {
    Problem::new(
        kinds::METHOD_NOT_ALLOWED,
        format!("\"{}\" does not take {method}; see the Allow header.", shorten(uri.path())),
    )
}

/// The request's line and headers have so many bytes.
pub(super) fn head_too_large(bytes: usize) -> Problem {
    Problem::new(
        kinds::HEAD_TOO_LARGE,
        format!("They may have {HEADER_BYTES_MAX} bytes together and have {bytes}."),
    )
    .with("bytesMax", HEADER_BYTES_MAX)
}

/// The store could not do it. What it says itself may name files, and goes into the log only.
pub(super) fn store_failed(error: &StoreError) -> Problem {
    let (kind, detail, after) = match error {
        StoreError::Busy => (
            kinds::STORE_UNAVAILABLE,
            "The host has more work waiting than it may; nothing was stored.",
            BUSY_RETRY_AFTER,
        ),
        StoreError::ReadOnly(_) => (
            kinds::STORE_UNAVAILABLE,
            "The store takes nothing new at the moment (its disk may be full); nothing was stored.",
            UNAVAILABLE_RETRY_AFTER,
        ),
        StoreError::Read(_) => {
            (kinds::STORE_UNAVAILABLE, "The store could not be read.", UNAVAILABLE_RETRY_AFTER)
        }
        StoreError::Closed => (kinds::STOPPING, STOPPING_DETAIL, UNAVAILABLE_RETRY_AFTER),
        StoreError::Unknown(_) => (
            kinds::OUTCOME_UNKNOWN,
            "The store failed, and it is not known whether the request was carried out. Repeat it \
             with the same Idempotency-Key: then it is carried out once.",
            UNAVAILABLE_RETRY_AFTER,
        ),
    };
    if matches!(error, StoreError::Busy) {
        tracing::debug!(%error, "a request was refused");
    } else {
        tracing::error!(%error, "a request was refused");
    }
    Problem::new(kind, detail).retry_after(after)
}

const STOPPING_DETAIL: &str = "The host is stopping; nothing was stored. Try again.";

/// The host is going down.
pub(super) fn stopping() -> Problem {
    Problem::new(kinds::STOPPING, STOPPING_DETAIL).retry_after(UNAVAILABLE_RETRY_AFTER)
}
