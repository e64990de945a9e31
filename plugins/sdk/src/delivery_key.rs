//! Keys by which a provider, or somebody who reads, recognises a message that is already there.

use crate::{Message, overflow::PARTS_MAX};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Holds any 128 bits: 62^22 > 2^128.
const UUID_DIGITS: usize = 22;
/// For the generation and the part's number: 62^3 of both, so that two keys are the same only after
/// 11,900 replays of one message.
const GENERATION_DIGITS: usize = 3;

impl Message {
    /// The delivery key for one part of the message: the same on every attempt at this part, another
    /// one on a replay and for every other part. That of the first part is the delivery key itself;
    /// it has at most 51 characters from `0-9`, `a-f`, `:` and `-`.
    #[must_use]
    pub fn part_key(&self, part: usize) -> String {
        match part {
            0 => self.delivery_key.clone(),
            part => format!("{}-{part}", self.delivery_key),
        }
    }

    /// The same in 25 letters and digits, for a provider that takes no more.
    #[must_use]
    pub fn short_part_key(&self, part: usize) -> String {
        let (uuid, generation) = self.delivery_key_parts();
        let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
        let uuid = u128::from_str_radix(&hex, 16).unwrap_or_default();
        let generation = generation.parse::<u32>().unwrap_or_default();
        let place = u128::from(generation) * PARTS_MAX as u128 + part as u128;
        base62(uuid, UUID_DIGITS) + &base62(place, GENERATION_DIGITS)
    }
}

/// The last `digits` digits of `value`.
fn base62(mut value: u128, digits: usize) -> String {
    let mut text = vec![b'0'; digits];
    for place in text.iter_mut().rev() {
        let digit = usize::try_from(value % 62).unwrap_or_default();
        *place = DIGITS.get(digit).copied().unwrap_or(b'0');
        value /= 62;
    }
    text.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::message;

    use super::*;

    fn with_key(delivery_key: &str) -> Message {
        let mut message = message("");
        message.delivery_key = delivery_key.to_owned();
        message
    }

    fn short(delivery_key: &str, part: usize) -> String {
        with_key(delivery_key).short_part_key(part)
    }

    #[test]
    fn a_part_has_its_number_and_the_first_one_none() {
        let message = with_key("0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:2");
        assert_eq!(message.part_key(0), message.delivery_key);
        assert_eq!(message.part_key(19), "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:2-19");
    }

    #[test]
    fn a_short_key_has_25_characters_at_most_and_keeps_every_bit() {
        let highest = short("ffffffff-ffff-ffff-ffff-ffffffffffff:11916", 7);
        // 2^128 - 1 in base 62.
        assert_eq!(highest, "7n42DGM5Tflk9n8mt7Fhc7zzz");
        assert_eq!(highest.len(), 25);
        assert_eq!(short("00000000-0000-0000-0000-00000000003e:0", 0), "0000000000000000000010000");
    }

    #[test]
    fn a_replay_and_every_part_have_another_key_and_a_retry_the_same() {
        let uuid = "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b";
        assert_eq!(short(&format!("{uuid}:1"), 0), short(&format!("{uuid}:1"), 0));
        assert_ne!(short(&format!("{uuid}:0"), 0), short(&format!("{uuid}:1"), 0));
        let places =
            (0..3).flat_map(|generation| (0..PARTS_MAX).map(move |part| (generation, part)));
        let keys: std::collections::BTreeSet<_> =
            places.map(|(generation, part)| short(&format!("{uuid}:{generation}"), part)).collect();
        assert_eq!(keys.len(), 3 * PARTS_MAX);
        assert_ne!(
            short("0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6c:0", 0),
            short("0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:0", 0)
        );
    }
}
