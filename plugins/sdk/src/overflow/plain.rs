//! Text without markup, escaped or not.

use std::ops::Range;

use super::Content;
use crate::{
    LengthUnit,
    text::{ELLIPSIS, length},
};

/// Plain text. It is cut before it is escaped, so that no cut is inside an escape.
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    text: &'a str,
    unit: LengthUnit,
    escape: fn(&str) -> String,
}

impl<'a> Plain<'a> {
    /// Sent as it is; counted in `unit`.
    #[must_use]
    pub fn new(text: &'a str, unit: LengthUnit) -> Self {
        Self { text, unit, escape: str::to_owned }
    }

    /// Sent as `escape` writes it, and counted so.
    #[must_use]
    pub fn escaped(self, escape: fn(&str) -> String) -> Self {
        Self { escape, ..self }
    }
}

impl Content for Plain<'_> {
    type Part = String;

    fn source(&self) -> &str {
        self.text
    }

    fn part(&self, range: Range<usize>, cut: bool) -> String {
        let mut text = self.text.get(range).unwrap_or_default().to_owned();
        if cut {
            text.push(ELLIPSIS);
        }
        (self.escape)(&text)
    }

    fn length(&self, part: &String) -> usize {
        length(part, self.unit)
    }
}
