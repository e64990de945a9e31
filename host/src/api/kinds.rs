//! The catalogue of problems. A slug is never renamed and never gets another meaning.

use axum::http::StatusCode;

use super::problem::Kind;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $status:ident, $slug:literal, $title:literal;)*) => {
        $($(#[$doc])* pub const $name: Kind = Kind {
            slug: $slug,
            title: $title,
            status: StatusCode::$status,
        };)*
        /// Every kind.
        pub const ALL: &[Kind] = &[$($name),*];
    };
}

kinds! {
    /// The body is no JSON.
    MALFORMED_JSON = BAD_REQUEST, "malformed-json", "The body is not valid JSON";
    /// Fields, parameters or headers are wrong.
    INVALID_REQUEST = BAD_REQUEST, "invalid-request", "The request is not valid";
    /// The message does not fit the channel.
    MESSAGE_TOO_LONG = BAD_REQUEST, "message-too-long", "The message is too long for the channel";
    /// No key, or no form of a key.
    NO_KEY = UNAUTHORIZED, "no-key", "A key is needed";
    /// A key that is nobody's.
    WRONG_KEY = FORBIDDEN, "wrong-key", "The key is not valid";
    /// The key belongs to another tenant than the address that was called.
    WRONG_CONTEXT = FORBIDDEN, "wrong-context", "The key is not valid here";
    /// The caller's address is not allowed.
    SOURCE_DENIED = FORBIDDEN, "source-denied", "Calls from this address are not allowed";
    /// The channel is not configured.
    UNKNOWN_CHANNEL = NOT_FOUND, "unknown-channel", "There is no such channel";
    /// No notification with this id.
    UNKNOWN_NOTIFICATION = NOT_FOUND, "unknown-notification", "There is no such notification";
    /// The channel is not in quarantine.
    NOT_QUARANTINED = NOT_FOUND, "not-quarantined", "The channel is not in quarantine";
    /// No such path.
    UNKNOWN_PATH = NOT_FOUND, "unknown-path", "There is nothing at this address";
    /// The path knows other methods.
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method-not-allowed", "The method is not allowed here";
    /// The body came too slowly.
    BODY_TIMEOUT = REQUEST_TIMEOUT, "body-timeout", "The body took too long to arrive";
    /// The first request with the key has not been answered yet.
    IDEMPOTENCY_IN_PROGRESS = CONFLICT, "idempotency-in-progress",
        "The first request with this key is still being answered";
    /// The notification's state does not allow it.
    STATE_CONFLICT = CONFLICT, "state-conflict", "The notification's state does not allow this";
    /// It was taken back while the caller waited.
    CANCELLED = CONFLICT, "cancelled", "The notification was cancelled";
    /// The body is too large.
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body-too-large", "The body is too large";
    /// The body is not said to be JSON.
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type",
        "The body must be JSON";
    /// Same key, other request.
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY, "idempotency-key-reused",
        "The idempotency key was used for another request";
    /// What is on disk cannot come into force.
    RELOAD_REJECTED = UNPROCESSABLE_ENTITY, "reload-rejected", "The reload was rejected";
    /// The provider said no.
    REJECTED = UNPROCESSABLE_ENTITY, "rejected", "The provider rejected the notification";
    /// Its time was over before it could be delivered.
    EXPIRED = UNPROCESSABLE_ENTITY, "expired", "The notification expired";
    /// A credential or option of the channel is wrong.
    CHANNEL_MISCONFIGURED = FAILED_DEPENDENCY, "channel-misconfigured",
        "The channel is misconfigured";
    /// Given up for another reason.
    DELIVERY_FAILED = FAILED_DEPENDENCY, "delivery-failed", "The notification was given up";
    /// The request's line and headers are too large.
    HEAD_TOO_LARGE = REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large",
        "The request's line and headers are too large";
    /// Too many requests a second.
    RATE_LIMITED = TOO_MANY_REQUESTS, "rate-limited", "Too many requests";
    /// Too many keys that are nobody's.
    TOO_MANY_FAILURES = TOO_MANY_REQUESTS, "too-many-failures", "Too many keys were not valid";
    /// Too many live notifications.
    QUEUE_FULL = TOO_MANY_REQUESTS, "queue-full", "The tenant's queue is full";
    /// Too many streams of events.
    TOO_MANY_STREAMS = TOO_MANY_REQUESTS, "too-many-streams", "Too many streams of events are open";
    /// A defect of this program.
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "The host made a mistake";
    /// The host is going down.
    STOPPING = SERVICE_UNAVAILABLE, "stopping", "The host is stopping";
    /// Not ready for requests.
    NOT_READY = SERVICE_UNAVAILABLE, "not-ready", "The host is not ready";
    /// The store cannot take or answer it now; nothing was done.
    STORE_UNAVAILABLE = SERVICE_UNAVAILABLE, "store-unavailable", "The store is not available";
    /// Nobody knows whether it was stored.
    OUTCOME_UNKNOWN = SERVICE_UNAVAILABLE, "outcome-unknown",
        "It is not known whether the request was carried out";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slug_is_there_once() {
        let slugs: std::collections::BTreeSet<_> = ALL.iter().map(|kind| kind.slug).collect();
        assert_eq!(slugs.len(), ALL.len());
    }
}
