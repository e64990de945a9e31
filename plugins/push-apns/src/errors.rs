//! What Apple's refusals mean: the reason decides
//! (<https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>).

use std::time::Duration;

use conductor_sdk::{RetryScope, SendError, http::Response};
use serde::Deserialize;

/// Apple takes a new provider token every 20 minutes at most
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
/// The host makes one each half hour, so this is what a restart of the host comes to; how much of
/// the 20 minutes is over nobody tells.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_secs(5 * 60);

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    reason: String,
    /// Since when the device has not had the app any more, in milliseconds.
    timestamp: Option<u64>,
}

/// What an answer that is not 200 means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let body: Body = response.json().unwrap_or_default();
    let reason = body.reason.as_str();
    let refusal = response.refusal("APNs", reason, &words(&body));
    match (response.status, reason) {
        (429, "TooManyProviderTokenUpdates") => {
            refusal.retry(RetryScope::Credential, Some(TOKEN_UPDATES_WAIT))
        }
        // The host's token is half an hour old at most: it is the clock that is wrong, here or in
        // between, and that passes.
        (403, "ExpiredProviderToken") => refusal.retry(RetryScope::Credential, None),
        (_, "IdleTimeout") => refusal.retry(RetryScope::Message, None),
        // The key, the team, or what the key may do (InvalidProviderToken, MissingProviderToken,
        // BadEnvironmentKeyInToken, Forbidden …); the option `topic`; not an address of APNs.
        (403..=405, _) | (400, "BadTopic" | "MissingTopic" | "TopicDisallowed") => {
            refusal.misconfigured()
        }
        // TooManyRequests is about one device. Rejected are, among others: no such device
        // (BadDeviceToken, DeviceTokenNotForTopic), the app is gone from it (410), too large (413),
        // a header (BadCollapseId …).
        _ => refusal.by_status(RetryScope::Destination),
    }
}

fn words(body: &Body) -> String {
    match (body.reason.as_str(), body.timestamp) {
        ("BadDeviceToken", _) => "BadDeviceToken: no such device, or one of the other environment \
                                  (production or sandbox)"
            .to_owned(),
        (reason @ ("Unregistered" | "ExpiredToken"), since) => {
            let since = since.map(|since| format!(" since {since} (Unix time in milliseconds)"));
            let since = since.unwrap_or_default();
            format!("{reason}: the app is not on this device any more{since}; forget its token")
        }
        (reason, _) => reason.to_owned(),
    }
}
