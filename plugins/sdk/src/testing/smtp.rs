//! Scripted answers of a mail server, and recorded submissions.

use crate::{
    bindings::conductor::channel::smtp as wit,
    smtp::{Acceptance, Phase, Refusal, Reply, Tls},
};

/// A server's yes, for [`FakeHost::accept_mail`](super::FakeHost::accept_mail).
#[must_use]
pub fn accepted(text: &str) -> Acceptance {
    let reply = Reply { code: 250, enhanced: Some("2.0.0".to_owned()), text: text.to_owned() };
    Acceptance { reply, refused: Vec::new() }
}

/// A server's no, for [`SmtpError::Rejected`](crate::smtp::SmtpError::Rejected) and
/// [`SmtpError::AuthFailed`](crate::smtp::SmtpError::AuthFailed). `enhanced` may be empty.
#[must_use]
pub fn refusal(phase: Phase, code: u16, enhanced: &str, text: &str) -> Refusal {
    let enhanced = Some(enhanced.to_owned()).filter(|enhanced| !enhanced.is_empty());
    Refusal {
        phase,
        recipient: None,
        reply: Some(Reply { code, enhanced, text: text.to_owned() }),
        detail: format!("the mail server refuses it: {code} {text}"),
    }
}

/// A message that the channel handed to a mail server, or a check of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentMail {
    /// The server's name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Mechanism, user name and the name of the secret.
    pub credentials: Option<(crate::smtp::Mechanism, String, String)>,
    /// The envelope's sender.
    pub sender: String,
    /// The envelope's recipients; none in a check.
    pub recipients: Vec<String>,
    /// Whether it goes to all or to none.
    pub all_recipients: bool,
    /// RFC 5322; empty in a check.
    pub message: Vec<u8>,
    /// The time limit that the channel asked for.
    pub timeout_ms: Option<u32>,
}

impl SentMail {
    pub(super) fn of(raw: &wit::Submission) -> Self {
        Self {
            sender: raw.sender.clone(),
            recipients: raw.recipients.clone(),
            all_recipients: raw.all_recipients,
            message: raw.message.clone(),
            ..Self::check(&raw.server, raw.timeout_ms)
        }
    }

    pub(super) fn check(server: &wit::Server, timeout_ms: Option<u32>) -> Self {
        let credentials = server.credentials.as_ref().map(|credentials| {
            let wit::Credentials { mechanism, username, password_secret } = credentials;
            (*mechanism, username.clone(), password_secret.clone())
        });
        Self {
            host: server.host.clone(),
            port: server.port,
            tls: server.tls,
            credentials,
            sender: String::new(),
            recipients: Vec::new(),
            all_recipients: false,
            message: Vec::new(),
            timeout_ms,
        }
    }

    /// The message as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.message).into_owned()
    }
}
