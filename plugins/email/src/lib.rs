//! Sends notifications as e-mail. The message is rendered here; the host speaks to the submission
//! server, with TLS and the password.

mod render;

use std::collections::BTreeMap;

use conductor_sdk::{
    prelude::*,
    smtp::{Mailbox, MechanismOption, Server, Submission, TlsOption, parse_addresses},
};

const PASSWORD: &str = "PASSWORD";
/// Recipients of one message: a list that is longer belongs to the mail server, as a group.
const RECIPIENTS_MAX: usize = 20;
/// Beyond that a link is better mail.
const ATTACHMENTS_MAX: u32 = 10;
/// Of the second that the host gives to `health`.
const CHECK_TIME: Duration = Duration::from_millis(800);

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The submission server's name or address, without a port.
    #[schemars(length(min = 1, max = 253))]
    server: String,
    /// Its port. Without it: 465 with implicit TLS, 587 with STARTTLS, 25 in plaintext.
    #[schemars(range(min = 1))]
    port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    tls: TlsOption,
    /// The user name; its password is the secret PASSWORD. Without it nobody is authenticated.
    user: Option<String>,
    /// How to authenticate; with xoauth2 the secret is an access token.
    #[serde(default)]
    mechanism: MechanismOption,
    /// Who sends: an address, or "Name <address>".
    from: String,
    /// The address that bounces go to, if it is not that of `from`.
    bounces_to: Option<String>,
    /// Where answers go, if not to `from`.
    reply_to: Option<String>,
    /// Who gets what names no target: addresses, separated by commas.
    to: Option<String>,
    /// Stands in front of each subject, as "[production]".
    #[schemars(length(max = 60))]
    subject_prefix: Option<String>,
    /// More headers: names that begin with "X-" or "List-", and their values.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// See the crate's own documentation.
pub struct Email {
    server: Server,
    sender: String,
    to: Option<String>,
    style: render::Style,
}

impl Channel for Email {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                PASSWORD,
                "the password of `user`, often one made for programs (\"app password\"); with \
                 mechanism = \"xoauth2\" an access token",
            )
            .mail_server("option:server")
            .plaintext_mail_server("option:server")
            .formats([Format::Plain, Format::Markdown])
            .attachments_max(ATTACHMENTS_MAX)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let has_password = context.has_secret(PASSWORD);
        let options = context.options;
        let port = options.port.unwrap_or(options.tls.usual_port());
        let mut server = Server::new(options.server, port, options.tls.into());
        if let Some(user) = options.user {
            if !has_password {
                return Err(Failure::configuration(
                    "missing_secret",
                    "configure the secret PASSWORD, or leave out the option user",
                ));
            }
            server = server.credentials(options.mechanism.into(), user, PASSWORD);
        } else if has_password {
            return Err(Failure::configuration(
                "missing_user",
                "there is a PASSWORD and no option user: say whose it is",
            ));
        }
        let from = mailbox("from", &options.from)?;
        let sender = match &options.bounces_to {
            Some(text) => mailbox("bounces_to", text)?.address,
            None => from.address.clone(),
        };
        let reply_to =
            options.reply_to.as_deref().map(|text| mailbox("reply_to", text)).transpose()?;
        if let Some(to) = &options.to {
            parse_addresses(to, RECIPIENTS_MAX).map_err(|why| bad_option("to", &why))?;
        }
        for (name, value) in &options.headers {
            render::check_header(name, value).map_err(|why| bad_option("headers", &why))?;
        }
        let headers = options.headers.into_iter().collect();
        let style = render::Style { from, reply_to, prefix: options.subject_prefix, headers };
        Ok(Self { server, sender, to: options.to, style })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let target = message.require_target(self.to.as_deref())?;
        let recipients = parse_addresses(target, RECIPIENTS_MAX)
            .map_err(|why| SendError::rejected("invalid_target", why))?;
        let id = render::message_id(message, &self.style);
        let mail = render::mail(message, &self.style, &recipients, &id)?;
        let submission = Submission::new(&self.server, self.sender.as_str(), mail);
        let submission = recipients.iter().fold(submission, Submission::to);
        let taken = submission.submit()?;
        // Taken, not delivered: a bounce may still come, to the sender's mailbox.
        Ok(Receipt::accepted().provider_id(id).detail("reply", taken.reply.text))
    }

    fn probe(&self) -> Result<HealthReport, SendError> {
        self.server.check(CHECK_TIME)?;
        Ok(HealthReport::healthy())
    }
}

fn bad_option(name: &str, why: &str) -> Failure {
    Failure::configuration("invalid_options", format!("the option {name}: {why}"))
}

fn mailbox(name: &str, text: &str) -> Result<Mailbox, Failure> {
    Mailbox::parse(text).map_err(|why| bad_option(name, &why))
}

conductor_sdk::export!(Email);

#[cfg(test)]
mod tests;
