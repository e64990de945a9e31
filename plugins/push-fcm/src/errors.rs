//! What Google's refusals mean. FCM's own code stands in the details and decides where it is there
//! (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>), else the status does.

use std::time::Duration;

use conductor_sdk::{LengthUnit, Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// Without a `Retry-After`
/// (<https://firebase.google.com/docs/cloud-messaging/scale-fcm#handling-retries>).
const QUOTA_WAIT: Duration = Duration::from_secs(60);
/// "Wait at least 10 seconds" (the same page).
const TROUBLE_WAIT: Duration = Duration::from_secs(10);

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
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
    let problem = response.json::<Refusal>().unwrap_or_default().error;
    let own = problem.details.iter().find_map(|detail| detail.error_code.as_deref());
    let code = match own.unwrap_or(&problem.status) {
        "" => format!("http_{}", response.status),
        code => code.to_owned(),
    };
    let detail = describe(response, &problem);
    let wait = |least: Duration| Some(response.retry_after().unwrap_or_default().max(least));
    let outcome = match (own, response.status) {
        // Keys for APNs or web push that the project has for its apps.
        (Some("THIRD_PARTY_AUTH_ERROR"), _) => SendError::misconfigured(code, detail),
        // The access token ended early: another one may be taken.
        (_, 401) => return (SendError::retry(code, detail), true),
        // The token is another project's; the service account may not send.
        (Some("SENDER_ID_MISMATCH"), _) => SendError::rejected(code, detail),
        (None, 403) => SendError::misconfigured(code, detail),
        // The quota is the device's, the topic's or the project's; only the words tell.
        (_, 429) => {
            let words = problem.message.to_lowercase();
            let is_the_targets = words.contains("device") || words.contains("topic");
            Retry::new(code, detail)
                .after(Some(response.retry_after().unwrap_or(QUOTA_WAIT)))
                .scope(if is_the_targets {
                    RetryScope::Destination
                } else {
                    RetryScope::Credential
                })
                .into()
        }
        (_, 408 | 425 | 500..=599) => Retry::new(code, detail).after(wait(TROUBLE_WAIT)).into(),
        // Among them: INVALID_ARGUMENT (no token, too large, a reserved key in data), UNREGISTERED
        // (the app is gone from the device: forget the token).
        _ => SendError::rejected(code, detail),
    };
    (outcome, false)
}

/// What a refusal of the token server means
/// (<https://developers.google.com/identity/protocols/oauth2/service-account#error-codes>). Nothing
/// was sent to anybody.
pub(crate) fn token_outcome(response: &Response) -> SendError {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct TokenRefusal {
        error: String,
        error_description: String,
    }
    let refusal: TokenRefusal = response.json().unwrap_or_default();
    let (code, detail) = match refusal.error.as_str() {
        "" => (format!("http_{}", response.status), response.summary()),
        code => (code.to_owned(), format!("Google: {}", refusal.error_description)),
    };
    match response.status {
        408 | 425 | 429 | 500..=599 => Retry::new(code, detail)
            .after(response.retry_after())
            .scope(RetryScope::Credential)
            .into(),
        _ => SendError::misconfigured(code, detail),
    }
}

fn describe(response: &Response, problem: &Problem) -> String {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    if problem.message.is_empty() {
        return response.summary();
    }
    let unit = LengthUnit::Characters;
    format!("FCM: {}", text::truncate(&problem.message, MESSAGE_CHARACTERS_MAX, unit))
}
