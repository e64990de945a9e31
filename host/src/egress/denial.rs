//! What the host did not let out, and why: a closed list of reasons, for metrics and events.

use super::FetchError;

/// Why a request was refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DenialReason {
    /// The plugin's manifest does not ask for the origin.
    NotAsked,
    /// The operator does not grant the host.
    NotGranted,
    /// The host is asked for or granted, but by another scheme; or the scheme is none of HTTP's.
    Scheme,
    /// The host is asked for or granted, but at another port.
    Port,
    /// The address policy denies what the name leads to.
    Address,
    /// A secret would go to an origin that it is not granted for.
    Secret,
    /// A method that no plugin may use.
    Method,
    /// A header that is the host's to set, or a value that no header can have.
    Header,
    /// The URL, the headers or the body are too large.
    Size,
    /// It is no HTTP request.
    Malformed,
}

impl DenialReason {
    /// Every one.
    pub const ALL: [Self; 10] = [
        Self::NotAsked,
        Self::NotGranted,
        Self::Scheme,
        Self::Port,
        Self::Address,
        Self::Secret,
        Self::Method,
        Self::Header,
        Self::Size,
        Self::Malformed,
    ];

    /// The word for metrics and events.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotAsked => "not_asked",
            Self::NotGranted => "not_granted",
            Self::Scheme => "scheme",
            Self::Port => "port",
            Self::Address => "address",
            Self::Secret => "secret",
            Self::Method => "method",
            Self::Header => "header",
            Self::Size => "size",
            Self::Malformed => "malformed",
        }
    }
}

/// A request that was refused, or would have been.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denial {
    /// Why.
    pub reason: DenialReason,
    /// The origin that it was for, if it had one. Never a path or a query.
    pub origin: Option<String>,
    /// The name of the secret that was to go there ([`DenialReason::Secret`]).
    pub secret: Option<String>,
    /// Whether `[plugin.grants]` lacks it, in which case the operator may want to add it.
    pub lacks_grant: bool,
    /// False: it went out all the same, since the grants are in the mode `report-only`.
    pub enforced: bool,
}

/// Who hears of denials as they happen, and must not wait.
pub type Tell<'a> = &'a (dyn Fn(Denial) + Sync);

/// A denial on its way to the plugin.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) reason: DenialReason,
    pub(super) secret: Option<String>,
    pub(super) lacks_grant: bool,
    pub(super) error: FetchError,
}

impl Refused {
    pub(super) fn new(reason: DenialReason, error: FetchError) -> Self {
        Self { reason, secret: None, lacks_grant: false, error }
    }

    pub(super) fn invalid(reason: DenialReason, why: impl Into<String>) -> Self {
        Self::new(reason, FetchError::Invalid(why.into()))
    }
}

impl From<Refused> for FetchError {
    fn from(refused: Refused) -> Self {
        refused.error
    }
}
