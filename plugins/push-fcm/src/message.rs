//! The message (<https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages>).

use std::{collections::BTreeMap, time::Duration};

use conductor_sdk::{Message, Priority, SendError, json, overflow::JsonText, serde_json::Value};
use serde::{Deserialize, Serialize};

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

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<&'a str>,
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
    let whole = |body: &str| {
        let shown = Shown { title: message.title.as_deref(), body, image: own.image.as_deref() };
        (json!(shown), json!(own.data))
    };
    // What counts is what the device gets.
    let size = |body: &str| {
        let (shown, data) = whole(body);
        shown.to_string().len() + if own.data.is_empty() { 0 } else { data.to_string().len() }
    };
    let bytes_max = match target {
        Target::Token(_) => TO_DEVICE_BYTES_MAX,
        Target::Topic(_) => TO_TOPIC_BYTES_MAX,
    };
    let parts =
        options.overflow.apply(&JsonText(&message.body), bytes_max.saturating_sub(size("")))?;
    Ok(parts
        .iter()
        .map(|part| {
            let (notification, data) = whole(part);
            envelope(message, options, own, target, notification, data)
        })
        .collect())
}

fn envelope(
    message: &Message,
    options: &Options,
    own: &Own,
    target: Target<'_>,
    notification: Value,
    data: Value,
) -> Value {
    let mut sent = json!({ "notification": notification });
    match target {
        Target::Token(token) => sent["token"] = token.into(),
        Target::Topic(topic) => sent["topic"] = topic.into(),
    }
    if !own.data.is_empty() {
        sent["data"] = data;
    }
    let levels = Levels::of(message.priority);
    let mut android = json!({
        "priority": levels.android,
        "notification": { "notificationPriority": levels.notification },
    });
    if let Some(id) = &options.android_channel_id {
        android["notification"]["channelId"] = id.as_str().into();
    }
    let mut aps = json!({ "interruption-level": levels.interruption });
    if message.priority != Priority::Low {
        aps["sound"] = "default".into();
    }
    let mut apns = json!({
        "headers": { "apns-priority": levels.apns },
        "payload": { "aps": aps },
    });
    let mut webpush = json!({ "headers": { "Urgency": levels.urgency } });
    if let Some(life) = life(message, options) {
        android["ttl"] = format!("{life}s").into();
        let until = conductor_sdk::time::unix_seconds(conductor_sdk::time::now()) + life;
        apns["headers"]["apns-expiration"] = until.to_string().into();
        webpush["headers"]["TTL"] = life.to_string().into();
    }
    if let Some(key) = &own.collapse_key {
        android["collapseKey"] = key.as_str().into();
        apns["headers"]["apns-collapse-id"] = key.as_str().into();
    }
    if let Some(link) = &own.link {
        webpush["fcmOptions"] = json!({ "link": link });
    }
    sent["android"] = android;
    sent["apns"] = apns;
    sent["webpush"] = webpush;
    json!({ "message": sent, "validateOnly": options.validate_only })
}

/// How long Google keeps the message for a device that it does not reach, in seconds: as long as
/// anybody wants it, and no longer than the option says.
fn life(message: &Message, options: &Options) -> Option<u64> {
    let option = options.ttl_s.map(|seconds| Duration::from_secs(seconds.into()));
    let life = match (message.time_left(), option) {
        (Some(left), Some(option)) => Some(left.min(option)),
        (left, option) => left.or(option),
    };
    life.map(|life| life.min(LIFE_MAX).as_secs())
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
