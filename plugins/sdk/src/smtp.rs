//! Outbound e-mail: hands one finished message to a submission server. The host owns the
//! connection, TLS and authentication.
//!
//! Only servers that the manifest asks for (`Manifest::mail_server`) *and* the operator grants can
//! be reached.

mod address;
mod options;

use std::time::Duration;

use crate::{
    Retry, RetryScope, SendError, bindings::conductor::channel::smtp as wit, host, http::budget,
    time,
};

pub use address::{Mailbox, check_address, parse_addresses};
pub use options::{MechanismOption, TlsOption};
pub use wit::{Acceptance, Mechanism, Phase, Refusal, Reply, SmtpError, Tls};

/// A submission server, built step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(wit::Server);

impl Server {
    /// Without authentication unless [`credentials`](Self::credentials) are added.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16, tls: Tls) -> Self {
        Self(wit::Server { host: host.into(), port, tls, credentials: None })
    }

    /// Authenticates as `username`. `password_secret` is the *name* of the secret.
    #[must_use]
    pub fn credentials(
        mut self,
        mechanism: Mechanism,
        username: impl Into<String>,
        password_secret: impl Into<String>,
    ) -> Self {
        self.0.credentials = Some(wit::Credentials {
            mechanism,
            username: username.into(),
            password_secret: password_secret.into(),
        });
        self
    }

    /// Connects and authenticates, within `limit`, and sends nothing. For `health`, which has a
    /// second.
    ///
    /// # Errors
    /// As [`Submission::submit`].
    pub fn check(&self, limit: Duration) -> Result<(), SmtpError> {
        host::smtp::check(&self.0, Some(time::millis_ceil(limit)))
    }
}

/// One message and its envelope, built step by step.
///
/// ```no_run
/// # fn example(server: &conductor_sdk::smtp::Server) -> Result<(), conductor_sdk::SendError> {
/// use conductor_sdk::smtp::Submission;
///
/// let message = "From: a@b.example\r\nTo: c@d.example\r\nSubject: hello\r\n\r\nhello\r\n";
/// let taken = Submission::new(server, "a@b.example", message).to("c@d.example").submit()?;
/// conductor_sdk::debug!("{}", taken.reply.text);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before `submit`"]
pub struct Submission(wit::Submission);

impl Submission {
    /// From `sender`, to nobody yet. `message` is RFC 5322 with CR LF at the ends of lines.
    pub fn new(server: &Server, sender: impl Into<String>, message: impl Into<Vec<u8>>) -> Self {
        Self(wit::Submission {
            server: server.0.clone(),
            sender: sender.into(),
            recipients: Vec::new(),
            all_recipients: true,
            message: message.into(),
            timeout_ms: None,
        })
    }

    /// To this address too.
    pub fn to(mut self, recipient: impl Into<String>) -> Self {
        self.0.recipients.push(recipient.into());
        self
    }

    /// Also when the server refuses some of the recipients; the [`Acceptance`] names them. Without
    /// this the message goes to all or to none.
    pub fn to_some(mut self) -> Self {
        self.0.all_recipients = false;
        self
    }

    /// A time limit. Without one it is what is left of the call's own, a little shortened, so that
    /// a slow server is an answer to the channel and not the end of it.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.0.timeout_ms = Some(time::millis_ceil(limit));
        self
    }

    /// Hands the message over.
    ///
    /// # Errors
    /// When the server has not taken it, as far as is known. `?` turns the error into the
    /// [`SendError`] that fits.
    pub fn submit(mut self) -> Result<Acceptance, SmtpError> {
        if self.0.timeout_ms.is_none() {
            self.0.timeout_ms = budget::left().map(time::millis_ceil);
        }
        host::smtp::submit(&self.0)
    }
}

impl Refusal {
    /// A stable word for programs: the server's codes, or what it is about.
    #[must_use]
    pub fn code(&self) -> String {
        match &self.reply {
            Some(Reply { code, enhanced: Some(enhanced), .. }) => format!("{code} {enhanced}"),
            Some(reply) => reply.code.to_string(),
            None => "not_offered".to_owned(),
        }
    }

    /// What it means for the message:
    ///
    /// | reply | outcome |
    /// |---|---|
    /// | 530, 534, 535, 538 and every other 5yz to the credentials | misconfigured |
    /// | 421, and 4yz to the connection | retry, everything for this provider |
    /// | 4yz to the credentials | retry, everything with this credential |
    /// | 450, 451, 452 to a recipient | retry, everything for this destination |
    /// | any other 4yz | retry |
    /// | any other 5yz, and what the server's greeting ruled out | rejected |
    #[must_use]
    pub fn outcome(&self) -> SendError {
        let (code, detail) = (self.code(), self.detail.as_str());
        let retry = |scope| Retry::new(&code, detail).scope(scope).into();
        match (self.reply.as_ref().map(|reply| reply.code), self.phase) {
            (Some(421), _) | (Some(400..=499), Phase::Connection) => retry(RetryScope::Provider),
            (Some(400..=499), Phase::Authentication) => retry(RetryScope::Credential),
            (Some(450..=452), Phase::Recipient) => retry(RetryScope::Destination),
            (Some(400..=499), _) => retry(RetryScope::Message),
            // "Authentication required", too weak, wrong, "encryption required" (RFC 4954).
            (Some(530 | 534 | 535 | 538), _) | (_, Phase::Authentication) => {
                SendError::misconfigured(code, detail)
            }
            // The server refuses whom the channel is, or where it comes from, not the message.
            (_, Phase::Connection) => SendError::misconfigured(code, detail),
            _ => SendError::rejected(code, detail),
        }
    }
}

impl From<SmtpError> for SendError {
    fn from(error: SmtpError) -> Self {
        match error {
            SmtpError::Invalid(why) => Self::rejected("invalid_message", why),
            SmtpError::Denied(why) => Self::misconfigured("denied", why),
            SmtpError::Unreachable(why) => Self::retry("unreachable", why),
            // A certificate is renewed, and somebody in the middle goes away: nothing of that is the
            // message's fault, and nothing is the channel's alone.
            SmtpError::TlsFailed(why) => {
                Retry::new("tls_failed", why).scope(RetryScope::Credential).into()
            }
            SmtpError::AuthFailed(refusal) | SmtpError::Rejected(refusal) => refusal.outcome(),
            SmtpError::NoAnswer(why) => Self::unknown("no_answer", why),
        }
    }
}

#[cfg(test)]
mod tests;
