//! What Google's refusals mean. FCM's own code stands in the details and decides where it is there
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>), else the status does.

use conductor_sdk::prelude::*;

/// Without a `Retry-After`
/// (<https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries>).
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// The same page, for all other troubles.
const TROUBLE_WAIT: Duration = Duration::from_secs(10);

/// What an answer of FCM's that is not 2xx means. For 401 see the caller.
pub(crate) fn outcome(response: &Response) -> SendError {
    let body = response.json_or_null();
    let details = body.pointer("/error/details").and_then(Value::as_array).into_iter().flatten();
    let own = details.filter_map(|detail| detail.get("errorCode")?.as_str()).next();
    let status = response.text_at("/error/status").unwrap_or_default();
    let words = response.text_at("/error/message").unwrap_or_default();
    let refusal = response.refusal("FCM", own.unwrap_or(&status), &words);
    match (own, response.status) {
        // Keys for APNs or web push that the project has for its apps.
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => refusal.misconfigured(),
        // The access token ended early: another one may be taken.
        (_, 401) => refusal.retry(RetryScope::Message, None),
        // The service account may not send; with a code of its own (SENDER_ID_MISMATCH) the target
        // is another project's.
        (None, 403) => refusal.misconfigured(),
        // The quota is the device's, the topic's or the project's; only the words tell.
        (_, 429) if ["device", "topic"].iter().any(|word| words.to_lowercase().contains(word)) => {
            refusal.retry(RetryScope::Destination, Some(QUOTA_WAIT))
        }
        (_, 429) => refusal.retry(RetryScope::Credential, Some(QUOTA_WAIT)),
        (_, 408 | 425 | 500..=599) => refusal.retry(RetryScope::Message, Some(TROUBLE_WAIT)),
        // Among them: INVALID_ARGUMENT (no token, too large, a reserved key in data), UNREGISTERED
        // (the app is gone from the device: forget the token).
        _ => refusal.rejected(),
    }
}
