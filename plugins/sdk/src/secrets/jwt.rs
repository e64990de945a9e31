//! Tokens that the host signs.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Error, KeyEncoding, named};
use crate::{
    bindings::conductor::channel::secrets::{JwtRequest, SignatureAlgorithm},
    host,
};

/// How long a token is used unless the channel says otherwise. Apple wants between 20 and 60
/// minutes.
const RENEW_AFTER: Duration = Duration::from_secs(30 * 60);

/// A JSON Web Token (RFC 7519) that the host makes, signs and renews. The token itself, a credential
/// like the key, does not enter the plugin: it gets a text that stands for it.
///
/// ```no_run
/// # fn example() -> Result<(), conductor_sdk::SendError> {
/// # let (key_id, team_id) = ("ABC123DEFG", "DEF123GHIJ");
/// use conductor_sdk::{http, secrets::Jwt};
///
/// let token = Jwt::es256("PRIVATE_KEY")
///     .header("kid", key_id)
///     .claim("iss", team_id)
///     .placeholder()?;
/// let request = http::post("https://api.push.apple.com/3/device/00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0")
///     .header("authorization", format!("bearer {token}"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    key: String,
    encoding: KeyEncoding,
    algorithm: SignatureAlgorithm,
    header: Map<String, Value>,
    claims: Map<String, Value>,
    expires_after: Option<Duration>,
    renew_after: Option<Duration>,
}

impl Jwt {
    /// Signed with the P-256 key (PKCS#8 in PEM) that is the secret `key`.
    #[must_use]
    pub fn es256(key: &str) -> Self {
        Self::new(key, KeyEncoding::Pem, SignatureAlgorithm::Es256)
    }

    /// Signed with the RSA key (PKCS#8 in PEM) that is the secret `key`.
    #[must_use]
    pub fn rs256(key: &str) -> Self {
        Self::new(key, KeyEncoding::Pem, SignatureAlgorithm::Rs256)
    }

    /// Signed with the shared secret `key`.
    #[must_use]
    pub fn hs256(key: &str, encoding: KeyEncoding) -> Self {
        Self::new(key, encoding, SignatureAlgorithm::HmacSha256)
    }

    fn new(key: &str, encoding: KeyEncoding, algorithm: SignatureAlgorithm) -> Self {
        Self {
            key: key.to_owned(),
            encoding,
            algorithm,
            header: Map::new(),
            claims: Map::new(),
            expires_after: None,
            renew_after: None,
        }
    }

    /// Adds a member to the header, for example `kid`. `alg` and `typ` are there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a claim. `iat` and `exp` are the host's to set.
    #[must_use]
    pub fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// How long a token is valid: its `exp`. Without it the token has none.
    #[must_use]
    pub fn expires_after(mut self, duration: Duration) -> Self {
        self.expires_after = Some(duration);
        self
    }

    /// How long one token is used before the host signs the next: a second at least. Half of its
    /// life if that is said, half an hour at most, unless set here.
    #[must_use]
    pub fn renew_after(mut self, duration: Duration) -> Self {
        self.renew_after = Some(duration);
        self
    }

    /// A text that stands for the token, as [`secrets::placeholder`](super::placeholder) does for a
    /// secret. The same words always have the same text; asking again costs nothing.
    ///
    /// # Errors
    /// When the channel has no such secret, or it is no key of that kind.
    pub fn placeholder(&self) -> Result<String, Error> {
        let milliseconds =
            |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let half = self.expires_after.map_or(RENEW_AFTER, |life| (life / 2).min(RENEW_AFTER));
        let request = JwtRequest {
            encoding: self.encoding,
            algorithm: self.algorithm,
            header: Value::Object(self.header.clone()).to_string(),
            claims: Value::Object(self.claims.clone()).to_string(),
            expires_after_ms: self.expires_after.map(milliseconds),
            renew_after_ms: milliseconds(self.renew_after.unwrap_or(half)),
        };
        named(&self.key, host::secrets::jwt(&self.key, &request))
    }
}
