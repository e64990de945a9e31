//! Lengths as providers count them.

use crate::LengthUnit;

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
/// `length_max`. Cuts between characters, never inside one.
#[must_use]
pub fn truncate(text: &str, length_max: usize, unit: LengthUnit) -> String {
    const ELLIPSIS: &str = "…";
    if length(text, unit) <= length_max {
        return text.to_owned();
    }
    let Some(room) = length_max.checked_sub(length(ELLIPSIS, unit)) else {
        return String::new();
    };
    let mut used = 0;
    let mut kept: String = text
        .chars()
        .take_while(|character| {
            used += match unit {
                LengthUnit::Characters => 1,
                LengthUnit::Utf16Units => character.len_utf16(),
                LengthUnit::Bytes => character.len_utf8(),
            };
            used <= room
        })
        .collect();
    kept.push_str(ELLIPSIS);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_alone() {
        assert_eq!(truncate("déjà", 4, LengthUnit::Characters), "déjà");
        assert_eq!(truncate("", 0, LengthUnit::Bytes), "");
    }

    #[test]
    fn a_cut_never_exceeds_the_limit_and_never_splits_a_character() {
        let text = "a😀é…z".repeat(20);
        for unit in [LengthUnit::Characters, LengthUnit::Utf16Units, LengthUnit::Bytes] {
            for length_max in 0..60 {
                let cut = truncate(&text, length_max, unit);
                assert!(length(&cut, unit) <= length_max, "{unit:?} {length_max}");
                assert!(cut.is_empty() || cut.ends_with('…'), "{cut}");
            }
        }
    }

    #[test]
    fn an_emoji_counts_differently_in_each_unit() {
        assert_eq!(length("😀", LengthUnit::Characters), 1);
        assert_eq!(length("😀", LengthUnit::Utf16Units), 2);
        assert_eq!(length("😀", LengthUnit::Bytes), 4);
    }
}
