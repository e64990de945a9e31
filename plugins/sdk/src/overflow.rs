//! What happens to a message that is longer than its provider takes: one option for all channels.

mod json;
mod parts;
mod plain;

use std::ops::Range;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SendError, text::longest_cut};

pub use json::JsonText;
pub use parts::{send_parts, send_parts_async};
pub use plain::Plain;

/// Parts of one message. A message that needs more is no notification any more, and would use up
/// the rate that the provider allows to all the others.
pub const PARTS_MAX: usize = 20;

/// What happens to a message that is longer than the provider takes. As an option it is called
/// `overflow`: by that name the host knows whether to refuse a long message at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It is rejected.
    #[default]
    Reject,
    /// It is cut, with an ellipsis.
    Truncate,
    /// It is sent in parts, at most 20.
    Split,
}

/// A message's text in some form, of which parts can be made.
pub trait Content {
    /// A part as it is sent.
    type Part;

    /// What is cut. Cuts are places in this text.
    fn source(&self) -> &str;

    /// The part that is made of this range of [`source`](Self::source), with an ellipsis behind it
    /// if `cut`.
    fn part(&self, range: Range<usize>, cut: bool) -> Self::Part;

    /// The length of a part, as the provider counts it.
    fn length(&self, part: &Self::Part) -> usize;

    /// Whether a cut may be here. Where no place is left, one is cut all the same.
    fn may_cut(&self, _at: usize) -> bool {
        true
    }
}

impl Overflow {
    /// The parts to send, each at most `length_max` long; one, unless this is
    /// [`Split`](Self::Split). Cuts are made at the end of a paragraph, a line, a sentence or a word
    /// where there is one, and never inside a character.
    ///
    /// # Errors
    /// Rejected as `too_long`: with [`Reject`](Self::Reject) what is longer than `length_max`, with
    /// [`Split`](Self::Split) what needs more than [`PARTS_MAX`] parts.
    pub fn apply<C: Content>(
        self,
        content: &C,
        length_max: usize,
    ) -> Result<Vec<C::Part>, SendError> {
        let all = 0..content.source().len();
        let whole = content.part(all.clone(), false);
        let length = content.length(&whole);
        if length <= length_max {
            return Ok(vec![whole]);
        }
        match self {
            Self::Reject => Err(SendError::rejected(
                "too_long",
                format!(
                    "the message has a length of {length} as the provider counts it, and takes at \
                     most {length_max}; the option overflow = \"truncate\" cuts it and \"split\" \
                     sends it in parts"
                ),
            )),
            Self::Truncate => cut(content, all, length_max, true)
                .map(|(range, _)| vec![content.part(range, true)])
                .ok_or_else(|| no_room(length_max)),
            // Told at once: to find out part by part takes long. White space may fall away at cuts.
            Self::Split
                if length.saturating_sub(white_space(content.source()))
                    > PARTS_MAX.saturating_mul(length_max) =>
            {
                Err(too_many_parts(length_max))
            }
            Self::Split => split(content, all, length_max),
        }
    }
}

impl Overflow {
    /// The same for what cannot be sent in parts, a title for example: there
    /// [`Split`](Self::Split) cuts.
    ///
    /// # Errors
    /// Rejected as `too_long`.
    pub fn apply_whole<C: Content>(
        self,
        content: &C,
        length_max: usize,
    ) -> Result<C::Part, SendError> {
        let whole = if self == Self::Split { Self::Truncate } else { self };
        let mut parts = whole.apply(content, length_max)?.into_iter();
        parts.next().ok_or_else(|| no_room(length_max))
    }
}

fn split<C: Content>(
    content: &C,
    all: Range<usize>,
    length_max: usize,
) -> Result<Vec<C::Part>, SendError> {
    let mut parts = Vec::new();
    let mut rest = all;
    while !content.source().get(rest.clone()).unwrap_or_default().trim().is_empty() {
        if parts.len() == PARTS_MAX {
            return Err(too_many_parts(length_max));
        }
        let (range, next) =
            cut(content, rest.clone(), length_max, false).ok_or_else(|| no_room(length_max))?;
        let is_blank = content.source().get(range.clone()).unwrap_or_default().trim().is_empty();
        if !is_blank {
            parts.push(content.part(range, false));
        }
        rest = next..rest.end;
    }
    Ok(parts)
}

/// The first part of `range`, and where the next one begins.
fn cut<C: Content>(
    content: &C,
    range: Range<usize>,
    length_max: usize,
    ellipsis: bool,
) -> Option<(Range<usize>, usize)> {
    let fits = |range: Range<usize>| content.length(&content.part(range, ellipsis)) <= length_max;
    let found = longest_cut(content.source(), range.clone(), fits, |at| content.may_cut(at))?;
    Some((range.start..found.end, found.next))
}

/// Characters.
fn white_space(text: &str) -> usize {
    text.chars().filter(|character| character.is_whitespace()).count()
}

fn too_many_parts(length_max: usize) -> SendError {
    SendError::rejected(
        "too_long",
        format!(
            "the message needs more than {PARTS_MAX} parts of at most {length_max}; send less, or a \
             link to it"
        ),
    )
}

fn no_room(length_max: usize) -> SendError {
    SendError::rejected(
        "too_long",
        format!("not even one character fits into the {length_max} that the provider takes"),
    )
}

#[cfg(test)]
pub(crate) mod tests;
