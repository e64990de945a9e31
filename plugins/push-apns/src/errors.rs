//! What Apple's refusals mean: the reason decides
//! (<https://developer.apple.com/documentation/usernotifications/handling-notification-responses-from-apns>).

use conductor_sdk::prelude::*;

/// Apple takes a new provider token every 20 minutes at most
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
/// The host makes one each half hour, so this is what a restart of the host comes to; how much of
/// the 20 minutes is over nobody tells.
const TOKEN_UPDATES_WAIT: Duration = Duration::from_secs(5 * 60);

/// What an answer that is not 200 means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let reason = response.text_at("/reason").unwrap_or_default();
    let refusal = response.refusal("APNs", &reason, &words(&reason, response));
    match (response.status, reason.as_str()) {
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

fn words(reason: &str, response: &Response) -> String {
    match reason {
        "BadDeviceToken" => "BadDeviceToken: no such device, or one of the other environment \
                             (production or sandbox)"
            .to_owned(),
        "Unregistered" | "ExpiredToken" => {
            // Since when the device has not had the app any more.
            let since = response.text_at("/timestamp");
            let since = since.map(|since| format!(" since {since} (Unix time in milliseconds)"));
            let since = since.unwrap_or_default();
            format!("{reason}: the app is not on this device any more{since}; forget its token")
        }
        reason => reason.to_owned(),
    }
}
