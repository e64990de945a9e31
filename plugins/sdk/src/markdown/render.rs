//! From text with spans to a provider's markup.

use super::{Rich, Style};

/// A markup.
pub trait Dialect {
    /// Writes what begins a span.
    fn open(&self, style: &Style, out: &mut String);
    /// Writes what ends it.
    fn close(&self, style: &Style, out: &mut String);
    /// Writes text, escaped. `inside` are the styles around it, the outermost first.
    fn text(&self, text: &str, inside: &[&Style], out: &mut String);
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

/// HTML, of the elements that chats which take HTML understand.
#[derive(Clone, Copy, Debug)]
pub struct Html;

impl Dialect for Html {
    fn open(&self, style: &Style, out: &mut String) {
        match style {
            Style::Bold => out.push_str("<strong>"),
            Style::Italic => out.push_str("<em>"),
            Style::Strike => out.push_str("<del>"),
            Style::Code => out.push_str("<code>"),
            Style::Pre(None) => out.push_str("<pre><code>"),
            Style::Pre(Some(language)) => {
                out.push_str("<pre><code class=\"language-");
                escape_html(language, out);
                out.push_str("\">");
            }
            Style::Link(url) => {
                out.push_str("<a href=\"");
                escape_html(url, out);
                out.push_str("\">");
            }
            Style::Quote => out.push_str("<blockquote>"),
            Style::Heading(level) => out.push_str(&format!("<h{level}>")),
        }
    }

    fn close(&self, style: &Style, out: &mut String) {
        match style {
            Style::Bold => out.push_str("</strong>"),
            Style::Italic => out.push_str("</em>"),
            Style::Strike => out.push_str("</del>"),
            Style::Code => out.push_str("</code>"),
            Style::Pre(_) => out.push_str("</code></pre>"),
            Style::Link(_) => out.push_str("</a>"),
            Style::Quote => out.push_str("</blockquote>"),
            Style::Heading(level) => out.push_str(&format!("</h{level}>")),
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
