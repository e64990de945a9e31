//! Sends notifications into Matrix rooms
//! (<https://spec.matrix.org/latest/client-server-api/#put_matrixclientv3roomsroomidsendeventtypetxnid>).
//!
//! A homeserver knows a message that it already has by its transaction id and answers as it did the
//! first time, so that one without an answer is sent again. In an encrypted room the message is
//! readable to the server, and clients mark it as not encrypted.

mod errors;

use conductor_sdk::{
    http::percent_encode,
    markdown::{Html, Rich},
    prelude::*,
};
use serde::{Deserialize, Serialize};

const ACCESS_TOKEN: &str = "ACCESS_TOKEN";

/// Bytes of an event's content. The whole event may have 65,536
/// (<https://spec.matrix.org/latest/client-server-api/#size-limits>): signatures, ids and references to
/// earlier events are in it too, and need less than what is left.
const CONTENT_BYTES_MAX: usize = 56 * 1_024;
/// Bytes of a body: what is in line breaks and quotation marks grows by JSON.
const BODY_BYTES_MAX: usize = 48 * 1_024;
/// Of the transaction id: a delivery key, and the number of a part.
const KEY_CHARACTERS_MAX: usize = 64;

/// How clients treat the message.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
pub enum MessageType {
    /// As one that a person wrote.
    #[default]
    #[serde(rename = "m.text")]
    Text,
    /// As one of a bot's, which other bots do not answer and some clients show in grey.
    #[serde(rename = "m.notice")]
    Notice,
}

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The homeserver's client API, for example https://matrix.example.org.
    homeserver: BaseUrl,
    /// The room to send to when a notification names no target: its id, !…, not an alias.
    #[schemars(regex(pattern = "^![^\\s/]{1,254}$"))]
    room_id: Option<String>,
    /// How clients treat the message.
    #[serde(default)]
    message_type: MessageType,
    /// What happens to a message that is longer than an event may be.
    #[serde(default)]
    overflow: Overflow,
}

/// See the crate's own documentation.
pub struct Matrix {
    options: Options,
}

impl Channel for Matrix {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                ACCESS_TOKEN,
                "an access token of the account that sends (Element: All settings, Help & About; or \
                 POST /_matrix/client/v3/login)",
            )
            .host("option:homeserver")
            .body_max(BODY_BYTES_MAX, LengthUnit::Bytes)
            .formats([Format::Plain, Format::Markdown])
            .deduplicates_by_key(KEY_CHARACTERS_MAX)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self { options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let room = message.checked_target(
            self.options.room_id.as_deref(),
            is_room,
            "the id of a Matrix room, which begins with ! (not an alias, which begins with #)",
        )?;
        let content = Rich::of(message).measured(|part| bytes(&content(part, MessageType::Notice)));
        let parts = self.options.overflow.apply(&content, CONTENT_BYTES_MAX)?;
        send_parts(message, &parts, |part, number| {
            let (room, key) = (percent_encode(room), percent_encode(&message.part_key(number)));
            let path = format!("rooms/{room}/send/m.room.message/{key}");
            let body = self::content(part, self.options.message_type);
            let sent = self.request("PUT", &path)?.json(&body).fetch()?;
            // Delivered, whatever the body looks like.
            let sent = sent.success_or(errors::outcome)?;
            Ok(Receipt::delivered().provider_id_if(sent.text_at("/event_id")))
        })
    }

    /// Asks the homeserver whose token it is
    /// (<https://spec.matrix.org/latest/client-server-api/#get_matrixclientv3accountwhoami>).
    fn probe(&self) -> Result<HealthReport, SendError> {
        let answer = self.request("GET", "account/whoami")?.fetch()?;
        let name = answer.success_or(errors::outcome)?.text_at("/user_id");
        let known = |name| format!("the homeserver knows the token as {name}");
        Ok(HealthReport::healthy_and(name.map(known)))
    }
}

impl Matrix {
    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let url = format!("{}/_matrix/client/v3/{path}", self.options.homeserver);
        Ok(Request::new(method, url).bearer(&secrets::placeholder(ACCESS_TOKEN)?))
    }
}

fn is_room(target: &str) -> bool {
    target.starts_with('!') && !target.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// The content of the event (<https://spec.matrix.org/latest/client-server-api/#mroommessage-msgtypes>).
/// Nobody is mentioned: what stands in a notification may come from anywhere.
fn content(part: &Rich, message_type: MessageType) -> Value {
    let content = json!({ "msgtype": message_type, "body": part.text, "m.mentions": {} });
    if part.spans.is_empty() {
        return content;
    }
    with_members(
        &content,
        json!({ "format": "org.matrix.custom.html", "formatted_body": part.render(&Html) }),
    )
}

fn bytes(content: &Value) -> usize {
    content.to_string().len()
}

conductor_sdk::export!(Matrix);

#[cfg(test)]
mod tests;
