//! Credentials, without the credential entering the plugin.

#[path = "secrets/jwt.rs"]
mod jwt;
#[path = "secrets/token_server.rs"]
mod token_server;

use std::{fmt, time::Duration};

use crate::{
    Failure, SendError,
    bindings::conductor::channel::secrets::{KeyEncoding, SecretError, SignatureAlgorithm},
    host,
};

pub use crate::bindings::conductor::channel::secrets::KeyEncoding as Encoding;
pub use jwt::Jwt;
pub use token_server::TokenServer;

/// A secret could not be used. Says its name, never its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Which secret.
    pub name: String,
    /// Why not.
    pub reason: SecretError,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.reason {
            SecretError::Unknown => write!(formatter, "this channel has no secret {name}"),
            SecretError::Denied => {
                write!(
                    formatter,
                    "the operator does not grant reading the secret {name}: plugins.toml, \
                     [plugin.grants] reveal"
                )
            }
            SecretError::Unusable(why) => {
                write!(formatter, "the secret {name} cannot be used: {why}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl Error {
    fn code(&self) -> &'static str {
        match self.reason {
            SecretError::Unknown => "missing_secret",
            SecretError::Denied => "secret_denied",
            SecretError::Unusable(_) => "unusable_secret",
        }
    }
}

impl From<Error> for SendError {
    fn from(error: Error) -> Self {
        Self::misconfigured(error.code(), error.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::configuration(error.code(), error.to_string())
    }
}

fn named<T>(name: &str, result: Result<T, SecretError>) -> Result<T, Error> {
    result.map_err(|reason| Error { name: name.to_owned(), reason })
}

/// A text that stands for the secret. Put it into a header, the URL or a JSON or form body: the
/// host replaces it as the request leaves for an origin that this secret may be sent to. It is
/// worthless anywhere else.
///
/// # Errors
/// When the channel has no such secret or the operator does not grant it.
pub fn placeholder(name: &str) -> Result<String, Error> {
    named(name, host::secrets::placeholder(name))
}

/// The same for an `authorization` header by RFC 7617: stands for "Basic …".
///
/// # Errors
/// As [`placeholder`].
pub fn basic_auth(username: &str, password_secret: &str) -> Result<String, Error> {
    named(password_secret, host::secrets::basic_auth(username, password_secret))
}

/// HMAC with SHA-256 of `data` under the secret; `encoding` says how the secret's text is turned
/// into key bytes.
///
/// # Errors
/// As [`placeholder`], and when the secret's text does not decode.
pub fn sign(name: &str, encoding: KeyEncoding, data: &[u8]) -> Result<Signature, Error> {
    named(name, host::secrets::sign(name, encoding, SignatureAlgorithm::HmacSha256, data))
        .map(Signature)
}

/// ECDSA on P-256 with SHA-256 of `data` under the private key (PKCS#8 in PEM) that is the secret: r
/// and s, as JSON Web Signatures have them. For a token, see [`Jwt`].
///
/// # Errors
/// As [`placeholder`], and when the secret is no such key.
pub fn sign_es256(name: &str, data: &[u8]) -> Result<Signature, Error> {
    named(name, host::secrets::sign(name, KeyEncoding::Pem, SignatureAlgorithm::Es256, data))
        .map(Signature)
}

/// RSASSA-PKCS1-v1_5 with SHA-256 of `data` under the private key (PKCS#8 in PEM) that is the
/// secret. For a token, see [`Jwt`].
///
/// # Errors
/// As [`placeholder`], and when the secret is no such key.
pub fn sign_rs256(name: &str, data: &[u8]) -> Result<Signature, Error> {
    named(name, host::secrets::sign(name, KeyEncoding::Pem, SignatureAlgorithm::Rs256, data))
        .map(Signature)
}

/// Hands a credential over that a provider gave in exchange for another, for example an access
/// token: from now on it is a secret of that name, for `ttl` (49 days at most), for all instances of
/// the channel. Answers its placeholder, as [`kept`] does until then.
///
/// # Errors
/// When the operator has configured a secret of that name, or it is too large or one too many.
pub fn keep(name: &str, value: &str, ttl: Duration) -> Result<String, Error> {
    let ttl_ms = u32::try_from(ttl.as_millis()).unwrap_or(u32::MAX);
    named(name, host::secrets::keep(name, value, ttl_ms))
}

/// The placeholder of a credential that was handed over by [`keep`], while its time lasts.
#[must_use]
pub fn kept(name: &str) -> Option<String> {
    host::secrets::placeholder(name).ok()
}

/// Ends the time of a kept credential: call it when the provider refuses it.
pub fn forget(name: &str) {
    host::secrets::forget(name);
}

/// The secret itself. Denied unless the operator sets `reveal` for this plugin: use
/// [`placeholder`] and [`sign`] wherever they do.
///
/// # Errors
/// As [`placeholder`].
pub fn reveal(name: &str) -> Result<String, Error> {
    named(name, host::secrets::reveal(name))
}

/// The bytes of a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature(pub Vec<u8>);

impl Signature {
    /// In base64 (RFC 4648, section 4), with padding.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let symbol = |index: u32| match u8::try_from(index & 63).unwrap_or(0) {
            value @ 0..=25 => char::from(b'A' + value),
            value @ 26..=51 => char::from(b'a' + value - 26),
            value @ 52..=61 => char::from(b'0' + value - 52),
            62 => '+',
            _ => '/',
        };
        let mut text = String::new();
        for group in self.0.chunks(3) {
            let byte = |index: usize| u32::from(group.get(index).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            text.push(symbol(bits >> 18));
            text.push(symbol(bits >> 12));
            text.push(if group.len() > 1 { symbol(bits >> 6) } else { '=' });
            text.push(if group.len() > 2 { symbol(bits) } else { '=' });
        }
        text
    }

    /// In lower-case hexadecimal.
    #[must_use]
    pub fn to_hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_passes_the_vectors_of_rfc_4648_section_10() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(Signature(bytes.into()).to_base64(), text);
        }
        assert_eq!(Signature(vec![0xfb, 0xff]).to_base64(), "+/8=");
        assert_eq!(Signature(vec![0x0a, 0xff]).to_hex(), "0aff");
    }
}
