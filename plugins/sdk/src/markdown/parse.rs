//! From CommonMark to text with spans.

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::{Rich, Span, Style};

/// How deep lists are indented at most. Quotations and lists can be nested as deep as a message is
/// long.
const INDENT_LEVELS_MAX: usize = 8;

pub(super) fn rich(source: &str) -> Rich {
    let mut builder = Builder::default();
    for event in Parser::new_ext(source, Options::ENABLE_STRIKETHROUGH) {
        builder.event(event);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    rich: Rich,
    /// The spans that are open: their index.
    open: Vec<usize>,
    /// The lists that are open: the next number of an ordered one.
    lists: Vec<Option<u64>>,
    /// Line breaks to write before the next text.
    breaks: usize,
    /// A list's item has just begun: its paragraph stands behind the bullet.
    at_bullet: bool,
}

impl Builder {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Code(code) => {
                self.open(Style::Code);
                self.text(&code);
                self.close();
            }
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text)
            | Event::FootnoteReference(text) => self.text(&text),
            Event::SoftBreak | Event::HardBreak => self.text("\n"),
            Event::Rule => {
                self.block(2);
                self.text("———");
                self.block(2);
            }
            Event::TaskListMarker(done) => self.text(if done { "☑ " } else { "☐ " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.block(2),
            Tag::Heading { level, .. } => {
                self.block(2);
                self.open(Style::Heading(level as u8));
            }
            Tag::BlockQuote(_) => {
                self.block(2);
                self.open(Style::Quote);
            }
            Tag::CodeBlock(kind) => {
                self.block(2);
                self.open(Style::Pre(match kind {
                    CodeBlockKind::Fenced(info) => {
                        info.split_whitespace().next().map(ToOwned::to_owned)
                    }
                    CodeBlockKind::Indented => None,
                }));
            }
            Tag::List(first) => {
                self.block(if self.lists.is_empty() { 2 } else { 1 });
                self.lists.push(first);
            }
            Tag::Item => self.bullet(),
            Tag::Emphasis => self.open(Style::Italic),
            Tag::Strong => self.open(Style::Bold),
            Tag::Strikethrough => self.open(Style::Strike),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.open(Style::Link(dest_url.into_string()));
            }
            // Of extensions that are switched off.
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.block(2),
            TagEnd::Heading(_) | TagEnd::BlockQuote(_) | TagEnd::CodeBlock => {
                self.close();
                self.block(2);
            }
            TagEnd::List(_) => {
                self.lists.pop();
                self.block(if self.lists.is_empty() { 2 } else { 1 });
            }
            TagEnd::Item => self.block(1),
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Link
            | TagEnd::Image => self.close(),
            _ => {}
        }
    }

    /// The next text stands so many line breaks below, and no more.
    fn block(&mut self, breaks: usize) {
        if self.at_bullet {
            return;
        }
        // Inside a list, lines are close together.
        let breaks = if self.lists.is_empty() { breaks } else { 1 };
        self.breaks = self.breaks.max(breaks);
    }

    fn bullet(&mut self) {
        self.block(1);
        let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(INDENT_LEVELS_MAX));
        let bullet = match self.lists.last_mut() {
            Some(Some(number)) => {
                let bullet = format!("{number}. ");
                *number = number.saturating_add(1);
                bullet
            }
            _ => "• ".to_owned(),
        };
        self.text(&(indent + &bullet));
        self.at_bullet = true;
    }

    fn text(&mut self, text: &str) {
        self.at_bullet = false;
        let breaks = std::mem::take(&mut self.breaks);
        if !self.rich.text.is_empty() {
            let start = self.rich.text.len();
            self.rich.text.extend(std::iter::repeat_n('\n', breaks));
            // A span that has no text yet begins behind the break.
            for open in &self.open {
                if let Some(span) = self.rich.spans.get_mut(*open)
                    && span.range.start == start
                {
                    span.range.start = self.rich.text.len();
                }
            }
        }
        self.rich.text.push_str(text);
    }

    fn open(&mut self, style: Style) {
        let at = self.rich.text.len();
        self.open.push(self.rich.spans.len());
        self.rich.spans.push(Span { range: at..at, style });
    }

    fn close(&mut self) {
        let Some(span) = self.open.pop().and_then(|open| self.rich.spans.get_mut(open)) else {
            return;
        };
        // A block of code ends with a line break of its own.
        let text = self.rich.text.trim_end_matches('\n').len();
        let end = if matches!(span.style, Style::Pre(_)) { text } else { self.rich.text.len() };
        span.range.end = end.max(span.range.start);
        if matches!(span.style, Style::Pre(_)) {
            self.rich.text.truncate(end.max(span.range.start));
        }
    }

    fn finish(self) -> Rich {
        let Self { mut rich, .. } = self;
        let end = rich.text.trim_end().len();
        rich.text.truncate(end);
        for span in &mut rich.spans {
            span.range = span.range.start.min(end)..span.range.end.min(end);
        }
        rich.spans.retain(|span| !span.range.is_empty());
        rich
    }
}
