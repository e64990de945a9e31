//! What is asked of a mail server, and what it answers.

use super::super::FetchError;

/// How a connection is protected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tls {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// TLS by the command STARTTLS (RFC 3207), or no connection.
    Starttls,
    /// None.
    Plaintext,
}

/// How to authenticate (RFC 4954).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// RFC 4616.
    Plain,
    /// User name and password one after the other.
    Login,
    /// An OAuth 2.0 access token, as Google and Microsoft take it.
    Xoauth2,
}

/// Who is authenticated.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Credentials {
    /// How.
    pub mechanism: Mechanism,
    /// As whom.
    pub username: String,
    /// The name of the channel's secret that is the password or the token.
    pub password_secret: String,
}

/// A server, and how to speak to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// A host name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The connection's protection.
    pub tls: Tls,
    /// None: without authentication.
    pub credentials: Option<Credentials>,
}

/// A message and its envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Submission {
    /// To whom it is handed.
    pub server: Server,
    /// Who is told of failures; may be empty.
    pub sender: String,
    /// For whom it is.
    pub recipients: Vec<String>,
    /// Whether one recipient that is refused stops it for all.
    pub all_recipients: bool,
    /// RFC 5322.
    pub message: Vec<u8>,
}

/// A server's reply, without secrets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// Three digits.
    pub code: u16,
    /// RFC 3463.
    pub enhanced: Option<String>,
    /// What stands behind the codes.
    pub text: String,
}

/// At what a server said no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// The connection or EHLO.
    Connection,
    /// AUTH.
    Authentication,
    /// MAIL FROM.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA or the message's end.
    Content,
}

/// A no.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// At what.
    pub phase: Phase,
    /// Of whom, in [`Phase::Recipient`].
    pub recipient: Option<String>,
    /// None when the server's greeting was answer enough.
    pub reply: Option<Reply>,
    /// In a sentence.
    pub detail: String,
}

/// The server has the message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acceptance {
    /// The reply to its end.
    pub reply: Reply,
    /// Whom it was refused for.
    pub refused: Vec<Refusal>,
}

/// Why the server has not taken the message. No text holds a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SmtpError {
    /// It cannot be sent as it is. Nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// The policy refuses the server or its address. Nothing was sent.
    #[error("{0}")]
    Denied(String),
    /// The secret may not be sent there. Apart from [`SmtpError::Denied`] because it is worth an
    /// alarm.
    #[error("{0}")]
    SecretDenied(String),
    /// There was no connection, or it ended before the message did.
    #[error("{0}")]
    Unreachable(String),
    /// There is no TLS that can be trusted.
    #[error("{0}")]
    TlsFailed(String),
    /// The credentials are not taken.
    #[error("{}", .0.detail)]
    AuthFailed(Refusal),
    /// The message is not taken.
    #[error("{}", .0.detail)]
    Rejected(Refusal),
    /// All of the message was sent and no answer came.
    #[error("{0}")]
    NoAnswer(String),
}

impl SmtpError {
    /// The reply that it is about.
    #[must_use]
    pub const fn reply(&self) -> Option<&Reply> {
        match self {
            Self::AuthFailed(refusal) | Self::Rejected(refusal) => refusal.reply.as_ref(),
            _ => None,
        }
    }

    /// The case of a request of HTTP that it corresponds to, for those who count.
    #[must_use]
    pub fn as_fetch_error(&self) -> FetchError {
        let text = self.to_string();
        match self {
            Self::Invalid(_) | Self::AuthFailed(_) | Self::Rejected(_) => FetchError::Invalid(text),
            Self::Denied(_) => FetchError::Denied(text),
            Self::SecretDenied(_) => FetchError::SecretDenied(text),
            Self::Unreachable(_) | Self::TlsFailed(_) => FetchError::Unreachable(text),
            Self::NoAnswer(_) => FetchError::NoAnswer(text),
        }
    }

    /// The same with its texts passed through `change`.
    pub(super) fn map_texts(self, change: impl Fn(&str) -> String) -> Self {
        match self {
            Self::Invalid(text) => Self::Invalid(change(&text)),
            Self::Denied(text) => Self::Denied(change(&text)),
            Self::SecretDenied(text) => Self::SecretDenied(change(&text)),
            Self::Unreachable(text) => Self::Unreachable(change(&text)),
            Self::TlsFailed(text) => Self::TlsFailed(change(&text)),
            Self::AuthFailed(refusal) => Self::AuthFailed(refusal.map_texts(change)),
            Self::Rejected(refusal) => Self::Rejected(refusal.map_texts(change)),
            Self::NoAnswer(text) => Self::NoAnswer(change(&text)),
        }
    }
}

impl Refusal {
    /// With the reply in the sentence.
    pub(super) fn of(phase: Phase, recipient: Option<&str>, reply: Reply) -> Self {
        let what = match phase {
            Phase::Connection => String::from("refuses the connection"),
            Phase::Authentication => String::from("refuses the credentials"),
            Phase::Sender => String::from("refuses the sender"),
            Phase::Recipient => format!("refuses {}", recipient.unwrap_or("a recipient")),
            Phase::Content => String::from("refuses the message"),
        };
        let detail = format!("the mail server {what}: {}", reply.line());
        Self { phase, recipient: recipient.map(str::to_owned), reply: Some(reply), detail }
    }

    /// By what the server said in its greeting.
    pub(super) const fn without_reply(phase: Phase, detail: String) -> Self {
        Self { phase, recipient: None, reply: None, detail }
    }

    /// Whether the server says that trying again may help.
    pub(super) fn is_temporary(&self) -> bool {
        self.reply.as_ref().is_some_and(|reply| reply.code < 500)
    }

    pub(super) fn map_texts(self, change: impl Fn(&str) -> String) -> Self {
        Self {
            reply: self.reply.map(|reply| reply.map_text(&change)),
            detail: change(&self.detail),
            ..self
        }
    }
}

impl Reply {
    /// 2yz.
    pub(super) const fn is_positive(&self) -> bool {
        matches!(self.code, 200..=299)
    }

    /// On one line.
    fn line(&self) -> String {
        let mut line = self.code.to_string();
        if let Some(enhanced) = &self.enhanced {
            line.push(' ');
            line.push_str(enhanced);
        }
        for word in self.text.split_whitespace() {
            line.push(' ');
            line.push_str(word);
        }
        line
    }

    pub(super) fn map_text(self, change: impl Fn(&str) -> String) -> Self {
        Self { text: change(&self.text), ..self }
    }
}
