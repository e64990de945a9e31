//! The payload
//! (<https://developer.apple.com/documentation/usernotifications/generating-a-remote-notification>).

use conductor_sdk::{overflow::JsonText, prelude::*, serde_json::Map, text::consists_of};
use serde::{Deserialize, Serialize};

use crate::Apns;

/// Bytes of a payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4_096;
/// Bytes of `apns-collapse-id`.
const COLLAPSE_ID_BYTES_MAX: usize = 64;

/// How much a notification may disturb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Interruption {
    Passive,
    Active,
    TimeSensitive,
    /// Rings through a switched-off sound: Apple allows it to few apps.
    Critical,
}

/// What a notification may say to this channel alone, in the member `apns` of its `data`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Own {
    subtitle: Option<String>,
    /// The number on the app's icon; 0 takes it away.
    badge: Option<u32>,
    sound: Option<String>,
    category: Option<String>,
    thread_id: Option<String>,
    interruption_level: Option<Interruption>,
    /// A notification with the same id is replaced.
    pub(crate) collapse_id: Option<String>,
    /// What the app gets with it, beside `aps`.
    custom: Map<String, Value>,
}

impl Own {
    /// What Apple would not take.
    pub(crate) fn check(&self) -> Result<(), SendError> {
        if let Some(id) = &self.collapse_id
            && !consists_of(id, 1..=COLLAPSE_ID_BYTES_MAX, |byte| byte.is_ascii_graphic())
        {
            return Err(SendError::invalid_data(format!(
                "data.apns.collapse_id must be 1 to {COLLAPSE_ID_BYTES_MAX} visible ASCII characters"
            )));
        }
        if self.custom.contains_key("aps") {
            let why = "data.apns.custom must not have a member aps: that is Apple's";
            return Err(SendError::invalid_data(why));
        }
        Ok(())
    }
}

/// The payloads to send: one, or parts of it where the option says so.
pub(crate) fn build(
    message: &Message,
    options: &Apns,
    own: &Own,
) -> Result<Vec<Vec<u8>>, SendError> {
    let bytes = |body: &str| payload(message, options, own, body).to_string().into_bytes();
    let room = PAYLOAD_BYTES_MAX.saturating_sub(bytes("").len());
    let parts = options.overflow.apply(&JsonText(&message.body), room)?;
    Ok(parts.iter().map(|part| bytes(part)).collect())
}

fn payload(message: &Message, options: &Apns, own: &Own, body: &str) -> Value {
    let sound = own.sound.as_ref().or(options.sound.as_ref());
    // https://developer.apple.com/design/human-interface-guidelines/managing-notifications
    let usual = message.priority.pick(["passive", "active", "time-sensitive", "time-sensitive"]);
    let aps = without_nulls(json!({
        "alert": { "title": message.title, "subtitle": own.subtitle, "body": body },
        "badge": own.badge,
        "sound": sound.filter(|_| message.priority != Priority::Low),
        "category": own.category,
        "thread-id": own.thread_id,
        "interruption-level": own.interruption_level.map_or(json!(usual), |level| json!(level)),
    }));
    with_members(&Value::Object(own.custom.clone()), json!({ "aps": aps }))
}
