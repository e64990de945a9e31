//! What Google's refusals mean. FCM's own code stands in the details and decides where it is there
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>), else the status does.

use std::time::Duration;

use conductor_sdk::{RetryScope, SendError, http::Response};
use serde::Deserialize;

/// Without a `Retry-After`
/// (<https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries>).
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// The same page, for all other troubles.
const TROUBLE_WAIT: Duration = Duration::from_secs(10);

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: Problem,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    status: String,
    message: String,
    details: Vec<Detail>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    error_code: Option<String>,
}

/// What an answer of FCM's that is not 2xx means, and whether the access token is to blame.
pub(crate) fn outcome(response: &Response) -> (SendError, bool) {
    let problem = response.json::<Body>().unwrap_or_default().error;
    let own = problem.details.iter().find_map(|detail| detail.error_code.as_deref());
    let refusal = response.refusal("FCM", own.unwrap_or(&problem.status), &problem.message);
    let outcome = match (own, response.status) {
        // Keys for APNs or web push that the project has for its apps.
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => refusal.misconfigured(),
        // The access token ended early: another one may be taken.
        (_, 401) => return (refusal.retry(RetryScope::Message, None), true),
        // The service account may not send; with a code of its own (SENDER_ID_MISMATCH) the target
        // is another project's.
        (None, 403) => refusal.misconfigured(),
        // The quota is the device's, the topic's or the project's; only the words tell.
        (_, 429) => {
            let words = problem.message.to_lowercase();
            let is_the_targets = words.contains("device") || words.contains("topic");
            let scope =
                if is_the_targets { RetryScope::Destination } else { RetryScope::Credential };
            refusal.retry(scope, Some(QUOTA_WAIT))
        }
        (_, 408 | 425 | 500..=599) => refusal.retry(RetryScope::Message, Some(TROUBLE_WAIT)),
        // Among them: INVALID_ARGUMENT (no token, too large, a reserved key in data), UNREGISTERED
        // (the app is gone from the device: forget the token).
        _ => refusal.rejected(),
    };
    (outcome, false)
}

/// What a refusal of the token server means
/// (<https://developers.google.com/identity/protocols/oauth2/service-account#error-codes>): the
/// account or its key is wrong, unless time helps.
pub(crate) fn token_outcome(response: &Response) -> SendError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TokenBody {
        error: String,
        error_description: String,
    }
    let body: TokenBody = response.json().unwrap_or_default();
    let refusal = response.refusal("Google", &body.error, &body.error_description);
    match response.status {
        408 | 425 | 429 | 500..=599 => refusal.retry(RetryScope::Credential, None),
        _ => refusal.misconfigured(),
    }
}
