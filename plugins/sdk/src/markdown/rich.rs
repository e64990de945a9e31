//! Text and the ranges of it that look other than the rest.

use std::ops::Range;

use super::{Dialect, parse};
use crate::{
    Format, LengthUnit, Message,
    overflow::Content,
    text::{ELLIPSIS, length},
};

/// How a range of the text looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Style {
    /// `**strong**`.
    Bold,
    /// `*emphasis*`.
    Italic,
    /// `~~struck~~`.
    Strike,
    /// `` `code` `` in a line.
    Code,
    /// A block of code; its language, if it says one.
    Pre(Option<String>),
    /// A link to this address.
    Link(String),
    /// A quotation.
    Quote,
    /// A heading of this level, 1 to 6.
    Heading(u8),
}

/// A range with a style.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Of bytes in the text.
    pub range: Range<usize>,
    /// How it looks.
    pub style: Style,
}

/// A text without markup, and beside it what the markup said. What a provider has no markup for,
/// lists and rules for example, is in the text as characters.
///
/// Plain text is one without spans, so that a channel has one path for both formats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rich {
    /// As a reader sees it.
    pub text: String,
    /// An outer one before those inside it; two of them are apart or one is inside the other.
    pub spans: Vec<Span>,
}

impl Rich {
    /// Without any markup.
    #[must_use]
    pub fn plain(text: &str) -> Self {
        Self { text: text.to_owned(), spans: Vec::new() }
    }

    /// From CommonMark, with `~~struck~~` text. HTML is text as any other.
    #[must_use]
    pub fn markdown(source: &str) -> Self {
        parse::rich(source)
    }

    /// The body in the message's format, behind its title in bold on a line of its own.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let body = match message.format {
            Format::Plain => Self::plain(&message.body),
            Format::Markdown => Self::markdown(&message.body),
        };
        let Some(title) = message.title_line() else { return body };
        let mut whole = Self {
            spans: vec![Span { range: 0..title.len(), style: Style::Bold }],
            text: title + "\n",
        };
        let shift = whole.text.len();
        whole.text.push_str(&body.text);
        whole.spans.extend(
            body.spans.into_iter().map(|span| Span {
                range: span.range.start + shift..span.range.end + shift,
                ..span
            }),
        );
        whole
    }

    /// What is inside `range`, with an ellipsis behind it if `cut`.
    #[must_use]
    pub fn cut(&self, range: Range<usize>, cut: bool) -> Self {
        let mut text = self.text.get(range.clone()).unwrap_or_default().to_owned();
        let inside = |at: usize| at.clamp(range.start, range.end.max(range.start)) - range.start;
        let spans = self
            .spans
            .iter()
            .map(|span| (inside(span.range.start)..inside(span.range.end), &span.style))
            .filter(|(range, _)| !range.is_empty())
            .map(|(range, style)| Span { range, style: style.clone() })
            .collect();
        if cut {
            text.push(ELLIPSIS);
        }
        Self { text, spans }
    }

    /// As content that [`Overflow`](crate::Overflow) can make parts of; `length` is how the provider
    /// counts one, for example the length of what a dialect makes of it.
    pub fn measured(self, length: fn(&Self) -> usize) -> Measured {
        Measured { rich: self, length }
    }

    /// As content whose parts are text in this markup, each counted in `unit` as it is written.
    pub fn in_dialect<D: Dialect>(self, dialect: &D, unit: LengthUnit) -> InDialect<'_, D> {
        InDialect { rich: self, dialect, unit }
    }
}

/// See [`Rich::in_dialect`].
#[derive(Clone, Debug)]
pub struct InDialect<'a, D> {
    rich: Rich,
    dialect: &'a D,
    unit: LengthUnit,
}

impl<D: Dialect> Content for InDialect<'_, D> {
    type Part = String;

    fn source(&self) -> &str {
        &self.rich.text
    }

    fn part(&self, range: Range<usize>, cut: bool) -> String {
        self.rich.cut(range, cut).render(self.dialect)
    }

    fn length(&self, part: &String) -> usize {
        length(part, self.unit)
    }
}

/// See [`Rich::measured`].
#[derive(Clone, Debug)]
pub struct Measured {
    rich: Rich,
    length: fn(&Rich) -> usize,
}

impl Content for Measured {
    type Part = Rich;

    fn source(&self) -> &str {
        &self.rich.text
    }

    fn part(&self, range: Range<usize>, cut: bool) -> Rich {
        self.rich.cut(range, cut)
    }

    fn length(&self, part: &Rich) -> usize {
        (self.length)(part)
    }
}
