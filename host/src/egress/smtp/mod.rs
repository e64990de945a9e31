//! Mail: one finished message, handed to a submission server (RFC 6409) over a connection that the
//! host makes, protects and keeps.
//!
//! `door` is the way in and judges as `fetch` does: asked for, granted, the secret allowed there.
//! `checks` reads the message and its addresses, `connect` makes a connection (name, address policy,
//! TLS, EHLO), `auth` answers for the secret, `transaction` is one message, `pool` keeps connections,
//! `client` is the protocol's lines.
//!
//! The lines of the protocol are written here, and what a server answers is read by `smtp-proto`.
//! Of the clients there are, `lettre` keeps its read buffer when TLS begins, so that what somebody
//! put behind the answer to STARTTLS in plaintext is read as the server's under TLS (CVE-2011-0411
//! is its name in servers), and its errors do not tell whether the message's end had been sent;
//! `mail-send` drops what stands behind a reply. Both decide here whether a message may be repeated.

mod auth;
mod checks;
mod client;
mod connect;
mod door;
mod origin;
mod pool;
mod transaction;
mod types;

pub use types::{
    Acceptance, Credentials, Mechanism, Phase, Refusal, Reply, Server, SmtpError, Submission, Tls,
};

pub(super) use origin::Origin;
pub(super) use pool::Connections;
