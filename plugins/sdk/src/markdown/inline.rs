//! Markup inside a paragraph.
//!
//! The time is about proportional to the length, whatever the text: a delimiter that was searched
//! for in vain is not searched for again, and a link is short.

use std::{collections::BTreeSet, ops::Range};

use super::Style;

/// Bytes of a link, of its text and of its address each.
const LINK_BYTES_MAX: usize = 2_048;

/// A piece of markup.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// With its delimiters.
    pub(super) outer: Range<usize>,
    /// Without.
    pub(super) inner: Range<usize>,
    pub(super) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A character behind a backslash.
    Escape,
    /// Markup is read inside it.
    Nested(Style),
    /// Nothing is read inside it.
    Literal(Style),
}

/// The outermost pieces of markup, in order.
pub(super) fn marks(text: &str) -> Vec<Mark> {
    let mut scanner = Scanner {
        text,
        absent: BTreeSet::new(),
        link_bytes_left: LINK_BYTES_MAX + 16 * text.len(),
    };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(byte) = scanner.byte(at) {
        match scanner.mark_at(at, byte) {
            Some(mark) => {
                at = mark.outer.end;
                found.push(mark);
            }
            // A run of delimiters that opens nothing is text, and so is each part of it.
            None => at += scanner.run(at, byte),
        }
    }
    found
}

struct Scanner<'a> {
    text: &'a str,
    /// Delimiters, byte and length, that do not close anything from here to the end.
    absent: BTreeSet<(u8, usize)>,
    /// Bytes that may still be looked at for links. A text of brackets alone would have every one
    /// of them look for its end.
    link_bytes_left: usize,
}

impl Scanner<'_> {
    fn byte(&self, at: usize) -> Option<u8> {
        self.text.as_bytes().get(at).copied()
    }

    /// How many bytes like this one stand here; at least one.
    fn run(&self, at: usize, byte: u8) -> usize {
        let bytes = self.text.as_bytes().get(at..).unwrap_or_default();
        bytes.iter().take_while(|other| **other == byte).count().max(1)
    }

    fn before(&self, at: usize) -> Option<char> {
        self.text.get(..at)?.chars().next_back()
    }

    fn after(&self, at: usize) -> Option<char> {
        self.text.get(at..)?.chars().next()
    }

    fn mark_at(&mut self, at: usize, byte: u8) -> Option<Mark> {
        match byte {
            b'\\' => self.byte(at + 1).filter(u8::is_ascii_punctuation).map(|_| Mark {
                outer: at..at + 2,
                inner: at + 1..at + 2,
                what: What::Escape,
            }),
            b'`' => self.code(at),
            b'*' | b'_' | b'~' => self.emphasis(at, byte),
            b'[' => self.link(at, at),
            b'!' if self.byte(at + 1) == Some(b'[') => self.link(at, at + 1),
            b'<' => self.autolink(at),
            _ => None,
        }
    }

    fn code(&mut self, at: usize) -> Option<Mark> {
        let width = self.run(at, b'`');
        if self.absent.contains(&(b'`', width)) {
            return None;
        }
        let mut end = at + width;
        while let Some(byte) = self.byte(end) {
            let run = self.run(end, byte);
            if byte == b'`' && run == width {
                return Some(Mark {
                    outer: at..end + width,
                    inner: self.stripped(at + width..end),
                    what: What::Literal(Style::Code),
                });
            }
            end += run;
        }
        self.absent.insert((b'`', width));
        None
    }

    /// Without one space on each side, unless it is all space.
    fn stripped(&self, inner: Range<usize>) -> Range<usize> {
        let text = self.text.get(inner.clone()).unwrap_or_default();
        let spaced = text.len() > 2 && text.starts_with(' ') && text.ends_with(' ');
        if spaced && !text.trim().is_empty() { inner.start + 1..inner.end - 1 } else { inner }
    }

    fn emphasis(&mut self, at: usize, byte: u8) -> Option<Mark> {
        let run = self.run(at, byte);
        let (width, style) = match (byte, run) {
            (b'~', 2) => (2, Style::Strike),
            (b'*' | b'_', 1) => (1, Style::Italic),
            (b'*' | b'_', 2 | 3) => (2, Style::Bold),
            _ => return None,
        };
        let opens = self.after(at + run).is_some_and(|next| !next.is_whitespace())
            && (byte != b'_' || !self.before(at).is_some_and(char::is_alphanumeric));
        if !opens || self.absent.contains(&(byte, width)) {
            return None;
        }
        let end = self.closing(at + run, byte, width);
        if end.is_none() {
            self.absent.insert((byte, width));
        }
        let end = end?;
        Some(Mark { outer: at..end + width, inner: at + width..end, what: What::Nested(style) })
    }

    /// Where the delimiter that closes begins.
    fn closing(&mut self, from: usize, byte: u8, width: usize) -> Option<usize> {
        let mut at = from;
        while let Some(here) = self.byte(at) {
            let run = self.run(at, here);
            if here == byte {
                let fits = match width {
                    1 => run == 1 || run == 3,
                    _ => run == 2 || run == 3,
                };
                let closes = self.before(at).is_some_and(|before| !before.is_whitespace())
                    && (byte != b'_' || !self.after(at + run).is_some_and(char::is_alphanumeric));
                if fits && closes {
                    // Of three, the outer delimiter takes the last.
                    return Some(at + run - width);
                }
                at += run;
                continue;
            }
            at = match here {
                b'\\' => at + 2,
                b'`' => self.code(at).map_or(at + run, |code| code.outer.end),
                b'[' => self.link(at, at).map_or(at + 1, |link| link.outer.end),
                _ => at + run,
            };
        }
        None
    }

    /// `[text](address "title")`; the bracket is at `bracket`.
    fn link(&mut self, at: usize, bracket: usize) -> Option<Mark> {
        let text_end = bracket + self.matching(bracket, b'[', b']')?;
        let open = text_end + 1;
        if self.byte(open) != Some(b'(') {
            return None;
        }
        let end = open + self.matching(open, b'(', b')')?;
        let inside = self.text.get(open + 1..end)?.trim();
        let address = match inside.strip_prefix('<') {
            Some(rest) => rest.split_once('>')?.0,
            None => inside.split_whitespace().next().unwrap_or_default(),
        };
        (!address.is_empty()).then(|| Mark {
            outer: at..end + 1,
            inner: bracket + 1..text_end,
            what: What::Nested(Style::Link(address.replace('\\', ""))),
        })
    }

    /// How far behind `at`, where `open` stands, the `close` of it is.
    fn matching(&mut self, at: usize, open: u8, close: u8) -> Option<usize> {
        let bytes = self.text.as_bytes().get(at..)?;
        let mut depth = 0_usize;
        let mut escaped = false;
        for (distance, byte) in bytes.iter().take(LINK_BYTES_MAX).enumerate() {
            self.link_bytes_left = self.link_bytes_left.checked_sub(1)?;
            if std::mem::take(&mut escaped) {
                continue;
            }
            match *byte {
                b'\\' => escaped = true,
                byte if byte == open => depth += 1,
                byte if byte == close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(distance);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// `<https://…>`.
    fn autolink(&self, at: usize) -> Option<Mark> {
        let rest = self.text.get(at + 1..)?;
        let is_link = ["https://", "http://", "mailto:"].iter().any(|s| rest.starts_with(s));
        let end = rest
            .bytes()
            .take(LINK_BYTES_MAX)
            .position(|byte| byte == b'>' || byte == b'<' || byte.is_ascii_whitespace())?;
        let address = rest.get(..end)?;
        (is_link && rest.as_bytes().get(end) == Some(&b'>')).then(|| Mark {
            outer: at..at + end + 2,
            inner: at + 1..at + 1 + end,
            what: What::Literal(Style::Link(address.to_owned())),
        })
    }
}
