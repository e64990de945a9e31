//! The only way out of the sandbox. A byte leaves when the plugin asks for the origin, the operator
//! grants it, and the address that the name resolves to at the moment of connecting is allowed.
//!
//! `fetch` is the door: it judges a request (`request`, `policy`, `guard`), puts the secrets in
//! (`secrets`, `signing`, `jwt`, `derived`, `substitute`, `escape`), sends it over a pooled
//! connection (`client`, `resolve`, `wire`) and takes secrets out of whatever comes back (`scrub`).
//! `smtp` is the same for mail.

mod address;
mod client;
mod denial;
mod derived;
mod error;
mod escape;
mod fetch;
mod guard;
mod jwt;
mod pattern;
mod policy;
mod request;
mod resolve;
mod scrub;
mod secrets;
mod signing;
mod smtp;
mod substitute;
#[cfg(test)]
mod tests;
mod wire;

pub use address::{AddressRange, AddressRangeError};
pub use client::TlsSetupError;
pub use denial::{Denial, DenialReason, Tell};
pub use error::FetchError;
pub use fetch::{BindingEgress, Egress, EgressCount};
pub use guard::{AddressDenied, AddressGuard};
pub use jwt::JwtRequest;
pub use pattern::{HostPattern, HostPatternError};
pub use policy::{Denied, EgressPolicy};
pub use request::parse_url;
pub use secrets::{SecretError, Vault};
pub use signing::{KeyEncoding, SignatureAlgorithm};
pub use smtp::{
    Acceptance, Credentials, Mechanism, Phase, Refusal, Reply, Server, SmtpError, Submission, Tls,
};
