//! What a homeserver's refusals mean
//! (<https://spec.matrix.org/latest/client-server-api/#standard-error-response>).

use conductor_sdk::prelude::*;

const CODES: [(&str, Meaning); 3] = [
    ("M_LIMIT_EXCEEDED", Meaning::Retry(RetryScope::Credential)),
    ("M_UNKNOWN_TOKEN M_MISSING_TOKEN M_CONSENT_NOT_GIVEN", Meaning::Misconfigured),
    (
        "M_USER_LOCKED M_USER_SUSPENDED M_USER_DEACTIVATED M_RESOURCE_LIMIT_EXCEEDED",
        Meaning::Misconfigured,
    ),
];

/// What an answer that is not 2xx means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let has_code = response.text_at("/errcode").is_some();
    let refusal = response.refusal_at("the homeserver", "/errcode", &["/error"]);
    // In place of the header, before version 1.10 of the specification.
    let refusal = refusal.wait(response.millis_at("/retry_after_ms"));
    refusal.by_code(&CODES).unwrap_or_else(|refusal| match (response.status, refusal.code()) {
        // There is something, but it does not speak the protocol.
        (_, "M_UNRECOGNIZED") => refusal.hint("is the homeserver right?").misconfigured(),
        (404 | 405, _) if !has_code => refusal.hint("is the homeserver right?").misconfigured(),
        // Rejected are, among others: M_FORBIDDEN (not in the room), M_TOO_LARGE, M_BAD_JSON,
        // M_NOT_FOUND.
        _ => refusal.by_status(RetryScope::Credential),
    })
}
