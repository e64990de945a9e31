//! The body of the request.

use conductor_sdk::{
    Format, Message, SendError,
    serde_json::{self, Value},
};
use serde::Serialize;

/// The three members that Standard Webhooks recommends.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'a str,
    timestamp: &'a str,
    data: Data<'a>,
}

/// The notification, with the names that the HTTP interface has for its parts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    id: &'a str,
    message: &'a str,
    format: &'static str,
    priority: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<&'a str>,
    data: Value,
}

/// The notification as JSON. The same bytes on every attempt.
pub(crate) fn encode(event_type: &str, message: &Message) -> Result<Vec<u8>, SendError> {
    let payload = Payload {
        r#type: event_type,
        timestamp: &message.created_at,
        data: Data {
            id: &message.id,
            message: &message.body,
            format: match message.format {
                Format::Plain => "plain",
                Format::Markdown => "markdown",
            },
            priority: message.priority.name(),
            title: message.title.as_deref(),
            target_id: message.target.as_deref(),
            data: message.parse_data()?,
        },
    };
    serde_json::to_vec(&payload)
        .map_err(|error| SendError::rejected("invalid_payload", error.to_string()))
}
