//! The body of a message (<https://docs.discord.com/developers/resources/message#create-message>).

use conductor_sdk::{
    markdown::{Source, escape},
    overflow::Plain,
    prelude::*,
};
use serde::{Deserialize, Serialize};

/// Characters of `content`.
pub const CONTENT_MAX: usize = 2_000;
/// Characters of an embed's title and of its description
/// (<https://docs.discord.com/developers/resources/message#embed-object-embed-limits>). Together they
/// stay below the 6,000 that a message's embeds may have.
const EMBED_TITLE_MAX: usize = 256;
const EMBED_DESCRIPTION_MAX: usize = 4_096;

/// Discord's own palette for the priorities: grey, blurple, yellow, red.
const COLOURS: [u32; 4] = [0x99_aa_b5, 0x58_65_f2, 0xfe_e7_5c, 0xed_42_45];

/// How a title is shown.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum TitleStyle {
    /// As a bold first line.
    #[default]
    Bold,
    /// As the title of a box whose edge has the priority's colour.
    Embed,
}

/// The message as Discord takes it, in parts where `overflow` says so, without what only a bot's
/// message has.
///
/// # Errors
/// Rejected when it is longer than Discord takes and `overflow` does not help.
pub fn build(
    message: &Message,
    style: TitleStyle,
    overflow: Overflow,
) -> Result<Vec<Value>, SendError> {
    match style {
        TitleStyle::Bold => {
            let source = Source::of(message, LengthUnit::Characters);
            let parts = overflow.apply(&source, CONTENT_MAX)?;
            Ok(parts.into_iter().map(|part| body("content", json!(part))).collect())
        }
        TitleStyle::Embed => {
            let embeds = embeds(message, overflow)?;
            Ok(embeds.into_iter().map(|embed| body("embeds", json!([embed]))).collect())
        }
    }
}

/// Nobody is notified by a mention: what stands in a notification may come from anywhere.
fn body(name: &str, content: Value) -> Value {
    json!({ name: content, "allowed_mentions": { "parse": [] } })
}

/// The same with a nonce, by which Discord recognises a bot's message that it already has. It has 25
/// characters at most.
pub(crate) fn with_nonce(body: &Value, nonce: &str) -> Value {
    with_members(body, json!({ "nonce": nonce, "enforce_nonce": true }))
}

/// The title is that of the first part. It is one line, and cut where the text would be split.
fn embeds(message: &Message, overflow: Overflow) -> Result<Vec<Value>, SendError> {
    let line = message.title_line().unwrap_or_default();
    let title = Plain::new(&line, LengthUnit::Characters).escaped(escape);
    let title = overflow.apply_whole(&title, EMBED_TITLE_MAX)?;
    let mut titles = Some(title).filter(|title| !title.is_empty()).into_iter();
    let text = Source::of_body(message, LengthUnit::Characters);
    let embed = |description| {
        let color = message.priority.pick(COLOURS);
        without_nulls(json!({ "title": titles.next(), "description": description, "color": color }))
    };
    Ok(overflow.apply(&text, EMBED_DESCRIPTION_MAX)?.into_iter().map(embed).collect())
}
