//! The message (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>).

use std::collections::BTreeMap;

use conductor_sdk::{overflow::JsonText, prelude::*, text::consists_of, time};
use serde::Deserialize;

use crate::Fcm;

/// Bytes of what a device gets, and of what a topic gets
/// (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
const TO_DEVICE_BYTES_MAX: usize = 4_096;
const TO_TOPIC_BYTES_MAX: usize = 2_048;

/// How long Google keeps a message at most
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan>).
const LIFE_MAX: Duration = Duration::from_secs(28 * 24 * 60 * 60);

/// A priority in the words of each platform: whether Android wakes a sleeping device for it
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-priority>).
const ANDROID: [&str; 4] = ["NORMAL", "NORMAL", "HIGH", "HIGH"];
/// How it is shown where the app has no notification channels.
const SHOWN: [&str; 4] = ["PRIORITY_LOW", "PRIORITY_DEFAULT", "PRIORITY_HIGH", "PRIORITY_MAX"];
const APNS: [&str; 4] = ["5", "10", "10", "10"];
const INTERRUPTION: [&str; 4] = ["passive", "active", "time-sensitive", "time-sensitive"];
/// RFC 8030, section 5.3.
const URGENCY: [&str; 4] = ["low", "normal", "high", "high"];

/// What a notification may say to this channel alone, in the member `fcm` of its `data`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// The address of a picture.
    image: Option<String>,
    /// What the app gets with it: texts alone.
    data: BTreeMap<String, String>,
    /// A waiting message with the same key is replaced, and one that Apple's devices show.
    collapse_key: Option<String>,
    /// The web page that opens with a tap in a browser.
    link: Option<String>,
}

/// Whom a message is for.
struct Target<'a> {
    /// The member of the message that says it.
    member: &'static str,
    name: &'a str,
    bytes_max: usize,
}

impl<'a> Target<'a> {
    /// `/topics/NAME`, or the token of one installation of the app.
    fn parse(target: &'a str) -> Result<Self, SendError> {
        const TOKEN_BYTES_MAX: usize = 4_096;
        const TOPIC_BYTES_MAX: usize = 900;
        let only = |text: &str, bytes_max, more: &[u8]| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            consists_of(text, 1..=bytes_max, allowed)
        };
        match target.strip_prefix("/topics/") {
            Some(name) if only(name, TOPIC_BYTES_MAX, b"-_.~%") => {
                Ok(Self { member: "topic", name, bytes_max: TO_TOPIC_BYTES_MAX })
            }
            None if only(target, TOKEN_BYTES_MAX, b"-_:.") => {
                Ok(Self { member: "token", name: target, bytes_max: TO_DEVICE_BYTES_MAX })
            }
            _ => Err(SendError::invalid_target(
                "the registration token of an app, or \"/topics/\" and the name of a topic: \
                 letters, digits and - _ . ~ %",
            )),
        }
    }
}

/// The messages to send: one, or parts of it where the option says so.
pub(crate) fn build(message: &Message, options: &Fcm) -> Result<Vec<Value>, SendError> {
    // Apple's limit for its own header, the narrowest.
    const COLLAPSE_KEY_BYTES_MAX: usize = 64;
    let target = Target::parse(message.require_target(options.target.as_deref())?)?;
    let own: Own = message.own_data("fcm")?;
    if own.collapse_key.as_ref().is_some_and(|key| key.len() > COLLAPSE_KEY_BYTES_MAX) {
        return Err(SendError::invalid_data(format!(
            "data.fcm.collapse_key has more than {COLLAPSE_KEY_BYTES_MAX} bytes"
        )));
    }
    let shown = |body: &str| {
        without_nulls(json!({ "title": message.title, "body": body, "image": own.image }))
    };
    // What counts is what the device gets.
    let data = if own.data.is_empty() { 0 } else { json!(own.data).to_string().len() };
    let empty = shown("").to_string().len() + data;
    let room = target.bytes_max.saturating_sub(empty);
    let parts = options.overflow.apply(&JsonText(&message.body), room)?;
    let priority = message.priority;
    // As long as anybody wants the message, and no longer than the option says.
    let life = message.life(options.ttl_s).map(|life| life.min(LIFE_MAX).as_secs());
    let until = life.map(|life| (time::unix_seconds(time::now()) + life).to_string());
    let envelope = |part: &String| {
        without_nulls(json!({
            "message": {
                target.member: target.name,
                "notification": shown(part),
                "data": (!own.data.is_empty()).then_some(&own.data),
                "android": {
                    "priority": priority.pick(ANDROID),
                    "ttl": life.map(|life| format!("{life}s")),
                    "collapseKey": own.collapse_key,
                    "notification": {
                        "notificationPriority": priority.pick(SHOWN),
                        "channelId": options.android_channel_id,
                    },
                },
                "apns": {
                    "headers": {
                        "apns-priority": priority.pick(APNS),
                        "apns-expiration": until,
                        "apns-collapse-id": own.collapse_key,
                    },
                    "payload": { "aps": {
                        "interruption-level": priority.pick(INTERRUPTION),
                        "sound": (priority != Priority::Low).then_some("default"),
                    } },
                },
                "webpush": {
                    "headers": { "Urgency": priority.pick(URGENCY), "TTL": life.map(|life| life.to_string()) },
                    "fcmOptions": own.link.as_ref().map(|link| json!({ "link": link })),
                },
            },
            "validateOnly": options.validate_only,
        }))
    };
    Ok(parts.iter().map(envelope).collect())
}
