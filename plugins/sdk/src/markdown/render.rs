//! From text with spans to a provider's markup.

use super::{Rich, Style};

/// A markup.
pub trait Dialect {
    /// What stands in front of a span and behind it.
    fn marks(&self, _style: &Style) -> (String, String) {
        Default::default()
    }
    /// Writes what begins a span: its mark, unless there is more to it.
    fn open(&self, style: &Style, out: &mut String) {
        out.push_str(&self.marks(style).0);
    }
    /// Writes what ends it.
    fn close(&self, style: &Style, out: &mut String) {
        out.push_str(&self.marks(style).1);
    }
    /// Writes a piece of a line of text so that nothing in it is markup.
    fn escape(&self, text: &str, out: &mut String) {
        out.push_str(text);
    }
    /// Writes text, escaped. `inside` are the styles around it, the outermost first. Unless told
    /// otherwise, what begins a quotation begins each of its lines.
    fn text(&self, text: &str, inside: &[&Style], out: &mut String) {
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                out.push('\n');
                if inside.contains(&&Style::Quote) {
                    out.push_str(&self.marks(&Style::Quote).0);
                }
            }
            self.escape(line, out);
        }
    }
}

impl Rich {
    /// In this markup.
    pub fn render(&self, dialect: &impl Dialect) -> String {
        let mut out = String::with_capacity(self.text.len() + 16 * self.spans.len());
        let mut open: Vec<(&Style, usize)> = Vec::new();
        let mut written = 0;
        let mut write = |upto: usize, open: &[(&Style, usize)], out: &mut String| {
            if let Some(text) = self.text.get(written..upto).filter(|text| !text.is_empty()) {
                let inside: Vec<_> = open.iter().map(|(style, _)| *style).collect();
                dialect.text(text, &inside, out);
                written = upto;
            }
        };
        let mut close_upto = |at: usize, open: &mut Vec<(&Style, usize)>, out: &mut String| {
            while let Some((style, end)) = open.last().copied().filter(|(_, end)| *end <= at) {
                write(end, open, out);
                open.pop();
                dialect.close(style, out);
            }
            write(at, open, out);
        };
        for span in &self.spans {
            close_upto(span.range.start, &mut open, &mut out);
            dialect.open(&span.style, &mut out);
            open.push((&span.style, span.range.end));
        }
        close_upto(self.text.len(), &mut open, &mut out);
        out
    }
}

/// The marks that many chats have in common: `*bold*`, which headings are too, `_italic_`,
/// `~struck~`, `` `code` ``, "```" around a block of it, and "> " in front of the lines of a
/// quotation. The address of a link stands in brackets behind its text, and nothing is escaped: what
/// a chat does in another way is in a dialect of its own, which leaves the rest to this one.
#[derive(Clone, Copy, Debug)]
pub struct ChatMarks;

impl Dialect for ChatMarks {
    fn marks(&self, style: &Style) -> (String, String) {
        let (open, close) = match style {
            Style::Bold | Style::Heading(_) => ("*", "*"),
            Style::Italic => ("_", "_"),
            Style::Strike => ("~", "~"),
            Style::Code => ("`", "`"),
            Style::Pre(_) => ("```", "```"),
            Style::Quote => ("> ", ""),
            Style::Link(_) => ("", ""),
        };
        (open.to_owned(), close.to_owned())
    }

    fn close(&self, style: &Style, out: &mut String) {
        match style {
            Style::Link(url) if !out.ends_with(url.as_str()) => {
                out.push_str(&format!(" ({url})"));
            }
            other => out.push_str(&self.marks(other).1),
        }
    }
}

/// HTML, of the elements that chats which take HTML understand.
#[derive(Clone, Copy, Debug)]
pub struct Html;

impl Dialect for Html {
    fn marks(&self, style: &Style) -> (String, String) {
        let element = |name: &str| (format!("<{name}>"), format!("</{name}>"));
        match style {
            Style::Bold => element("strong"),
            Style::Italic => element("em"),
            Style::Strike => element("del"),
            Style::Code => element("code"),
            Style::Quote => element("blockquote"),
            Style::Heading(level) => element(&format!("h{level}")),
            Style::Pre(None) => ("<pre><code>".to_owned(), "</code></pre>".to_owned()),
            Style::Pre(Some(language)) => (
                format!("<pre><code class=\"language-{}\">", attribute(language)),
                "</code></pre>".to_owned(),
            ),
            Style::Link(url) => (format!("<a href=\"{}\">", attribute(url)), "</a>".to_owned()),
        }
    }

    fn text(&self, text: &str, inside: &[&Style], out: &mut String) {
        if inside.iter().any(|style| matches!(style, Style::Pre(_))) {
            return escape_html(text, out);
        }
        // A block ends its line by itself.
        let begins_behind_block =
            ["</pre>", "</blockquote>"].iter().any(|end| out.ends_with(end)) || ends_heading(out);
        let text = if begins_behind_block { text.trim_start_matches('\n') } else { text };
        for (number, line) in text.split('\n').enumerate() {
            if number > 0 {
                out.push_str("<br>");
            }
            escape_html(line, out);
        }
    }
}

fn attribute(value: &str) -> String {
    let mut out = String::new();
    escape_html(value, &mut out);
    out
}

fn ends_heading(out: &str) -> bool {
    out.strip_suffix('>')
        .and_then(|out| out.strip_suffix(|c: char| c.is_ascii_digit()))
        .is_some_and(|out| out.ends_with("</h"))
}

/// Appends the text with the characters of HTML written as references.
pub fn escape_html(text: &str, out: &mut String) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}
