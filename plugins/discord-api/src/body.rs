//! The body of a message (<https://docs.discord.com/developers/resources/message#create-message>).

use conductor_sdk::{
    LengthUnit, Message, Overflow, Priority, SendError,
    markdown::{Source, escape},
    overflow::Plain,
    text::one_line,
};
use serde::{Deserialize, Serialize};

/// Characters of `content`.
pub const CONTENT_MAX: u32 = 2_000;
/// Characters of an embed's title and of its description
/// (<https://docs.discord.com/developers/resources/message#embed-object-embed-limits>). Together they
/// stay below the 6,000 that a message's embeds may have.
const EMBED_TITLE_MAX: usize = 256;
const EMBED_DESCRIPTION_MAX: usize = 4_096;

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

/// The request's body.
#[derive(Clone, Debug, Serialize)]
pub struct Body {
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    embeds: Vec<Embed>,
    allowed_mentions: AllowedMentions,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    enforce_nonce: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Embed {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    description: String,
    color: u32,
}

/// Nobody is notified by a mention: what stands in a notification may come from anywhere.
#[derive(Clone, Debug, Serialize)]
struct AllowedMentions {
    parse: [&'static str; 0],
}

impl Body {
    /// By which Discord recognises a bot's message that it already has.
    #[must_use]
    pub fn with_nonce(&self, nonce: String) -> Self {
        Self { nonce: Some(nonce), enforce_nonce: true, ..self.clone() }
    }
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
) -> Result<Vec<Body>, SendError> {
    let body = |content, embeds| Body {
        content,
        embeds,
        allowed_mentions: AllowedMentions { parse: [] },
        nonce: None,
        enforce_nonce: false,
    };
    match style {
        TitleStyle::Bold => {
            let source = Source::of(message, LengthUnit::Characters);
            let max = usize::try_from(CONTENT_MAX).unwrap_or(usize::MAX);
            let parts = overflow.apply(&source, max)?;
            Ok(parts.into_iter().map(|part| body(Some(part), Vec::new())).collect())
        }
        TitleStyle::Embed => {
            let embeds = embeds(message, overflow)?;
            Ok(embeds.into_iter().map(|embed| body(None, vec![embed])).collect())
        }
    }
}

/// The title is that of the first part. It is one line, and cut where the text would be split.
fn embeds(message: &Message, overflow: Overflow) -> Result<Vec<Embed>, SendError> {
    let line = one_line(message.title.as_deref().unwrap_or_default());
    let of_title = match overflow {
        Overflow::Split => Overflow::Truncate,
        other => other,
    };
    let title = Plain::new(&line, LengthUnit::Characters).escaped(escape);
    let mut titles = of_title.apply(&title, EMBED_TITLE_MAX)?.into_iter();
    let descriptions =
        overflow.apply(&Source::of_body(message, LengthUnit::Characters), EMBED_DESCRIPTION_MAX)?;
    let embed = |description| Embed {
        title: titles.next().filter(|title| !title.is_empty()),
        description,
        color: colour(message.priority),
    };
    Ok(descriptions.into_iter().map(embed).collect())
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
