//! Markdown that the provider reads itself, cut only where no markup is torn.

use std::{borrow::Cow, ops::Range};

use super::{
    blocks::{self, Block, blocks},
    escape,
    inline::marks,
};
use crate::{
    Format, LengthUnit, Message,
    overflow::Content,
    text::{ELLIPSIS, length, one_line},
};

/// Markdown as the provider takes it. A cut is never inside emphasis, a link, a piece of code in a
/// line or an escape, as long as there is another place; one inside a fenced block of code closes
/// the fence, and opens it again in the next part.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    text: Cow<'a, str>,
    unit: LengthUnit,
    /// Ranges without a place to cut.
    whole: Vec<Range<usize>>,
    fences: Vec<Fence>,
}

/// A fenced block of code.
#[derive(Clone, Debug)]
struct Fence {
    /// All of it, with its fences.
    range: Range<usize>,
    /// The lines between them.
    inside: Range<usize>,
    /// The first line.
    opening: String,
    /// The last line, if there is one.
    closing: String,
}

impl<'a> Source<'a> {
    /// Markdown as it is; counted in `unit`.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>, unit: LengthUnit) -> Self {
        let text = text.into();
        let mut whole = Vec::new();
        let mut fences = Vec::new();
        for block in blocks(&text) {
            match block {
                Block::Paragraph(range) | Block::Item { text: range, .. } | Block::Quote(range) => {
                    let inside = text.get(range.clone()).unwrap_or_default();
                    whole.extend(
                        marks(inside).into_iter().map(|mark| {
                            range.start + mark.outer.start..range.start + mark.outer.end
                        }),
                    );
                }
                Block::Heading(_, range) => whole.push(range),
                Block::Fence(fence) => fences.push(Fence::from(fence)),
                Block::Rule => {}
            }
        }
        Self { text, unit, whole, fences }
    }

    /// The body, escaped if it is plain text, behind the title in bold on a line of its own.
    #[must_use]
    pub fn of(message: &'a Message, unit: LengthUnit) -> Self {
        let title = one_line(message.title.as_deref().unwrap_or_default());
        if title.is_empty() {
            return Self::of_body(message, unit);
        }
        Self::new(format!("**{}**\n{}", escape(&title), body(message)), unit)
    }

    /// The body alone, for a provider that has a place of its own for a title.
    #[must_use]
    pub fn of_body(message: &'a Message, unit: LengthUnit) -> Self {
        Self::new(body(message), unit)
    }

    /// The block that a cut here would be inside of. Where one begins and ends nothing is torn.
    fn fence_around(&self, at: usize) -> Option<&Fence> {
        let before = self.fences.partition_point(|fence| fence.range.start < at);
        let nearest = before.checked_sub(1).and_then(|before| self.fences.get(before));
        nearest.filter(|fence| at < fence.range.end)
    }
}

fn body(message: &Message) -> Cow<'_, str> {
    match message.format {
        Format::Plain => Cow::Owned(escape(&message.body)),
        Format::Markdown => Cow::Borrowed(message.body.as_str()),
    }
}

impl From<blocks::Fence<'_>> for Fence {
    fn from(fence: blocks::Fence<'_>) -> Self {
        Self {
            range: fence.outer,
            inside: fence.inner,
            opening: fence.opening.to_owned(),
            closing: fence.marks.to_owned(),
        }
    }
}

impl Content for Source<'_> {
    type Part = String;

    fn source(&self) -> &str {
        &self.text
    }

    fn part(&self, range: Range<usize>, cut: bool) -> String {
        let mut part = String::new();
        if let Some(fence) = self.fence_around(range.start) {
            part.push_str(&fence.opening);
            part.push('\n');
        }
        part.push_str(self.text.get(range.clone()).unwrap_or_default());
        let fence = self.fence_around(range.end);
        if cut {
            part.push(ELLIPSIS);
        }
        if let Some(fence) = fence {
            if !part.ends_with('\n') {
                part.push('\n');
            }
            part.push_str(&fence.closing);
        }
        part
    }

    fn length(&self, part: &String) -> usize {
        length(part, self.unit)
    }

    fn may_cut(&self, at: usize) -> bool {
        if let Some(fence) = self.fence_around(at) {
            // Not in its first or its last line.
            return fence.inside.contains(&at);
        }
        // They are in order and apart.
        let before = self.whole.partition_point(|range| range.start < at);
        let nearest = before.checked_sub(1).and_then(|before| self.whole.get(before));
        !nearest.is_some_and(|range| at < range.end)
    }
}
