//! One TOML file as text: read under a size cap, with the line of every byte.

use std::{fs::File, io::Read, ops::Range, path::Path, sync::Arc};

use toml::de::DeTable;

use super::{
    findings::Findings,
    model::{Origin, Problem},
};
use crate::limits;

/// Characters of an offending line that a message shows.
const SHOWN_LINE_CHARS: usize = 100;
/// Syntax errors of one file that are reported: after the first the parser guesses.
const SYNTAX_ERRORS_MAX: usize = 5;

/// A file's text.
#[derive(Debug)]
pub(super) struct Document {
    name: Arc<str>,
    text: String,
    /// Where each line begins.
    line_starts: Vec<usize>,
}

impl Document {
    /// Reads `folder/name`.
    pub(super) fn read(folder: &Path, name: &str) -> Result<Self, Problem> {
        let path = folder.join(name);
        let text = read_text(&path, name, "run `conductor init` to create it")?;
        if text.trim().is_empty() {
            return Err(Problem {
                origin: Some(Origin { file: name.into(), line: 1 }),
                message: String::from(
                    "the file is empty, perhaps half written; if nothing is meant to be in it, put \
                     a comment line into it",
                ),
            });
        }
        Ok(Self::new(name, text))
    }

    /// A file of this name and content.
    pub(super) fn new(name: &str, text: String) -> Self {
        let line_starts = std::iter::once(0)
            .chain(
                text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n').map(|(at, _)| at + 1),
            )
            .collect();
        Self { name: name.into(), text, line_starts }
    }

    /// The tables of the file; none when its syntax is broken, because what a parser makes of the
    /// rest is a guess.
    pub(super) fn parse(&self, findings: &mut Findings) -> Option<DeTable<'_>> {
        let (table, errors) = DeTable::parse_recoverable(&self.text);
        if errors.is_empty() {
            return Some(table.into_inner());
        }
        let mut lines_told = Vec::new();
        // What is missing at the end is missing in the last line that has something in it.
        let end = self.text.trim_end().len();
        for error in errors {
            let offset = error.span().map_or(end, |span| span.start.min(end));
            let origin = self.origin(offset..offset);
            // One mistake is often found twice; its line is the same.
            if lines_told.contains(&origin.line) || lines_told.len() == SYNTAX_ERRORS_MAX {
                continue;
            }
            lines_told.push(origin.line);
            let (column, line) = self.line_around(offset);
            let what = error.message().trim().replace('\n', ", ");
            let shown = hide_tokens(line.trim_end());
            findings.wrong(
                &origin,
                format!(
                    "column {column}: this is not TOML: {what}\n    {shown}\n    Mend the line; \
                     until then nothing of {} is used.",
                    self.name
                ),
            );
        }
        None
    }

    /// The place of a span.
    pub(super) fn origin(&self, span: Range<usize>) -> Origin {
        let lines = self.line_starts.partition_point(|&start| start <= span.start);
        Origin { file: Arc::clone(&self.name), line: u32::try_from(lines).unwrap_or(u32::MAX) }
    }

    /// The column (from 1, in characters) of an offset and its whole line.
    fn line_around(&self, offset: usize) -> (usize, &str) {
        let line = self.line_starts.partition_point(|&start| start <= offset).saturating_sub(1);
        let start = self.line_starts.get(line).copied().unwrap_or(0);
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let before = self.text.get(start..offset).unwrap_or_default();
        (before.chars().count() + 1, line)
    }
}

/// Reads a text file of at most [`limits::CONFIG_FILE_BYTES_MAX`]; `if_absent` says how to mend
/// that it is not there.
pub(super) fn read_text(path: &Path, name: &str, if_absent: &str) -> Result<String, Problem> {
    let path_shown = path.display();
    let fail = |message| Problem { origin: None, message };
    let bytes = match read_capped(path, limits::CONFIG_FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            return Err(fail(format!(
                "{path_shown} is larger than {} MiB; a configuration file is not, so this is \
                 another file",
                limits::CONFIG_FILE_BYTES_MAX >> 20
            )));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(fail(format!("{path_shown} is not there; {if_absent}")));
        }
        Err(error) => {
            return Err(fail(format!(
                "{path_shown} cannot be read: {error}; it must be a file that this process may read"
            )));
        }
    };
    let at = |offset: usize, message| {
        let before = bytes.get(..offset).unwrap_or_default();
        let line = before.iter().filter(|&&byte| byte == b'\n').count() + 1;
        let line = u32::try_from(line).unwrap_or(u32::MAX);
        Problem { origin: Some(Origin { file: name.into(), line }), message }
    };
    if let Some(offset) = bytes.iter().position(|&byte| byte == 0) {
        return Err(at(
            offset,
            String::from(
                "there is a NUL byte: this is a binary file or UTF-16; save it as UTF-8 text",
            ),
        ));
    }
    if let Err(error) = std::str::from_utf8(&bytes) {
        return Err(at(
            error.valid_up_to(),
            String::from("this is not UTF-8; save the file as UTF-8 text"),
        ));
    }
    let text = String::from_utf8(bytes).unwrap_or_default();
    // A byte order mark would be part of the first key in some parsers and is noise in all.
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The bytes of a file, or none when there are more than `bytes_max`.
pub(super) fn read_capped(path: &Path, bytes_max: u64) -> std::io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    // The length that the file system tells is not asked: for /proc and pipes it is zero.
    let read = file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok((read as u64 <= bytes_max).then_some(bytes))
}

/// A line for a message: cut, and without what looks like a credential (somebody may have written
/// a value where a name belongs).
fn hide_tokens(line: &str) -> String {
    let mut shown = String::new();
    let is_token = |letter: char| letter.is_ascii_alphanumeric() || "+/_-.".contains(letter);
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let length = match rest.find(|letter| is_token(letter) != is_token(first)) {
            Some(end) => end,
            None => rest.len(),
        };
        let (run, after) = rest.split_at(length);
        shown.push_str(if is_token(first) && looks_secret(run) { "…" } else { run });
        rest = after;
    }
    if shown.chars().count() > SHOWN_LINE_CHARS {
        shown = shown.chars().take(SHOWN_LINE_CHARS).chain(['…']).collect();
    }
    shown
}

/// Whether a word may be a credential rather than a name: long, and letters mixed with digits.
pub(super) fn looks_secret(word: &str) -> bool {
    word.len() >= 20
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        // A UUID with its hyphens is a name here.
        && !(word.len() == 36 && uuid::Uuid::try_parse(word).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_shown_without_what_looks_like_a_credential() {
        let line = "BOT_TOKEN = \"MTA5fake.GhX1aa.not-a-real-one0\" # x";
        assert_eq!(hide_tokens(line), "BOT_TOKEN = \"…\" # x");
        let line = "id = \"0198c0de-0000-7000-8000-000000000001\"";
        assert_eq!(hide_tokens(line), line);
        assert!(hide_tokens(&"x".repeat(5_000)).chars().count() <= SHOWN_LINE_CHARS + 1);
    }

    #[test]
    fn a_byte_order_mark_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.toml"), "\u{feff}a = 1\n").unwrap();
        let document = Document::read(folder.path(), "a.toml").unwrap();
        let mut findings = Findings::default();
        assert!(document.parse(&mut findings).unwrap().contains_key("a"));
    }

    #[test]
    fn every_byte_has_the_line_it_stands_in() {
        let document = Document::new("a.toml", String::from("a\nbc\n\nd"));
        for (offset, line) in [(0, 1), (1, 1), (2, 2), (4, 2), (5, 3), (6, 4), (99, 4)] {
            assert_eq!(document.origin(offset..offset).line, line, "{offset}");
        }
    }
}
