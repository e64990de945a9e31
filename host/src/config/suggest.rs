//! "Did you mean …?": the nearest known word to one that is not known.

use std::{cell::Cell, fmt::Write as _};

/// Comparisons that one load may spend on suggestions. Ten thousand channels of unknown tenants
/// among ten thousand known ones would otherwise be a hundred million of them.
const COMPARISONS_MAX: usize = 50_000;
/// Known words that a message lists.
const LISTED_MAX: usize = 16;

/// Finds the nearest word while its budget lasts.
#[derive(Debug)]
pub(super) struct Suggester {
    comparisons_left: Cell<usize>,
}

impl Suggester {
    pub(super) const fn new() -> Self {
        Self { comparisons_left: Cell::new(COMPARISONS_MAX) }
    }

    /// Whether the budget allows to look at `count` words: making the words may cost, too.
    pub(super) fn may_compare(&self, count: usize) -> bool {
        self.comparisons_left.get() >= count
    }

    /// The known word that is nearest to `found`, if it is near enough to be meant.
    pub(super) fn nearest<'word>(
        &self,
        found: &str,
        known: impl IntoIterator<Item = &'word str>,
    ) -> Option<&'word str> {
        let distance_max = (found.chars().count() / 3).clamp(1, 3);
        let mut best: Option<(usize, &str)> = None;
        for word in known {
            let left = self.comparisons_left.get().checked_sub(1)?;
            self.comparisons_left.set(left);
            let limit = best.map_or(distance_max, |(distance, _)| distance.saturating_sub(1));
            if let Some(distance) = distance_within(found, word, limit) {
                best = Some((distance, word));
            }
            if matches!(best, Some((0, _))) {
                break;
            }
        }
        best.map(|(_, word)| word)
    }

    /// ` (did you mean "x"?)`, or the known words, to end a message with.
    pub(super) fn hint<'word>(
        &self,
        found: &str,
        known: impl IntoIterator<Item = &'word str> + Clone,
    ) -> String {
        match self.nearest(found, known.clone()) {
            Some(word) => format!("did you mean \"{word}\"? Known: {}", listed(known)),
            None => format!("known: {}", listed(known)),
        }
    }
}

/// The words, separated by commas; only the first few of many.
pub(super) fn listed<'word>(words: impl IntoIterator<Item = &'word str>) -> String {
    let mut text = String::new();
    let mut words = words.into_iter();
    for (at, word) in words.by_ref().take(LISTED_MAX).enumerate() {
        text.push_str(if at == 0 { "" } else { ", " });
        text.push_str(word);
    }
    match (words.count(), text.is_empty()) {
        (0, true) => text.push_str("none"),
        (0, false) => {}
        (more, _) => {
            let _ = write!(text, " and {more} more");
        }
    }
    text
}

/// How many letters must be added, removed, replaced or swapped with their neighbour to make one
/// word of the other (ignoring case), when that is at most `limit`.
fn distance_within(left: &str, right: &str, limit: usize) -> Option<usize> {
    // A letter has one to four bytes.
    if left.len().abs_diff(right.len()) > limit * 4 {
        return None;
    }
    let right: Vec<char> = right.chars().map(|letter| letter.to_ascii_lowercase()).collect();
    // The usual table, of which three rows are kept; swaps look two rows back.
    let mut two_above: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut letter_above = None;
    for (line, letter) in left.chars().enumerate() {
        let letter = letter.to_ascii_lowercase();
        let mut row = Vec::with_capacity(above.len());
        row.push(line + 1);
        let (mut before, mut other_before) = (line + 1, None);
        for (column, (&other, pair)) in right.iter().zip(above.windows(2)).enumerate() {
            let &[diagonal, straight] = pair else { return None };
            let replaced = diagonal + usize::from(other != letter);
            let mut cell = replaced.min(straight + 1).min(before + 1);
            if other_before == Some(letter) && letter_above == Some(other) {
                let swapped = column.checked_sub(1).and_then(|column| two_above.get(column));
                cell = swapped.map_or(cell, |swapped| cell.min(swapped + 1));
            }
            row.push(cell);
            before = cell;
            other_before = Some(other);
        }
        if row.iter().chain(&above).min() > Some(&limit) {
            return None;
        }
        letter_above = Some(letter);
        two_above = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|&distance| distance <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let suggester = Suggester::new();
        let known = ["discord", "webhook", "log", "smtp"];
        for (found, expected) in [
            ("dicsord", Some("discord")),
            ("Discord", Some("discord")),
            ("webhooks", Some("webhook")),
            ("lgo", Some("log")),
            ("olg1", None),
            ("wbehoko", Some("webhook")),
            ("lo", Some("log")),
            ("telegram", None),
            ("", None),
        ] {
            assert_eq!(suggester.nearest(found, known), expected, "{found}");
        }
    }

    #[test]
    fn suggestions_stop_when_their_budget_is_spent() {
        let suggester = Suggester { comparisons_left: Cell::new(1) };
        assert_eq!(suggester.nearest("lo", ["log"]), Some("log"));
        assert_eq!(suggester.nearest("lo", ["log"]), None);
    }

    #[test]
    fn a_long_list_is_cut() {
        assert_eq!(listed([]), "none");
        assert_eq!(listed(["a", "b"]), "a, b");
        assert!(listed(std::iter::repeat_n("x", 19)).ends_with("x and 3 more"));
    }
}
