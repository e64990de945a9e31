//! What Apple's refusals mean: the reason decides
//! (<https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>).

use std::time::Duration;

use conductor_sdk::{Retry, RetryScope, SendError, http::Response};
use serde::Deserialize;

/// Apple takes a new provider token every 20 minutes at most
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
/// The host makes one each half hour, so this is what a restart of the host comes to; how much of
/// the 20 minutes is over nobody tells.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_secs(5 * 60);

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    reason: String,
    /// Since when the device has not had the app any more, in milliseconds.
    timestamp: Option<u64>,
}

/// What an answer that is not 200 means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let refusal: Refusal = response.json().unwrap_or_default();
    let reason = refusal.reason.as_str();
    let code = match reason {
        "" => format!("http_{}", response.status),
        reason => reason.to_owned(),
    };
    let detail = describe(response, &refusal);
    let retry = |scope, wait| Retry::new(&code, &detail).after(wait).scope(scope).into();
    match (response.status, reason) {
        (429, "TooManyProviderTokenUpdates") => retry(
            RetryScope::Credential,
            Some(response.retry_after().unwrap_or(TOKEN_UPDATES_WAIT)),
        ),
        // Too many to the same device.
        (429, _) => retry(RetryScope::Destination, response.retry_after()),
        // The host's token is half an hour old at most: it is the clock that is wrong, here or in
        // between, and that passes.
        (403, "ExpiredProviderToken") => retry(RetryScope::Credential, response.retry_after()),
        // The key, the team, or what the key may do (InvalidProviderToken, MissingProviderToken,
        // BadEnvironmentKeyInToken, Forbidden …); the option `topic`.
        (403, _) | (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => {
            SendError::misconfigured(code, detail)
        }
        // Not an address of APNs.
        (404 | 405, _) => SendError::misconfigured(code, detail),
        (408 | 425 | 500..=599, _) | (_, "IdleTimeout") => {
            retry(RetryScope::Message, response.retry_after())
        }
        // Among them: no such device (BadDeviceToken, DeviceTokenNotForTopic), the app is gone from
        // it (410 Unregistered, ExpiredToken), too large (413), a header (BadCollapseId …).
        _ => SendError::rejected(code, detail),
    }
}

fn describe(response: &Response, refusal: &Refusal) -> String {
    let since = refusal
        .timestamp
        .map(|timestamp| format!(" since {timestamp} (milliseconds of Unix time)"))
        .unwrap_or_default();
    match refusal.reason.as_str() {
        "" => response.summary(),
        "BadDeviceToken" => "APNs: BadDeviceToken: no such device, or one of the other \
                             environment (production or sandbox)"
            .to_owned(),
        reason @ ("Unregistered" | "ExpiredToken") => {
            format!(
                "APNs: {reason}: the app is not on this device any more{since}; forget its token"
            )
        }
        reason => format!("APNs: {reason}"),
    }
}
