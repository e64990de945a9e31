//! JSON Web Tokens that the host makes, signs and renews. A signed token is a credential like the
//! key itself, only for a shorter time: so it stays here, and the plugin gets a placeholder for it.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use super::{KeyEncoding, SecretError, SignatureAlgorithm};
use crate::{clock::UnixMs, limits};

/// What a plugin says of a token (RFC 7519). The same words are the same token, until it is renewed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JwtRequest {
    /// How the secret's text becomes a key.
    pub encoding: KeyEncoding,
    /// How the token is signed.
    pub algorithm: SignatureAlgorithm,
    /// A JSON object: what the header has beside `alg`, and beside `typ` if that is to be `JWT`.
    pub header: String,
    /// A JSON object: the claims without `iat` and `exp`.
    pub claims: String,
    /// How long it is valid: `exp`. None: it says nothing about that.
    pub expires_after: Option<Duration>,
    /// For how long the same token is used. At least a second.
    pub renew_after: Duration,
}

/// A request that has been read: what it takes to make the token at any time.
pub(super) struct JwtPlan {
    header: String,
    claims: Map<String, Value>,
    expires_after: Option<Duration>,
}

impl JwtPlan {
    /// # Errors
    /// [`SecretError::Unusable`] that says which part is wrong.
    pub(super) fn new(request: &JwtRequest) -> Result<Self, SecretError> {
        let mut header = object("header", &request.header)?;
        let claims = object("claims", &request.claims)?;
        for (part, found, names) in
            [("header", &header, ["alg"].as_slice()), ("claims", &claims, &["iat", "exp"])]
        {
            if let Some(name) = names.iter().find(|name| found.contains_key(**name)) {
                return Err(unusable(format!(
                    "the token's {part} have \"{name}\", which is the host's to set: leave it out"
                )));
            }
        }
        if request.renew_after < Duration::from_secs(1) {
            return Err(unusable("the token is to be renewed after less than a second".to_owned()));
        }
        if request.expires_after.is_some_and(|expires| expires <= request.renew_after) {
            return Err(unusable(
                "the token would expire before it is renewed: renew-after-ms must be less than \
                 expires-after-ms"
                    .to_owned(),
            ));
        }
        header.insert("alg".to_owned(), request.algorithm.jose_name().into());
        header.entry("typ").or_insert_with(|| "JWT".into());
        let header = URL_SAFE_NO_PAD.encode(Value::Object(header).to_string());
        Ok(Self { header, claims, expires_after: request.expires_after })
    }

    /// The part that is signed (RFC 7515, section 5.1), made now.
    pub(super) fn signing_input(&self, now: UnixMs) -> String {
        let mut claims = self.claims.clone();
        claims.insert("iat".to_owned(), seconds(now).into());
        if let Some(expires_after) = self.expires_after {
            claims.insert("exp".to_owned(), seconds(now.after(expires_after)).into());
        }
        let claims = URL_SAFE_NO_PAD.encode(Value::Object(claims).to_string());
        format!("{}.{claims}", self.header)
    }
}

/// The whole token.
pub(super) fn compact(signing_input: &str, signature: &[u8]) -> String {
    format!("{signing_input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn seconds(at: UnixMs) -> i64 {
    at.0.div_euclid(1_000)
}

fn object(part: &str, text: &str) -> Result<Map<String, Value>, SecretError> {
    if text.len() > limits::JWT_PART_BYTES_MAX {
        return Err(unusable(format!(
            "the token's {part} have {} bytes and the host takes {} at most",
            text.len(),
            limits::JWT_PART_BYTES_MAX
        )));
    }
    // Not the parser's error: what was written may be a value that belongs elsewhere.
    serde_json::from_str(text)
        .map_err(|_| unusable(format!("the token's {part} are not a JSON object")))
}

fn unusable(why: String) -> SecretError {
    SecretError::Unusable(why)
}
