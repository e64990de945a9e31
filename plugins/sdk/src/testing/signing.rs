//! Signs as the host does, so that published test vectors hold in a channel's own tests.

use hmac::{Hmac, Mac};
use sha2::Sha256;

use serde_json::{Map, Value};

use crate::bindings::conductor::channel::secrets::{
    JwtRequest, KeyEncoding, SecretError, SignatureAlgorithm,
};

/// Signs. With a private key the signature has the right length and depends on key and data, and
/// is no real one: whether a provider takes those is the host's business and tested there.
pub(super) fn sign(
    secret: &str,
    encoding: KeyEncoding,
    algorithm: SignatureAlgorithm,
    data: &[u8],
) -> Result<Vec<u8>, SecretError> {
    let repeated = match (algorithm, encoding) {
        (SignatureAlgorithm::HmacSha256, KeyEncoding::Pem) => return Err(wrong_encoding()),
        (SignatureAlgorithm::HmacSha256, _) => return hmac_sha256(secret, encoding, data),
        (SignatureAlgorithm::Es256, KeyEncoding::Pem) => 2,
        (SignatureAlgorithm::Rs256, KeyEncoding::Pem) => 8,
        _ => return Err(wrong_encoding()),
    };
    Ok(hmac_sha256(secret, KeyEncoding::Text, data)?.repeat(repeated))
}

fn wrong_encoding() -> SecretError {
    SecretError::Unusable("this algorithm takes another key encoding".to_owned())
}

/// A token that the channel asked the host to sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedJwt {
    /// The secret that it is signed with.
    pub secret: String,
    /// What the channel adds to the header.
    pub header: Map<String, Value>,
    /// The claims beside `iat` and `exp`.
    pub claims: Map<String, Value>,
    /// How long it is valid, in milliseconds.
    pub expires_after_ms: Option<u32>,
    /// How long it is used, in milliseconds.
    pub renew_after_ms: u32,
}

impl RequestedJwt {
    pub(super) fn read(secret: &str, request: &JwtRequest) -> Result<Self, SecretError> {
        let object = |text: &str| {
            serde_json::from_str::<Map<String, Value>>(text)
                .map_err(|error| SecretError::Unusable(format!("no JSON object: {error}")))
        };
        let (header, claims) = (object(&request.header)?, object(&request.claims)?);
        let is_the_hosts = |name: &&str| header.contains_key(*name) || claims.contains_key(*name);
        if let Some(name) = ["alg", "iat", "exp"].iter().find(|name| is_the_hosts(name)) {
            return Err(SecretError::Unusable(format!("\"{name}\" is the host's to set")));
        }
        let life = request.expires_after_ms.unwrap_or(u32::MAX);
        if request.renew_after_ms < 1_000 || request.renew_after_ms >= life {
            let why = "renew-after-ms must be 1,000 at least and less than expires-after-ms";
            return Err(SecretError::Unusable(why.to_owned()));
        }
        Ok(Self {
            secret: secret.to_owned(),
            header,
            claims,
            expires_after_ms: request.expires_after_ms,
            renew_after_ms: request.renew_after_ms,
        })
    }
}

/// HMAC-SHA256 of `data`.
fn hmac_sha256(secret: &str, encoding: KeyEncoding, data: &[u8]) -> Result<Vec<u8>, SecretError> {
    let key = match encoding {
        KeyEncoding::Text | KeyEncoding::Pem => secret.as_bytes().to_vec(),
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
