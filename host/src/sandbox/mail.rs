//! What the host answers when a guest calls `smtp` (version 0.1.0).

use std::time::Duration;

use tokio::time::Instant;
use wasmtime::Result;

use super::{bindings::v0_1_0::smtp as wit, door::Door, state::InstanceState};
use crate::egress::{
    Acceptance, Credentials, Mechanism, Phase, Refusal, Reply, Server, SmtpError, Submission, Tls,
};

impl wit::Host for InstanceState {
    async fn submit(
        &mut self,
        submission: wit::Submission,
    ) -> Result<std::result::Result<wit::Acceptance, wit::SmtpError>> {
        let timeout = self.mail_timeout(submission.timeout_ms);
        let Some(door) = self.door.clone() else { return Ok(Err(nothing_reachable())) };
        let submission = Submission {
            server: server(submission.server),
            sender: submission.sender,
            recipients: submission.recipients,
            all_recipients: submission.all_recipients,
            message: submission.message,
        };
        let answer = door.submit(submission, timeout).await;
        Ok(answer.map(acceptance).map_err(error))
    }

    async fn check(
        &mut self,
        to: wit::Server,
        timeout_ms: Option<u32>,
    ) -> Result<std::result::Result<(), wit::SmtpError>> {
        let timeout = self.mail_timeout(timeout_ms);
        let Some(door) = self.door.clone() else { return Ok(Err(nothing_reachable())) };
        Ok(door.check_mail_server(server(to), timeout).await.map_err(error))
    }
}

impl InstanceState {
    fn mail_timeout(&self, asked_ms: Option<u32>) -> Duration {
        let left = self.deadline.saturating_duration_since(Instant::now());
        asked_ms.map_or(left, |ms| left.min(Duration::from_millis(ms.into())))
    }
}

impl Door {
    async fn submit(
        &self,
        submission: Submission,
        timeout: Duration,
    ) -> std::result::Result<Acceptance, SmtpError> {
        let host = host_of(&submission.server);
        let answer = self.egress.submit(submission, timeout, &self.tell()).await;
        self.mail_contact(host, answer.as_ref().map(|acceptance| acceptance.reply.code));
        answer
    }

    async fn check_mail_server(
        &self,
        server: Server,
        timeout: Duration,
    ) -> std::result::Result<(), SmtpError> {
        let host = host_of(&server);
        let answer = self.egress.check_mail_server(server, timeout, &self.tell()).await;
        const READY: u16 = 250;
        self.mail_contact(host, answer.as_ref().map(|()| READY));
        answer
    }

    /// Counts it as a request of HTTP is counted: replies have numbers of the same hundreds, if not
    /// of the same meaning.
    fn mail_contact(&self, host: String, answer: std::result::Result<u16, &SmtpError>) {
        // "Service not available": the server's own trouble, as a 5xx is elsewhere.
        const UNAVAILABLE: u16 = 421;
        let code = answer.or_else(|error| error.reply().map(|reply| reply.code).ok_or(error));
        let failed = match code {
            Ok(code) => Some(code == UNAVAILABLE),
            Err(SmtpError::Unreachable(_) | SmtpError::TlsFailed(_) | SmtpError::NoAnswer(_)) => {
                Some(true)
            }
            Err(SmtpError::AuthFailed(_) | SmtpError::Rejected(_)) => Some(false),
            Err(SmtpError::Invalid(_) | SmtpError::Denied(_) | SmtpError::SecretDenied(_)) => None,
        };
        if let Some(failed) = failed {
            self.contacted(host.into(), failed);
        }
        let told = code.map_err(SmtpError::as_fetch_error);
        self.observer.fetched(&self.plugin, told.as_ref().map(|code| *code));
    }
}

fn host_of(server: &Server) -> String {
    format!("{}:{}", server.host, server.port)
}

fn nothing_reachable() -> wit::SmtpError {
    wit::SmtpError::Denied(String::from("nothing can be reached from here"))
}

fn server(server: wit::Server) -> Server {
    Server {
        host: server.host,
        port: server.port,
        tls: match server.tls {
            wit::Tls::Implicit => Tls::Implicit,
            wit::Tls::Starttls => Tls::Starttls,
            wit::Tls::Plaintext => Tls::Plaintext,
        },
        credentials: server.credentials.map(|credentials| Credentials {
            mechanism: match credentials.mechanism {
                wit::Mechanism::Plain => Mechanism::Plain,
                wit::Mechanism::Login => Mechanism::Login,
                wit::Mechanism::Xoauth2 => Mechanism::Xoauth2,
            },
            username: credentials.username,
            password_secret: credentials.password_secret,
        }),
    }
}

fn reply(reply: Reply) -> wit::Reply {
    wit::Reply { code: reply.code, enhanced: reply.enhanced, text: reply.text }
}

fn refusal(refusal: Refusal) -> wit::Refusal {
    wit::Refusal {
        phase: match refusal.phase {
            Phase::Connection => wit::Phase::Connection,
            Phase::Authentication => wit::Phase::Authentication,
            Phase::Sender => wit::Phase::Sender,
            Phase::Recipient => wit::Phase::Recipient,
            Phase::Content => wit::Phase::Content,
        },
        recipient: refusal.recipient,
        reply: refusal.reply.map(reply),
        detail: refusal.detail,
    }
}

fn acceptance(acceptance: Acceptance) -> wit::Acceptance {
    wit::Acceptance {
        reply: reply(acceptance.reply),
        refused: acceptance.refused.into_iter().map(refusal).collect(),
    }
}

fn error(error: SmtpError) -> wit::SmtpError {
    match error {
        SmtpError::Invalid(why) => wit::SmtpError::Invalid(why),
        SmtpError::Denied(why) | SmtpError::SecretDenied(why) => wit::SmtpError::Denied(why),
        SmtpError::Unreachable(why) => wit::SmtpError::Unreachable(why),
        SmtpError::TlsFailed(why) => wit::SmtpError::TlsFailed(why),
        SmtpError::AuthFailed(why) => wit::SmtpError::AuthFailed(refusal(why)),
        SmtpError::Rejected(why) => wit::SmtpError::Rejected(refusal(why)),
        SmtpError::NoAnswer(why) => wit::SmtpError::NoAnswer(why),
    }
}
