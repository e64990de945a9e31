//! Types for options of channels that send mail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Mechanism, Tls};

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsOption {
    /// TLS from the first byte.
    #[default]
    Implicit,
    /// TLS by the command STARTTLS; a server without it is refused.
    Starttls,
    /// None: for a relay on the same machine or network, without a password. The operator has to
    /// grant it as such.
    Plaintext,
}

impl TlsOption {
    /// The port that submission usually has (RFC 8314; RFC 6409; RFC 5321).
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Implicit => 465,
            Self::Starttls => 587,
            Self::Plaintext => 25,
        }
    }
}

impl From<TlsOption> for Tls {
    fn from(option: TlsOption) -> Self {
        match option {
            TlsOption::Implicit => Self::Implicit,
            TlsOption::Starttls => Self::Starttls,
            TlsOption::Plaintext => Self::Plaintext,
        }
    }
}

/// How to authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MechanismOption {
    /// User name and password at once.
    #[default]
    Plain,
    /// One after the other: for servers that know nothing else.
    Login,
    /// With an OAuth 2.0 access token.
    Xoauth2,
}

impl From<MechanismOption> for Mechanism {
    fn from(option: MechanismOption) -> Self {
        match option {
            MechanismOption::Plain => Self::Plain,
            MechanismOption::Login => Self::Login,
            MechanismOption::Xoauth2 => Self::Xoauth2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_one_word_each() {
        let tls = |word: &str| serde_json::from_value::<TlsOption>(word.into()).ok();
        assert_eq!(tls("implicit"), Some(TlsOption::default()));
        assert_eq!(tls("starttls").map(TlsOption::usual_port), Some(587));
        assert_eq!(tls("plaintext").map(Tls::from), Some(Tls::Plaintext));
        assert_eq!(tls("none"), None);
        let mechanism = |word: &str| serde_json::from_value::<MechanismOption>(word.into()).ok();
        assert_eq!(mechanism("plain"), Some(MechanismOption::default()));
        assert_eq!(mechanism("xoauth2").map(Mechanism::from), Some(Mechanism::Xoauth2));
    }
}
