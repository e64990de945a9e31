//! Why a request has no answer. The cases differ in what the provider may have seen, because that
//! decides whether it may be sent again.

/// Why there is no response. Every text is free of secrets and of the URL's path and query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The request cannot be sent as it is. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// The policy refuses the origin or the address. Nothing was sent.
    #[error("{0}")]
    Denied(String),
    /// The request would carry a secret to an origin that it is not granted for. Nothing was sent.
    /// Apart from [`FetchError::Denied`] because it is worth an alarm.
    #[error("{0}")]
    SecretDenied(String),
    /// The name, the connection or TLS failed, or the time was over before. Nothing was sent.
    #[error("{0}")]
    Unreachable(String),
    /// The request went out, at least in part, and no complete answer came.
    #[error("{0}")]
    NoAnswer(String),
    /// An answer came and is larger than the host takes.
    #[error("{0}")]
    TooLarge(String),
}

impl FetchError {
    /// Whether it is certain that the provider has seen nothing.
    #[must_use]
    pub const fn nothing_sent(&self) -> bool {
        match self {
            Self::Invalid(_) | Self::Denied(_) | Self::SecretDenied(_) | Self::Unreachable(_) => {
                true
            }
            Self::NoAnswer(_) | Self::TooLarge(_) => false,
        }
    }

    /// The same with its text passed through `change`.
    pub(super) fn map_text(self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Invalid(text) => Self::Invalid(change(&text)),
            Self::Denied(text) => Self::Denied(change(&text)),
            Self::SecretDenied(text) => Self::SecretDenied(change(&text)),
            Self::Unreachable(text) => Self::Unreachable(change(&text)),
            Self::NoAnswer(text) => Self::NoAnswer(change(&text)),
            Self::TooLarge(text) => Self::TooLarge(change(&text)),
        }
    }
}
