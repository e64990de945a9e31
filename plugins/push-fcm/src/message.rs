//! The message (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>).

use std::{collections::BTreeMap, time::Duration};

use conductor_sdk::{
    Message, Priority, SendError, json, overflow::JsonText, serde_json::Value, time, without_nulls,
};
use serde::Deserialize;

use crate::Options;

/// Bytes of what a device gets, and of what a topic gets
/// (<https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode>).
const TO_DEVICE_BYTES_MAX: usize = 4_096;
const TO_TOPIC_BYTES_MAX: usize = 2_048;

/// How long Google keeps a message at most
/// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-lifespan>).
const LIFE_MAX: Duration = Duration::from_secs(28 * 24 * 60 * 60);

/// What a notification may say to this channel alone, in the member `fcm` of its `data`.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Own {
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Target<'a> {
    Token(&'a str),
    Topic(&'a str),
}

impl<'a> Target<'a> {
    /// `/topics/NAME`, or the token of one installation of the app.
    pub(crate) fn parse(target: &'a str) -> Result<Self, SendError> {
        const TOKEN_BYTES_MAX: usize = 4_096;
        const TOPIC_BYTES_MAX: usize = 900;
        let only = |text: &str, more: &[u8]| {
            text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        match target.strip_prefix("/topics/") {
            Some(topic)
                if (1..=TOPIC_BYTES_MAX).contains(&topic.len()) && only(topic, b"-_.~%") =>
            {
                Ok(Self::Topic(topic))
            }
            None if (1..=TOKEN_BYTES_MAX).contains(&target.len()) && only(target, b"-_:.") => {
                Ok(Self::Token(target))
            }
            _ => Err(SendError::rejected(
                "invalid_target",
                "the target must be the registration token of an app, or \"/topics/\" and the \
                 name of a topic: letters, digits and - _ . ~ %",
            )),
        }
    }
}

/// The messages to send: one, or parts of it where the option says so.
pub(crate) fn build(
    message: &Message,
    options: &Options,
    own: &Own,
    target: Target<'_>,
) -> Result<Vec<Value>, SendError> {
    // Apple's limit for its own header, the narrowest.
    const COLLAPSE_KEY_BYTES_MAX: usize = 64;
    if own.collapse_key.as_ref().is_some_and(|key| key.len() > COLLAPSE_KEY_BYTES_MAX) {
        return Err(SendError::rejected(
            "invalid_data",
            format!("data.fcm.collapse_key has more than {COLLAPSE_KEY_BYTES_MAX} bytes"),
        ));
    }
    let shown = |body: &str| {
        without_nulls(json!({ "title": message.title, "body": body, "image": own.image }))
    };
    // What counts is what the device gets.
    let data = if own.data.is_empty() { 0 } else { json!(own.data).to_string().len() };
    let empty = shown("").to_string().len() + data;
    let bytes_max = match target {
        Target::Token(_) => TO_DEVICE_BYTES_MAX,
        Target::Topic(_) => TO_TOPIC_BYTES_MAX,
    };
    let text = JsonText(&message.body);
    let parts = options.overflow.apply(&text, bytes_max.saturating_sub(empty))?;
    Ok(parts.iter().map(|part| envelope(message, options, own, target, shown(part))).collect())
}

fn envelope(
    message: &Message,
    options: &Options,
    own: &Own,
    target: Target<'_>,
    notification: Value,
) -> Value {
    let (token, topic) = match target {
        Target::Token(token) => (Some(token), None),
        Target::Topic(topic) => (None, Some(topic)),
    };
    let levels = Levels::of(message.priority);
    let life = life(message, options);
    let until = life.map(|life| (time::unix_seconds(time::now()) + life).to_string());
    without_nulls(json!({
        "message": {
            "token": token,
            "topic": topic,
            "notification": notification,
            "data": (!own.data.is_empty()).then_some(&own.data),
            "android": {
                "priority": levels.android,
                "ttl": life.map(|life| format!("{life}s")),
                "collapseKey": own.collapse_key,
                "notification": {
                    "notificationPriority": levels.notification,
                    "channelId": options.android_channel_id,
                },
            },
            "apns": {
                "headers": {
                    "apns-priority": levels.apns,
                    "apns-expiration": until,
                    "apns-collapse-id": own.collapse_key,
                },
                "payload": { "aps": {
                    "interruption-level": levels.interruption,
                    "sound": (message.priority != Priority::Low).then_some("default"),
                } },
            },
            "webpush": {
                "headers": { "Urgency": levels.urgency, "TTL": life.map(|life| life.to_string()) },
                "fcmOptions": own.link.as_ref().map(|link| json!({ "link": link })),
            },
        },
        "validateOnly": options.validate_only,
    }))
}

/// How long Google keeps the message for a device that it does not reach, in seconds: as long as
/// anybody wants it, and no longer than the option says.
fn life(message: &Message, options: &Options) -> Option<u64> {
    let option = options.ttl_s.map(|seconds| Duration::from_secs(seconds.into()));
    let life = message.time_left().into_iter().chain(option).min()?;
    Some(life.min(LIFE_MAX).as_secs())
}

/// A priority in the words of each platform.
struct Levels {
    /// Whether Android wakes a sleeping device for it
    /// (<https://firebase.google.com/docs/cloud-messaging/customize-messages/setting-message-priority>).
    android: &'static str,
    /// How it is shown where the app has no notification channels.
    notification: &'static str,
    apns: &'static str,
    interruption: &'static str,
    /// RFC 8030, section 5.3.
    urgency: &'static str,
}

impl Levels {
    fn of(priority: Priority) -> Self {
        let (android, notification, apns, interruption, urgency) = match priority {
            Priority::Low => ("NORMAL", "PRIORITY_LOW", "5", "passive", "low"),
            Priority::Normal => ("NORMAL", "PRIORITY_DEFAULT", "10", "active", "normal"),
            Priority::High => ("HIGH", "PRIORITY_HIGH", "10", "time-sensitive", "high"),
            Priority::Urgent => ("HIGH", "PRIORITY_MAX", "10", "time-sensitive", "high"),
        };
        Self { android, notification, apns, interruption, urgency }
    }
}
