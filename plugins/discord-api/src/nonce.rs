//! The nonce by which Discord recognises a message that it already has
//! (<https://docs.discord.com/developers/resources/message#create-message>: at most 25 characters).

use conductor_sdk::{Message, overflow::PARTS_MAX};

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Holds any 128 bits: 62^22 > 2^128.
const UUID_DIGITS: usize = 22;
/// What is left of the 25 for the generation and the part's number: 62^3 of both, so that two nonces
/// are the same only after 11,900 replays of one message.
const GENERATION_DIGITS: usize = 3;

/// The same on every attempt at this part, another one on a replay and for every other part. A UUID
/// in its usual form is too long.
#[must_use]
pub fn of(message: &Message, part: usize) -> String {
    let (uuid, generation) = message.delivery_key_parts();
    let hex: String = uuid.chars().filter(char::is_ascii_hexdigit).collect();
    let uuid = u128::from_str_radix(&hex, 16).unwrap_or_default();
    let generation = generation.parse::<u32>().unwrap_or_default();
    let place = u128::from(generation) * PARTS_MAX as u128 + part as u128;
    base62(uuid, UUID_DIGITS) + &base62(place, GENERATION_DIGITS)
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
    use conductor_sdk::testing::message;

    use super::*;

    fn nonce_of_part(delivery_key: &str, part: usize) -> String {
        let mut message = message("");
        message.delivery_key = delivery_key.to_owned();
        of(&message, part)
    }

    fn nonce(delivery_key: &str) -> String {
        nonce_of_part(delivery_key, 0)
    }

    #[test]
    fn a_nonce_has_25_characters_at_most_and_keeps_every_bit() {
        let highest = nonce_of_part("ffffffff-ffff-ffff-ffff-ffffffffffff:11916", 7);
        // 2^128 - 1 in base 62.
        assert_eq!(highest, "7n42DGM5Tflk9n8mt7Fhc7zzz");
        assert_eq!(highest.len(), 25);
        assert_eq!(nonce("00000000-0000-0000-0000-00000000003e:0"), "0000000000000000000010000");
    }

    #[test]
    fn a_replay_and_every_part_have_another_nonce_and_a_retry_the_same() {
        let uuid = "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b";
        assert_eq!(nonce(&format!("{uuid}:1")), nonce(&format!("{uuid}:1")));
        assert_ne!(nonce(&format!("{uuid}:0")), nonce(&format!("{uuid}:1")));
        let parts: std::collections::BTreeSet<_> = (0..3)
            .flat_map(|generation| (0..PARTS_MAX).map(move |part| (generation, part)))
            .map(|(generation, part)| nonce_of_part(&format!("{uuid}:{generation}"), part))
            .collect();
        assert_eq!(parts.len(), 3 * PARTS_MAX);
        assert_ne!(
            nonce("0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6c:0"),
            nonce("0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:0")
        );
    }
}
