//! The blocks of a document: what its lines are.

use std::ops::Range;

/// A block, with ranges of the document.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block<'a> {
    /// Lines of text.
    Paragraph(Range<usize>),
    /// Its level, and its text without the marks.
    Heading(u8, Range<usize>),
    /// Lines that begin with `>`.
    Quote(Range<usize>),
    /// An item of a list.
    Item {
        /// How deep in lists, from 0 on.
        level: usize,
        /// `1.`; none for a bullet.
        number: Option<&'a str>,
        text: Range<usize>,
    },
    /// A line across.
    Rule,
    Fence(Fence<'a>),
}

/// A fenced block of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fence<'a> {
    /// All of it, with its fences.
    pub(super) outer: Range<usize>,
    /// The lines between them.
    pub(super) inner: Range<usize>,
    /// The first line.
    pub(super) opening: &'a str,
    /// The marks alone.
    pub(super) marks: &'a str,
}

impl Fence<'_> {
    /// The language, if it says one.
    pub(super) fn language(&self) -> Option<&str> {
        self.opening.trim_start().strip_prefix(self.marks)?.split_whitespace().next()
    }
}

pub(super) fn blocks(document: &str) -> Vec<Block<'_>> {
    let mut reader = Reader { blocks: Vec::new(), text: None, list: false };
    let mut lines = Lines { document, at: 0 };
    while let Some((start, line)) = lines.next() {
        if let Some(marks) = fence(line) {
            reader.end_text();
            reader.blocks.push(Block::Fence(lines.fence(start, line, marks)));
        } else if line.trim_start().starts_with('>') {
            reader.end_text();
            while lines.peek().is_some_and(|line| line.trim_start().starts_with('>')) {
                lines.next();
            }
            reader.blocks.push(Block::Quote(start..lines.at));
        } else {
            reader.line(start, line, lines.at);
        }
    }
    reader.end_text();
    reader.blocks
}

struct Lines<'a> {
    document: &'a str,
    at: usize,
}

impl<'a> Lines<'a> {
    fn peek(&self) -> Option<&'a str> {
        let rest = self.document.get(self.at..).filter(|rest| !rest.is_empty())?;
        Some(rest.split_once('\n').map_or(rest, |(line, _)| line))
    }

    /// Where the next line begins, and the line without its end.
    fn next(&mut self) -> Option<(usize, &'a str)> {
        let line = self.peek()?;
        let start = self.at;
        self.at = (start + line.len() + 1).min(self.document.len());
        Some((start, line))
    }

    /// The block whose first line was just read.
    fn fence(&mut self, start: usize, opening: &'a str, marks: &'a str) -> Fence<'a> {
        let inside = self.at;
        while let Some((at, line)) = self.next() {
            let line = line.trim();
            if line.len() >= marks.len()
                && line.trim_start_matches(marks.get(..1).unwrap_or(" ")).is_empty()
            {
                return Fence { outer: start..self.at, inner: inside..at, opening, marks };
            }
        }
        // Never closed: it is all that follows.
        Fence { outer: start..self.at, inner: inside..self.at, opening, marks }
    }
}

/// The marks of a line that opens a fenced block.
fn fence(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let mark = line.chars().next().filter(|mark| matches!(mark, '`' | '~'))?;
    let rest = line.trim_start_matches(mark);
    let marks = line.get(..line.len() - rest.len()).filter(|marks| marks.len() >= 3)?;
    // ```a``` on one line is code in a line.
    (!rest.contains('`')).then_some(marks)
}

struct Reader<'a> {
    blocks: Vec<Block<'a>>,
    /// The paragraph or the item that the next line of text belongs to.
    text: Option<Block<'a>>,
    /// The last block with text was an item: lines that are indented belong to its list.
    list: bool,
}

impl<'a> Reader<'a> {
    fn end_text(&mut self) {
        self.blocks.extend(self.text.take());
    }

    fn line(&mut self, start: usize, line: &'a str, next: usize) {
        let words = line.trim();
        if words.is_empty() {
            return self.end_text();
        }
        if let Some(level) = self.underline(words) {
            if let Some(Block::Paragraph(text)) = self.text.take() {
                self.blocks.push(Block::Heading(level, text));
            }
            return;
        }
        if is_rule(words) {
            self.end_text();
            self.blocks.push(Block::Rule);
        } else if let Some((level, text)) = heading(line) {
            self.end_text();
            self.blocks.push(Block::Heading(level, start + text.start..start + text.end));
        } else if let Some((level, number, text)) = item(line, self.list) {
            self.end_text();
            self.list = true;
            self.text = Some(Block::Item { level, number, text: start + text..next });
        } else if let Some(Block::Paragraph(text) | Block::Item { text, .. }) = &mut self.text {
            text.end = next;
        } else {
            self.list = self.list && line.starts_with("  ");
            self.text = Some(Block::Paragraph(start..next));
        }
    }

    /// The level of a heading whose text was the paragraph above this line.
    fn underline(&self, words: &str) -> Option<u8> {
        if !matches!(self.text, Some(Block::Paragraph(_))) {
            return None;
        }
        if words.bytes().all(|byte| byte == b'=') {
            return Some(1);
        }
        (words.len() > 1 && words.bytes().all(|byte| byte == b'-')).then_some(2)
    }
}

fn is_rule(words: &str) -> bool {
    let marks: String = words.split_whitespace().collect();
    marks.len() >= 3 && ['-', '*', '_'].iter().any(|mark| marks.chars().all(|other| other == *mark))
}

/// The level and the range of the text in the line.
fn heading(line: &str) -> Option<(u8, Range<usize>)> {
    let start = line.len() - line.trim_start().len();
    let rest = line.trim_start().trim_start_matches('#');
    let level = line.trim_start().len() - rest.len();
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let text_start = start + level + (rest.len() - rest.trim_start().len());
    let text = rest.trim_start().trim_end();
    let closed = text.trim_end_matches('#');
    let text = if closed.ends_with([' ', '\t']) { closed.trim_end() } else { text };
    Some((u8::try_from(level).unwrap_or(6), text_start..text_start + text.len()))
}

/// The level, the number and where the text begins in the line.
fn item(line: &str, in_list: bool) -> Option<(usize, Option<&str>, usize)> {
    let indent = line.len() - line.trim_start().len();
    // Further in, outside a list, it would be a block of code.
    if indent > 3 && !in_list {
        return None;
    }
    let rest = line.trim_start();
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (mark, number) = match (digits, rest.as_bytes().get(digits)) {
        (0, Some(b'-' | b'*' | b'+')) => (1, None),
        (1..=9, Some(b'.' | b')')) => (digits + 1, rest.get(..=digits)),
        _ => return None,
    };
    let text = rest.get(mark..)?;
    let spaces = text.len() - text.trim_start().len();
    (spaces > 0).then_some((indent / 2, number, indent + mark + spaces))
}
