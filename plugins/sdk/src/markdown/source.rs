//! Markdown that the provider reads itself, cut only where no markup is torn.

use std::{borrow::Cow, ops::Range};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

use super::escape;
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
    /// The first line.
    opening: String,
    /// The last line.
    closing: String,
}

impl<'a> Source<'a> {
    /// Markdown as it is; counted in `unit`.
    #[must_use]
    pub fn new(text: impl Into<Cow<'a, str>>, unit: LengthUnit) -> Self {
        let text = text.into();
        let mut whole = Vec::new();
        let mut fences = Vec::new();
        for (event, range) in
            Parser::new_ext(&text, Options::ENABLE_STRIKETHROUGH).into_offset_iter()
        {
            match event {
                Event::Start(
                    Tag::Emphasis
                    | Tag::Strong
                    | Tag::Strikethrough
                    | Tag::Link { .. }
                    | Tag::Image { .. }
                    | Tag::Heading { .. },
                )
                | Event::Code(_)
                | Event::InlineHtml(_) => whole.push(range),
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                    fences.extend(Fence::at(&text, range));
                }
                _ => {}
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

    fn fence_around(&self, at: usize) -> Option<&Fence> {
        self.fences.iter().find(|fence| {
            // Where the block begins and ends nothing is torn.
            fence.range.start < at && at < fence.range.end
        })
    }
}

fn body(message: &Message) -> Cow<'_, str> {
    match message.format {
        Format::Plain => Cow::Owned(escape(&message.body)),
        Format::Markdown => Cow::Borrowed(message.body.as_str()),
    }
}

impl Fence {
    fn at(text: &str, range: Range<usize>) -> Option<Self> {
        let opening = text.get(range.clone())?.lines().next()?.to_owned();
        let marks = opening.trim_start();
        let mark = marks.chars().next()?;
        let closing = marks.chars().take_while(|character| *character == mark).collect();
        Some(Self { range, opening, closing })
    }

    /// The offset behind its first line.
    fn inside(&self) -> usize {
        self.range.start + self.opening.len() + 1
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
        let behind_escape = self.text.get(..at).is_some_and(|text| text.ends_with('\\'));
        if let Some(fence) = self.fence_around(at) {
            // Not in its first or its last line.
            return at >= fence.inside()
                && self
                    .text
                    .get(at..fence.range.end)
                    .is_some_and(|rest| rest.trim_end().contains('\n'));
        }
        !behind_escape && !self.whole.iter().any(|range| range.start < at && at < range.end)
    }
}
