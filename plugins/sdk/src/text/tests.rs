use std::ops::Range;

use super::*;

const UNITS: [LengthUnit; 3] = [LengthUnit::Characters, LengthUnit::Utf16Units, LengthUnit::Bytes];

#[test]
fn a_text_that_fits_is_left_alone() {
    assert_eq!(truncate("déjà", 4, LengthUnit::Characters), "déjà");
    assert_eq!(truncate("", 0, LengthUnit::Bytes), "");
}

#[test]
fn a_cut_never_exceeds_the_limit_and_never_splits_a_character() {
    let text = "a😀é…z".repeat(20);
    for unit in UNITS {
        for length_max in 0..60 {
            let cut = truncate(&text, length_max, unit);
            assert!(length(&cut, unit) <= length_max, "{unit:?} {length_max}");
            assert!(cut.is_empty() || cut.ends_with('…'), "{cut}");
        }
    }
}

#[test]
fn what_a_reader_takes_for_one_character_stays_whole() {
    let family = "👩\u{200d}👩\u{200d}👧";
    let text = format!("{family}{family}");
    assert_eq!(truncate(&text, 6, LengthUnit::Characters), format!("{family}…"));
    assert_eq!(truncate(&text, 5, LengthUnit::Characters), "…");
    let accents = "e\u{301}".repeat(4);
    assert_eq!(truncate(&accents, 4, LengthUnit::Characters), "e\u{301}…");
}

#[test]
fn an_emoji_counts_differently_in_each_unit() {
    assert_eq!(length("😀", LengthUnit::Characters), 1);
    assert_eq!(length("😀", LengthUnit::Utf16Units), 2);
    assert_eq!(length("😀", LengthUnit::Bytes), 4);
}

/// The first part and the rest, for a limit in characters.
fn cut(text: &str, room: usize) -> (&str, &str) {
    let fits = |range: Range<usize>| length(&text[range], LengthUnit::Characters) <= room;
    let found = longest_cut(text, 0..text.len(), fits, |_| true).unwrap();
    (&text[..found.end], &text[found.next..])
}

#[test]
fn a_cut_is_behind_a_paragraph_a_line_a_sentence_or_a_word() {
    assert_eq!(cut("one two\n\nthree. four", 14), ("one two", "three. four"));
    assert_eq!(cut("one two. x\n  three four", 17), ("one two. x", "  three four"));
    assert_eq!(cut("one two. three four", 17), ("one two.", "three four"));
    assert_eq!(cut("one two three four", 17), ("one two three", "four"));
    // Too near the beginning.
    assert_eq!(cut("a\n\nbbbb cccc dddd", 11), ("a\n\nbbbb", "cccc dddd"));
    assert_eq!(cut("aa\n\nb https://x.example/", 14), ("aa\n\nb", "https://x.example/"));
    assert_eq!(cut("aaaaaaaa", 3), ("aaa", "aaaaa"));
    assert_eq!(cut("aaa   ", 3), ("aaa", ""));
    assert_eq!(cut("aaa", 3), ("aaa", ""));
}

#[test]
fn a_place_that_is_not_allowed_is_passed_over_while_there_is_another() {
    let fits = |range: Range<usize>| range.len() <= 9;
    let text = "aaaa bbbb cccc";
    let found = longest_cut(text, 0..text.len(), fits, |at| at <= 5).unwrap();
    assert_eq!(found, Cut { end: 4, next: 5 });
    let found = longest_cut(text, 0..text.len(), fits, |at| at == 3).unwrap();
    assert_eq!(found, Cut { end: 3, next: 3 });
    let found = longest_cut(text, 0..text.len(), fits, |_| false).unwrap();
    assert_eq!(found, Cut { end: 9, next: 9 });
}

#[test]
fn there_is_no_cut_where_nothing_fits() {
    assert_eq!(longest_cut("é", 0..2, |range| range.is_empty(), |_| true), None);
    assert_eq!(longest_cut("é", 0..0, |_| true, |_| true), None);
    assert_eq!(longest_cut("é", 0..9, |_| true, |_| true), None);
    assert_eq!(one_line(" a\n b  c "), "a b c");
}

#[test]
fn a_mention_of_everybody_is_put_out_of_action_and_no_other() {
    let names = ["all", "here"];
    assert_eq!(
        without_mentions("@all @Here: a@b.example", &names),
        "@\u{200b}all @\u{200b}Here: a@b.example"
    );
    assert_eq!(without_mentions("@ada @ @é", &names), "@ada @ @é");
}

#[test]
fn an_excerpt_is_one_short_line() {
    assert_eq!(excerpt("a\n b"), "a b");
    assert_eq!(excerpt(&"é".repeat(400)).chars().count(), 300);
}

#[test]
fn a_number_with_its_country_has_up_to_15_digits_and_begins_with_none_of_zero() {
    for right in ["15550100", "49", "441234567890123"] {
        assert!(is_international_number(right), "{right}");
    }
    for wrong in ["", "1", "+15550100", "015550100", "1555 0100", "4412345678901234", "\u{661}23"] {
        assert!(!is_international_number(wrong), "{wrong}");
    }
}
