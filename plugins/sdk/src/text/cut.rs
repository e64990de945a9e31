//! Where a long text is best cut.

use std::ops::{Range, RangeInclusive};

use unicode_segmentation::GraphemeCursor;

/// A place to cut: the first part ends at `end`, the next one begins at `next`. What is between them
/// is the white space that the cut replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Byte offset behind the first part.
    pub end: usize,
    /// Byte offset of the next part.
    pub next: usize,
}

/// The cut that leaves as much of `text[range]` as `fits` in front of it, at the best place near
/// there: behind a paragraph, a line, a sentence or a word in the second half of what fits; else behind
/// the last word in its second quarter; else between two characters as readers see them (grapheme
/// clusters), and where one of these alone does not fit, between two `char`s. Only where `may_cut`
/// says so, as long as there is such a place.
///
/// `fits` must not fit more when there is less, within reason: it is found by halving.
///
/// None when not even one character fits, or when the range is empty or no range of `text`.
pub fn longest_cut(
    text: &str,
    range: Range<usize>,
    fits: impl Fn(Range<usize>) -> bool,
    may_cut: impl Fn(usize) -> bool,
) -> Option<Cut> {
    let part = text.get(range.clone())?;
    let end = longest_fit(part, |length| fits(range.start..range.start + length))?;
    if end == part.len() {
        return Some(Cut { end: range.end, next: range.end });
    }
    let at = |cut: Cut| Cut { end: range.start + cut.end, next: range.start + cut.next };
    let found = good_place(part, end / 2..=end, true, |place| may_cut(range.start + place))
        .or_else(|| good_place(part, end / 4..=end, false, |place| may_cut(range.start + place)))
        .or_else(|| last_cluster(part, end, |place| may_cut(range.start + place)))
        .or_else(|| last_cluster(part, end, |_| true))
        .unwrap_or(Cut { end, next: end });
    Some(at(found))
}

/// The longest beginning that fits, at a character's end; never empty. Looks at no beginning that is
/// much longer than it: measuring one takes as long as it is.
fn longest_fit(part: &str, fits: impl Fn(usize) -> bool) -> Option<usize> {
    const FIRST_LOOK_BYTES: usize = 1_024;
    let (mut fitting, mut too_long) = (0_usize, FIRST_LOOK_BYTES);
    while too_long < part.len() && fits(floor(part, too_long)) {
        fitting = floor(part, too_long);
        too_long *= 2;
    }
    if too_long >= part.len() {
        if part.is_empty() {
            return None;
        }
        if fits(part.len()) {
            return Some(part.len());
        }
        too_long = part.len();
    }
    too_long = floor(part, too_long);
    loop {
        let middle = floor(part, fitting.midpoint(too_long));
        let middle = if middle > fitting { middle } else { after(part, fitting) };
        if middle >= too_long {
            return (fitting > 0).then_some(fitting);
        }
        if fits(middle) {
            fitting = middle;
        } else {
            too_long = middle;
        }
    }
}

/// The last boundary of a character that is not behind `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// The end of the character that begins at `at`.
fn after(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(at, |next| at + next.len_utf8())
}

/// The last of the best places in `within`, or the last of all if they are not to be `ranked`.
fn good_place(
    part: &str,
    within: RangeInclusive<usize>,
    ranked: bool,
    may_cut: impl Fn(usize) -> bool,
) -> Option<Cut> {
    let mut best: Option<(Rank, Cut)> = None;
    let mut characters = part.char_indices().peekable();
    let mut before = None;
    while let Some((at, character)) = characters.next() {
        if at > *within.end() {
            break;
        }
        if !character.is_whitespace() {
            before = Some(character);
            continue;
        }
        // A run of white space is one place.
        let (mut lines, mut next) = (0, at);
        let mut here = (at, character);
        loop {
            if here.1 == '\n' {
                lines += 1;
                // The white space behind the last line break indents the next line: it stays.
                next = here.0 + 1;
            }
            let Some(more) = characters.next_if(|(_, more)| more.is_whitespace()) else { break };
            here = more;
        }
        if lines == 0 {
            next = here.0 + here.1.len_utf8();
        }
        let rank = match (lines, before) {
            (2.., _) => Rank::Paragraph,
            (1, _) => Rank::Line,
            (_, Some('.' | '!' | '?' | '…')) => Rank::Sentence,
            _ => Rank::Word,
        };
        let cut = Cut { end: at, next };
        let is_place = before.is_some() && within.contains(&at);
        if is_place
            && best.is_none_or(|(found, _)| !ranked || rank >= found)
            && may_cut(cut.end)
            && may_cut(cut.next)
        {
            best = Some((rank, cut));
        }
    }
    best.map(|(_, cut)| cut)
}

/// How good a place is, the best last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Word,
    Sentence,
    Line,
    Paragraph,
}

/// The last boundary between two grapheme clusters that is not behind `end` and is allowed.
fn last_cluster(part: &str, end: usize, may_cut: impl Fn(usize) -> bool) -> Option<Cut> {
    let mut cursor = GraphemeCursor::new(end, part.len(), true);
    let mut at = match cursor.is_boundary(part, 0) {
        Ok(true) => Some(end),
        _ => cursor.prev_boundary(part, 0).ok().flatten(),
    };
    while let Some(place) = at.filter(|place| *place > 0) {
        if may_cut(place) {
            let end = part.get(..place).map_or(place, |before| before.trim_end().len());
            return Some(Cut { end: if end == 0 { place } else { end }, next: place });
        }
        at = cursor.prev_boundary(part, 0).ok().flatten();
    }
    None
}
