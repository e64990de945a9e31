//! Lengths as providers count them, and cuts that leave characters, words and lines whole.

mod cut;

use unicode_segmentation::UnicodeSegmentation;

use crate::LengthUnit;

pub use cut::{Cut, longest_cut};

/// Stands where something was left out.
pub const ELLIPSIS: char = '…';

/// The length of `text` in `unit`.
#[must_use]
pub fn length(text: &str, unit: LengthUnit) -> usize {
    match unit {
        LengthUnit::Characters => text.chars().count(),
        LengthUnit::Utf16Units => text.chars().map(char::len_utf16).sum(),
        LengthUnit::Bytes => text.len(),
    }
}

/// `text` if it is at most `length_max` long, else its beginning with an ellipsis, together at most
/// `length_max`. Cuts between what a reader takes for characters (grapheme clusters, Unicode
/// Standard Annex 29): never inside an emoji of several, nor between a letter and its accent.
#[must_use]
pub fn truncate(text: &str, length_max: usize, unit: LengthUnit) -> String {
    if length(text, unit) <= length_max {
        return text.to_owned();
    }
    let ellipsis = ELLIPSIS.encode_utf8(&mut [0; 4]).to_owned();
    let Some(room) = length_max.checked_sub(length(&ellipsis, unit)) else {
        return String::new();
    };
    let mut used = 0;
    let mut kept: String = text
        .graphemes(true)
        .take_while(|cluster| {
            used += length(cluster, unit);
            used <= room
        })
        .collect();
    kept.push(ELLIPSIS);
    kept
}

/// The words of `text` on one line, for a title.
#[must_use]
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
