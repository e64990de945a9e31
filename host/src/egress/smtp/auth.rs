//! Authentication (RFC 4954): the host answers for the secret, and nobody else sees it.

use base64::{Engine, engine::general_purpose::STANDARD};
use smtp_proto::{AUTH_LOGIN, AUTH_PLAIN, AUTH_XOAUTH2};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::{
    Mechanism, Phase, Refusal, Reply, SmtpError,
    client::{Broken, Client},
};
use crate::secrets::Secret;

/// Who is authenticated, with the value.
pub(super) struct Identity {
    pub(super) mechanism: Mechanism,
    pub(super) username: String,
    pub(super) secret: Secret,
}

impl Identity {
    /// Authenticates on a connection that has TLS.
    ///
    /// # Errors
    /// [`SmtpError::AuthFailed`], or what `lost` makes of a conversation that broke.
    pub(super) async fn authenticate(
        &self,
        client: &mut Client,
        deadline: Instant,
        lost: impl Fn(Broken) -> SmtpError,
    ) -> Result<(), SmtpError> {
        self.check_offer(client)?;
        let reply = match self.mechanism {
            Mechanism::Plain | Mechanism::Xoauth2 => {
                let line = Zeroizing::new(format!("AUTH {} {}", self.word(), *self.whole()));
                let reply = client.command(&line, deadline).await.map_err(&lost)?;
                if reply.code == CONTINUE {
                    // XOAUTH2 tells the reason for a failure in a question, which an empty line
                    // answers; then comes the reply.
                    client.command("", deadline).await.map_err(&lost)?
                } else {
                    reply
                }
            }
            Mechanism::Login => self.in_two_steps(client, deadline).await.map_err(&lost)?,
        };
        if reply.is_positive() {
            return Ok(());
        }
        let refusal = Refusal::of(Phase::Authentication, None, reply);
        // What a server repeats of what it was sent; the secret by itself is taken out elsewhere.
        Err(SmtpError::AuthFailed(
            refusal.map_texts(|text| text.replace(&*self.whole(), "[secret]")),
        ))
    }

    /// The questions are always these two; how they are worded differs.
    async fn in_two_steps(&self, client: &mut Client, deadline: Instant) -> Result<Reply, Broken> {
        let mut reply = client.command("AUTH LOGIN", deadline).await?;
        for answer in [self.username.as_str(), self.secret.expose()] {
            if reply.code != CONTINUE {
                break;
            }
            let line = Zeroizing::new(STANDARD.encode(answer));
            reply = client.command(&line, deadline).await?;
        }
        Ok(reply)
    }

    fn check_offer(&self, client: &Client) -> Result<(), SmtpError> {
        let bit = match self.mechanism {
            Mechanism::Plain => AUTH_PLAIN,
            Mechanism::Login => AUTH_LOGIN,
            Mechanism::Xoauth2 => AUTH_XOAUTH2,
        };
        if client.offers.auth_mechanisms & bit != 0 {
            return Ok(());
        }
        let known = [(AUTH_PLAIN, "plain"), (AUTH_LOGIN, "login"), (AUTH_XOAUTH2, "xoauth2")];
        let offered: Vec<&str> = known
            .iter()
            .filter(|(bit, _)| client.offers.auth_mechanisms & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        let offered = if offered.is_empty() { String::from("none") } else { offered.join(", ") };
        Err(SmtpError::AuthFailed(Refusal::without_reply(
            Phase::Authentication,
            format!(
                "the mail server does not offer to authenticate by {}; of those known here it \
                 offers: {offered}",
                self.word()
            ),
        )))
    }

    const fn word(&self) -> &'static str {
        match self.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::Xoauth2 => "XOAUTH2",
        }
    }

    /// All of it in one answer.
    fn whole(&self) -> Zeroizing<String> {
        let (username, secret) = (&self.username, self.secret.expose());
        let text = Zeroizing::new(match self.mechanism {
            Mechanism::Plain => format!("\0{username}\0{secret}"),
            Mechanism::Login => secret.to_owned(),
            Mechanism::Xoauth2 => {
                format!("user={username}\u{1}auth=Bearer {secret}\u{1}\u{1}")
            }
        });
        Zeroizing::new(STANDARD.encode(text.as_bytes()))
    }
}

/// "Go on" (RFC 4954, section 4).
const CONTINUE: u16 = 334;
