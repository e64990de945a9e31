//! The way in: judges a submission, finds a connection for it, and cleans what comes back.

use std::{sync::atomic::Ordering, time::Duration};

use tokio::{
    sync::SemaphorePermit,
    time::{Instant, timeout_at},
};

use super::{
    Acceptance, Origin, Reply, Server, SmtpError, Submission, Tls,
    auth::Identity,
    checks::{self, Checked},
    connect::Plan,
    pool::Connection,
    transaction,
};
use crate::{
    egress::{
        BindingEgress, Denial, DenialReason, FetchError, SecretError, denial::Tell, fetch::as_u64,
    },
    limits,
};

/// A server that may be spoken to.
struct Admitted {
    server: Server,
    to: Origin,
    identity: Option<Identity>,
}

impl BindingEgress {
    /// Hands one message to a mail server, within `timeout`. `tell` hears of what the policy refused
    /// or would have refused, as in [`BindingEgress::fetch_told`].
    ///
    /// # Errors
    /// [`SmtpError`]; its texts hold no secret.
    pub async fn submit(
        &self,
        submission: Submission,
        timeout: Duration,
        tell: Tell<'_>,
    ) -> Result<Acceptance, SmtpError> {
        let deadline = Instant::now() + timeout.min(limits::SEND_WALL_MAX);
        let result = Box::pin(self.admitted_submit(submission, deadline, tell)).await;
        self.cleaned(result).map(|acceptance| Acceptance {
            reply: self.clean_reply(acceptance.reply),
            refused: acceptance
                .refused
                .into_iter()
                .map(|refusal| refusal.map_texts(|text| self.vault.scrub(text)))
                .collect(),
        })
    }

    /// Connects to a mail server and authenticates, within `timeout`.
    ///
    /// # Errors
    /// [`SmtpError`]; its texts hold no secret.
    pub async fn check_mail_server(
        &self,
        server: Server,
        timeout: Duration,
        tell: Tell<'_>,
    ) -> Result<(), SmtpError> {
        let deadline = Instant::now() + timeout.min(limits::SEND_WALL_MAX);
        let check = async {
            let admitted = self.admit_server(server, tell)?;
            let _permits = self.permits(deadline).await?;
            let connection = self.connection(&admitted, deadline, tell).await?;
            self.keep(connection);
            Ok(())
        };
        let result = Box::pin(check).await;
        self.cleaned(result)
    }

    /// Closes the connections to mail servers that have been idle for a while.
    pub fn close_idle_mail(&self) {
        self.mail.close_idle(limits::EGRESS_IDLE_TIMEOUT);
    }

    async fn admitted_submit(
        &self,
        submission: Submission,
        deadline: Instant,
        tell: Tell<'_>,
    ) -> Result<Acceptance, SmtpError> {
        let admitted = self.admit_server(submission.server.clone(), tell)?;
        let mail = Checked::new(submission)?;
        let _permits = self.permits(deadline).await?;
        let mut connection = self.connection(&admitted, deadline, tell).await?;
        self.counters.bytes_out.fetch_add(as_u64(mail.message.len()), Ordering::Relaxed);
        connection.begin();
        let done = transaction::run(&mut connection.client, &mail, deadline).await;
        connection.in_order = done.in_order;
        self.keep(connection);
        if let Ok(acceptance) = &done.result {
            let bytes = acceptance.reply.text.len();
            self.counters.bytes_in.fetch_add(as_u64(bytes), Ordering::Relaxed);
        }
        done.result
    }

    /// Everything about a server that is decided before its name is looked up.
    fn admit_server(&self, server: Server, tell: Tell<'_>) -> Result<Admitted, SmtpError> {
        let to = Origin::new(&server.host, server.port, server.tls == Tls::Plaintext).ok_or_else(
            || {
                SmtpError::Invalid(String::from(
                    "the mail server must be a host name or an address, and a port that is not 0",
                ))
            },
        )?;
        if let Err(denied) = self.policy.permits_server(&to) {
            self.lacking(denied, tell).map_err(|refused| {
                let error = SmtpError::Denied(refused.error.to_string());
                tell(denial(&to, refused.reason, refused.lacks_grant, None));
                error
            })?;
        }
        checks::check_server(&server)?;
        let identity = match &server.credentials {
            None => None,
            Some(credentials) => Some(Identity {
                mechanism: credentials.mechanism,
                username: credentials.username.clone(),
                secret: self
                    .vault
                    .value_for(&credentials.password_secret, |pattern| to.is_covered_by(pattern))
                    .map_err(|error| {
                        let name = &credentials.password_secret;
                        if error == SecretError::Denied {
                            tell(denial(&to, DenialReason::Secret, false, Some(name)));
                        }
                        secret_refused(&error, name, &to)
                    })?,
            }),
        };
        let server = Server { host: to.host.clone(), ..server };
        Ok(Admitted { server, to, identity })
    }

    /// Mail is outbound traffic like any other, and has few connections besides.
    async fn permits(
        &self,
        deadline: Instant,
    ) -> Result<(SemaphorePermit<'_>, SemaphorePermit<'_>), SmtpError> {
        let slot = self.slot(deadline).await.map_err(|error| match error {
            FetchError::Unreachable(why) => SmtpError::Unreachable(why),
            other => SmtpError::Unreachable(other.to_string()),
        })?;
        match timeout_at(deadline, self.mail.permits.acquire()).await {
            Ok(Ok(permit)) => Ok((slot, permit)),
            Ok(Err(_)) | Err(_) => Err(SmtpError::Unreachable(format!(
                "this channel had {} connections to mail servers busy for the whole time",
                limits::SMTP_CONNECTIONS_MAX
            ))),
        }
    }

    /// One that is there and answers, or a new one.
    async fn connection(
        &self,
        admitted: &Admitted,
        deadline: Instant,
        tell: Tell<'_>,
    ) -> Result<Connection, SmtpError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        while let Some(mut connection) = self.mail.take(&admitted.server) {
            if connection.is_alive(deadline).await {
                return Ok(connection);
            }
        }
        let plan = Plan {
            pool: &self.pool,
            to: &admitted.to,
            tls: admitted.server.tls,
            identity: admitted.identity.as_ref(),
            deadline,
        };
        let client = plan.connect().await.inspect_err(|error| {
            // All but the address was judged before.
            if matches!(error, SmtpError::Denied(_)) {
                tell(denial(&admitted.to, DenialReason::Address, false, None));
            }
        })?;
        Ok(Connection::new(client, admitted.server.clone()))
    }

    /// Keeps a connection for the next message, unless the configuration has changed meanwhile.
    fn keep(&self, connection: Connection) {
        self.mail.park(connection);
        if self.is_retired() {
            self.mail.close_idle(Duration::ZERO);
        }
    }

    fn cleaned<T>(&self, result: Result<T, SmtpError>) -> Result<T, SmtpError> {
        result.map_err(|error| {
            if matches!(error, SmtpError::Denied(_) | SmtpError::SecretDenied(_)) {
                self.counters.denied.fetch_add(1, Ordering::Relaxed);
            }
            error.map_texts(|text| self.vault.scrub(text))
        })
    }

    fn clean_reply(&self, reply: Reply) -> Reply {
        reply.map_text(|text| self.vault.scrub(text))
    }
}

fn denial(to: &Origin, reason: DenialReason, lacks_grant: bool, secret: Option<&str>) -> Denial {
    let (origin, secret) = (Some(to.to_string()), secret.map(str::to_owned));
    Denial { reason, origin, secret, lacks_grant, enforced: true }
}

fn secret_refused(error: &SecretError, name: &str, to: &Origin) -> SmtpError {
    match error {
        SecretError::Denied => SmtpError::SecretDenied(format!(
            "the secret \"{name}\" may not be sent to {to} (plugins.toml, [plugin.grants.secrets])"
        )),
        other => SmtpError::Denied(format!("the secret \"{name}\" cannot be used: {other}")),
    }
}
