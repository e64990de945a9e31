//! The body of a message (<https://docs.discord.com/developers/resources/message#create-message>).

use conductor_sdk::{LengthUnit, Message, Priority, SendError, text::length};
use serde::{Deserialize, Serialize};

use crate::text;

/// Characters of `content`.
pub(crate) const CONTENT_MAX: u32 = 2_000;
/// Characters of an embed's title and of its description
/// (<https://docs.discord.com/developers/resources/message#embed-object-embed-limits>). Together they
/// stay below the 6,000 that a message's embeds may have.
const EMBED_TITLE_MAX: u32 = 256;
const EMBED_DESCRIPTION_MAX: u32 = 4_096;

/// How a title is shown.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TitleStyle {
    /// As a bold first line.
    #[default]
    Bold,
    /// As the title of a box whose edge has the priority's colour.
    Embed,
}

/// What happens to a message that is longer than Discord takes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It is rejected.
    #[default]
    Reject,
    /// It is cut, with an ellipsis.
    Truncate,
}

/// The request's body.
#[derive(Serialize)]
pub(crate) struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    embeds: Vec<Embed>,
    allowed_mentions: AllowedMentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) nonce: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) enforce_nonce: bool,
}

#[derive(Serialize)]
struct Embed {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    color: u32,
}

/// Nobody is notified by a mention: what stands in a notification may come from anywhere.
#[derive(Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

/// The message as Discord takes it, without what only a bot's message has.
pub(crate) fn build(
    message: &Message,
    style: TitleStyle,
    overflow: Overflow,
) -> Result<Body, SendError> {
    let (content, embeds) = match style {
        TitleStyle::Bold => (Some(content(message, overflow)?), Vec::new()),
        TitleStyle::Embed => (None, vec![embed(message, overflow)?]),
    };
    Ok(Body {
        content,
        embeds,
        allowed_mentions: AllowedMentions { parse: [] },
        nonce: None,
        enforce_nonce: false,
    })
}

fn content(message: &Message, overflow: Overflow) -> Result<String, SendError> {
    let mut content = match title(message, EMBED_TITLE_MAX, overflow)? {
        Some(title) => format!("**{title}**\n"),
        None => String::new(),
    };
    let room = CONTENT_MAX.saturating_sub(characters(&content));
    content.push_str(&body(message, room, overflow)?);
    Ok(content)
}

fn embed(message: &Message, overflow: Overflow) -> Result<Embed, SendError> {
    Ok(Embed {
        title: title(message, EMBED_TITLE_MAX, overflow)?,
        description: body(message, EMBED_DESCRIPTION_MAX, overflow)?,
        color: colour(message.priority),
    })
}

/// The title on one line. It is plain text, whatever the body is.
fn title(
    message: &Message,
    length_max: u32,
    overflow: Overflow,
) -> Result<Option<String>, SendError> {
    let Some(title) = &message.title else { return Ok(None) };
    let line = title.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.is_empty() {
        return Ok(None);
    }
    fit(&line, conductor_sdk::Format::Plain, length_max, overflow, "title").map(Some)
}

fn body(message: &Message, length_max: u32, overflow: Overflow) -> Result<String, SendError> {
    fit(&message.body, message.format, length_max, overflow, "message")
}

fn fit(
    text: &str,
    format: conductor_sdk::Format,
    length_max: u32,
    overflow: Overflow,
    what: &str,
) -> Result<String, SendError> {
    let markdown = text::markdown(text, format);
    let found = characters(&markdown);
    if found <= length_max {
        return Ok(markdown.into_owned());
    }
    match overflow {
        Overflow::Truncate => Ok(text::markdown_cut(text, format, length_max)),
        Overflow::Reject => Err(SendError::rejected(
            "too_long",
            format!(
                "the {what} has {found} characters as Discord counts them and there is room for \
                 {length_max}; the option overflow = \"truncate\" cuts it"
            ),
        )),
    }
}

fn characters(text: &str) -> u32 {
    u32::try_from(length(text, LengthUnit::Characters)).unwrap_or(u32::MAX)
}

/// Discord's own palette: grey, blurple, yellow, red.
fn colour(priority: Priority) -> u32 {
    match priority {
        Priority::Low => 0x99_aa_b5,
        Priority::Normal => 0x58_65_f2,
        Priority::High => 0xfe_e7_5c,
        Priority::Urgent => 0xed_42_45,
    }
}
