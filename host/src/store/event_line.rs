//! An event as one line of JSON: what the trail is exported as.

use serde::Serialize;

use super::Event;
use crate::ids::ChannelName;

/// One line, with all that is in the event's hash.
#[derive(Serialize, Debug)]
#[serde(rename_all = "camelCase")]
pub struct EventLine<'a> {
    seq: i64,
    at: String,
    /// The same in Unix milliseconds, as it is in the hash.
    at_ms: i64,
    kind: &'static str,
    /// The number that stands for the kind in the hash.
    kind_number: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notification: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<&'a str>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hash: Option<String>,
}

impl<'a> From<&'a Event> for EventLine<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            seq: event.seq,
            at: event.at.rfc3339(),
            at_ms: event.at.0,
            kind: event.kind.word(),
            kind_number: event.kind as i64,
            tenant: event.tenant.map(|tenant| tenant.to_string()),
            notification: event.notification.map(|id| id.to_string()),
            channel: event.channel.as_ref().map(ChannelName::as_str),
            attempt: event.attempt,
            detail: event.detail.as_deref(),
            hash: event
                .hash
                .as_ref()
                .map(|hash| hash.iter().map(|byte| format!("{byte:02x}")).collect()),
        }
    }
}
