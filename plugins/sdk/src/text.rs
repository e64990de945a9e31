//! Lengths as providers count them, and cuts that leave characters, words and lines whole.

mod cut;

use std::ops::RangeInclusive;

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

/// Whether `text` has a number of bytes out of `lengths` and all of them are `allowed`: for ids and
/// names that a provider gives a narrow form.
///
/// ```
/// use conductor_sdk::text::consists_of;
///
/// assert!(consists_of("1099511627776", 1..=20, |byte| byte.is_ascii_digit()));
/// assert!(!consists_of("77/88", 1..=20, |byte| byte.is_ascii_digit()));
/// ```
#[must_use]
pub fn consists_of(
    text: &str,
    lengths: RangeInclusive<usize>,
    allowed: impl Fn(u8) -> bool,
) -> bool {
    lengths.contains(&text.len()) && text.bytes().all(allowed)
}

/// Whether `digits` are those of a telephone number with its country, without the plus sign in front
/// of it (ITU-T E.164: 15 digits at most, and no country's begins with 0).
#[must_use]
pub fn is_international_number(digits: &str) -> bool {
    !digits.starts_with('0') && consists_of(digits, 2..=15, |byte| byte.is_ascii_digit())
}

/// The beginning of what a provider says, on one line, for the detail of an outcome.
#[must_use]
pub fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 300;
    truncate(&one_line(text), CHARACTERS_MAX, LengthUnit::Characters)
}

/// `text` with the mentions of `names`, `@all` for example, put out of action: a character without
/// width stands behind the `@`. For names that call everybody in a room, since what stands in a
/// notification may come from anywhere.
#[must_use]
pub fn without_mentions(text: &str, names: &[&str]) -> String {
    const NO_WIDTH: char = '\u{200b}';
    let mut out = String::with_capacity(text.len());
    for (number, piece) in text.split('@').enumerate() {
        if number > 0 {
            out.push('@');
            let is_mention = names.iter().any(|name| {
                piece.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name))
            });
            if is_mention {
                out.push(NO_WIDTH);
            }
        }
        out.push_str(piece);
    }
    out
}

#[cfg(test)]
mod tests;
