use super::*;
use crate::{
    LengthUnit, Receipt, RetryScope, json,
    testing::{FakeHost, message},
    text,
};

const UNITS: [LengthUnit; 3] = [LengthUnit::Characters, LengthUnit::Utf16Units, LengthUnit::Bytes];

/// Texts that have it all, from a fixed seed: the same in every run.
pub(crate) fn texts(count: usize) -> impl Iterator<Item = String> {
    const PIECES: [&str; 24] = [
        "a",
        "word ",
        "é",
        "😀",
        "👩\u{200d}👧",
        "e\u{301}",
        "\n",
        "\n\n",
        "  ",
        ". ",
        "*b* ",
        "**",
        "_",
        "`c d` ",
        "[l](https://x.example/a b) ",
        "\n```rust\nlet x;\nlet y;\n```\n",
        "\n- item\n",
        "\n1. one\n2. two\n",
        "> quote\n",
        "# head\n",
        "~~s~~ ",
        "<b>",
        "\\",
        "🇩🇪",
    ];
    let mut seed: u64 = 0x2545_f491_4f6c_dd1d;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below as u64).unwrap()
    };
    std::iter::repeat_with(move || {
        let pieces = next(60);
        (0..pieces).map(|_| PIECES[next(PIECES.len())]).collect()
    })
    .take(count)
}

fn without_space(text: &str) -> String {
    text.split_whitespace().collect()
}

#[test]
fn the_parts_of_a_text_are_all_of_it_and_each_fits() {
    for text in texts(400) {
        for unit in UNITS {
            for length_max in [4, 9, 40] {
                match Overflow::Split.apply(&Plain::new(&text, unit), length_max) {
                    Ok(parts) => {
                        assert!(parts.iter().all(|part| text::length(part, unit) <= length_max));
                        assert!(
                            parts.len() == 1 || parts.iter().all(|part| !part.trim().is_empty())
                        );
                        assert_eq!(without_space(&parts.concat()), without_space(&text));
                    }
                    Err(error) => assert_eq!(error.problem().code, "too_long"),
                }
            }
        }
    }
}

#[test]
fn a_cut_text_fits_and_is_the_beginning() {
    for text in texts(400) {
        for unit in UNITS {
            let content = Plain::new(&text, unit).escaped(crate::markdown::escape);
            let parts = Overflow::Truncate.apply(&content, 30).unwrap();
            assert_eq!(parts.len(), 1);
            assert!(text::length(&parts[0], unit) <= 30, "{parts:?}");
            let kept = parts[0].strip_suffix('…').unwrap_or(&parts[0]);
            // Escaping looks at lines and words, so that a beginning escapes to a beginning.
            assert!(crate::markdown::escape(&text).starts_with(kept), "{text:?} {parts:?}");
        }
    }
}

#[test]
fn what_fits_is_sent_as_it_is_whatever_the_option_says() {
    for overflow in [Overflow::Reject, Overflow::Truncate, Overflow::Split] {
        let content = Plain::new("  a\n", LengthUnit::Characters);
        assert_eq!(overflow.apply(&content, 4).unwrap(), ["  a\n"]);
        let empty = Plain::new("", LengthUnit::Characters);
        assert_eq!(overflow.apply(&empty, 0).unwrap(), [""]);
    }
}

#[test]
fn what_does_not_fit_is_rejected_unless_the_option_says_otherwise() {
    let content = Plain::new("one two", LengthUnit::Characters);
    let error = Overflow::Reject.apply(&content, 6).unwrap_err();
    assert!(matches!(&error, SendError::Rejected(problem) if problem.code == "too_long"));
    assert!(error.problem().detail.contains("a length of 7"), "{error:?}");
    assert_eq!(Overflow::Truncate.apply(&content, 6).unwrap(), ["one…"]);
    assert_eq!(Overflow::Split.apply(&content, 6).unwrap(), ["one", "two"]);
    assert!(Overflow::Truncate.apply(&content, 0).is_err());
    assert!(Overflow::Split.apply(&content, 0).is_err());
}

#[test]
fn more_than_twenty_parts_are_too_many() {
    let text = "word ".repeat(PARTS_MAX);
    let content = Plain::new(&text, LengthUnit::Bytes);
    assert_eq!(Overflow::Split.apply(&content, 4).unwrap().len(), PARTS_MAX);
    let text = "word ".repeat(PARTS_MAX + 1);
    let content = Plain::new(&text, LengthUnit::Bytes);
    assert_eq!(Overflow::Split.apply(&content, 4).unwrap_err().problem().code, "too_long");
}

#[test]
fn the_option_is_one_of_three_words() {
    let read = |word: &str| serde_json::from_value::<Overflow>(json!(word)).ok();
    assert_eq!(read("reject"), Some(Overflow::default()));
    assert_eq!(read("truncate"), Some(Overflow::Truncate));
    assert_eq!(read("split"), Some(Overflow::Split));
    assert_eq!(read("cut"), None);
}

#[test]
fn an_attempt_goes_on_with_the_part_that_failed() {
    let _host = FakeHost::install();
    let message = message("x");
    let mut sent = Vec::new();
    let first = send_parts(&message, &["a", "b", "c"], |part, number| {
        if number == 1 {
            return Err(crate::Retry::new("busy", "not now").scope(RetryScope::Destination).into());
        }
        sent.push(*part);
        Ok(Receipt::delivered().provider_id(number.to_string()))
    });
    let SendError::Retry(retry) = first.unwrap_err() else { panic!("another kind") };
    assert_eq!(retry.problem.detail, "not now (part 2 of 3; 1 are out)");
    assert_eq!(retry.scope, RetryScope::Destination);

    let receipt = send_parts(&message, &["a", "b", "c"], |part, number| {
        sent.push(*part);
        Ok(Receipt::delivered().provider_id(number.to_string()))
    });
    assert_eq!(sent, ["a", "b", "c"]);
    assert_eq!(receipt.unwrap(), Receipt::delivered().detail("parts", 3).provider_id("0"));
}

#[test]
fn parts_are_accepted_if_one_of_them_is() {
    let _host = FakeHost::install();
    let message = message("x");
    let accepted_first = |_: &&str, number: usize| match number {
        0 => Ok(Receipt::accepted().provider_id("1")),
        _ => Ok(Receipt::delivered()),
    };
    let receipt = send_parts(&message, &["a", "b"], accepted_first).unwrap();
    assert_eq!(receipt, Receipt::accepted().provider_id("1").detail("parts", 2));
    // It is remembered from one attempt to the next.
    let fail_second = |_: &&str, number: usize| match number {
        0 => Ok(Receipt::accepted()),
        _ => Err(SendError::retry("busy", "not now")),
    };
    assert!(send_parts(&message, &["a", "b"], fail_second).is_err());
    let receipt = send_parts(&message, &["a", "b"], |_, _| Ok(Receipt::delivered())).unwrap();
    assert_eq!(receipt, Receipt::accepted().detail("parts", 2));
}

#[test]
fn what_cannot_be_sent_in_parts_is_cut_or_rejected() {
    let content = Plain::new("one two", LengthUnit::Characters);
    assert_eq!(Overflow::Split.apply_whole(&content, 6).unwrap(), "one…");
    assert_eq!(Overflow::Truncate.apply_whole(&content, 6).unwrap(), "one…");
    assert!(Overflow::Reject.apply_whole(&content, 6).is_err());
    assert_eq!(Overflow::Reject.apply_whole(&content, 7).unwrap(), "one two");
}

#[test]
fn a_message_of_one_part_keeps_nothing_and_a_replay_sends_all_again() {
    let _host = FakeHost::install();
    let mut message = message("x");
    let accepted = send_parts(&message, &["a"], |_, _| Ok(Receipt::accepted()));
    assert_eq!(accepted.unwrap(), Receipt::accepted());
    let fail_second = |_: &&str, number: usize| match number {
        0 => Ok(Receipt::delivered()),
        _ => Err(SendError::unknown("no_answer", "none")),
    };
    assert!(send_parts(&message, &["a", "b"], fail_second).is_err());
    message.delivery_key = message.delivery_key.replace(":0", ":1");
    let mut sent = 0;
    let replayed = send_parts(&message, &["a", "b"], |_, _| {
        sent += 1;
        Ok(Receipt::delivered())
    });
    assert!(replayed.is_ok());
    assert_eq!(sent, 2);
}
