//! Signs as the host does, so that published test vectors hold in a channel's own tests.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::bindings::conductor::channel::secrets::{KeyEncoding, SecretError};

/// HMAC-SHA256 of `data`.
pub(super) fn hmac_sha256(
    secret: &str,
    encoding: KeyEncoding,
    data: &[u8],
) -> Result<Vec<u8>, SecretError> {
    let key = match encoding {
        KeyEncoding::Text => secret.as_bytes().to_vec(),
        KeyEncoding::Base64 => base64(secret)?,
        KeyEncoding::Whsec => base64(secret.trim().strip_prefix("whsec_").ok_or_else(|| {
            SecretError::Unusable("a Standard Webhooks secret begins with whsec_".to_owned())
        })?)?,
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(&key)
        .map_err(|error| SecretError::Unusable(error.to_string()))?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}

/// RFC 4648, section 4, with or without padding.
fn base64(text: &str) -> Result<Vec<u8>, SecretError> {
    let wrong = || SecretError::Unusable("it is not base64".to_owned());
    let mut bytes = Vec::new();
    let (mut bits, mut bits_held) = (0_u32, 0);
    for digit in text.trim().trim_end_matches('=').bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(wrong()),
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        bits_held += 6;
        if bits_held >= 8 {
            bits_held -= 8;
            bytes.push(u8::try_from(bits >> bits_held & 0xff).unwrap_or(0));
        }
    }
    Ok(bytes)
}
