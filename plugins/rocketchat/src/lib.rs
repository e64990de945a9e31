//! Sends notifications to Rocket.Chat: as a user into any room that the user may write to
//! (<https://developer.rocket.chat/apidocs/post-message>), or through an incoming webhook
//! (<https://docs.rocket.chat/docs/integrations>).
//!
//! Rocket.Chat knows no key by which it would recognise a message that it already has, so that a
//! request without an answer is reported as unknown.

mod errors;

use conductor_sdk::{markdown::Source, prelude::*, text};

const AUTH_TOKEN: &str = "AUTH_TOKEN";
const WEBHOOK_PATH: &str = "WEBHOOK_PATH";

/// Characters of a message, unless the server's administrator says otherwise
/// (<https://docs.rocket.chat/docs/message>, Maximum Allowed Characters Per Message).
const TEXT_MAX: usize = 5_000;

/// Mentions that call everybody (<https://docs.rocket.chat/docs/mentions>).
const EVERYBODY: [&str; 2] = ["all", "here"];

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The server, for example https://chat.example.org.
    url: BaseUrl,
    /// As a user: the user's id (Profile, Personal Access Tokens shows it beside a new token).
    #[schemars(regex(pattern = "^[A-Za-z0-9]{1,64}$"))]
    user_id: Option<String>,
    /// Where to post when a notification names no target: #name, @user, or as a user the id of a
    /// room. Through a webhook: without it, where the webhook belongs.
    #[schemars(regex(pattern = "^([#@][^\\s#@]{1,120}|[A-Za-z0-9]{1,64})$"))]
    channel: Option<String>,
    /// Let @all and @here in a message call everybody.
    #[serde(default)]
    mentions: bool,
    /// What happens to a message of more than 5,000 characters.
    #[serde(default)]
    overflow: Overflow,
}

/// See the crate's own documentation.
pub struct RocketChat {
    options: Options,
    mode: Mode,
}

/// As what the channel sends.
enum Mode {
    User { id: String },
    Webhook,
}

impl Channel for RocketChat {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                AUTH_TOKEN,
                "the user's personal access token (Profile, Personal Access Tokens), with the option \
                 user_id; this or WEBHOOK_PATH",
            )
            .optional_secret(
                WEBHOOK_PATH,
                "what follows /hooks/ in the webhook's URL, id/token (Administration, Integrations, \
                 Incoming); this or AUTH_TOKEN",
            )
            .host("option:url")
            .body_max(TEXT_MAX, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let secrets = (context.has_secret(AUTH_TOKEN), context.has_secret(WEBHOOK_PATH));
        let mode = match (secrets, context.options.user_id.clone()) {
            ((true, false), Some(id)) => Mode::User { id },
            ((false, true), None) => Mode::Webhook,
            _ => {
                return Err(Failure::configuration(
                    "ambiguous_secrets",
                    "configure either the secret AUTH_TOKEN and the option user_id, or the secret \
                     WEBHOOK_PATH alone",
                ));
            }
        };
        Ok(Self { options: context.options, mode })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let everybody: &[&str] = if self.options.mentions { &[] } else { &EVERYBODY };
        let harmless = Message {
            body: text::without_mentions(&message.body, everybody),
            title: message.title.as_deref().map(|title| text::without_mentions(title, everybody)),
            ..message.clone()
        };
        let source = Source::of(&harmless, LengthUnit::Characters);
        let parts = self.options.overflow.apply(&source, TEXT_MAX)?;
        let target = message.target_or(self.options.channel.as_deref());
        send_parts(message, &parts, |part, _| {
            let (channel, room) = match target {
                Some(name) if name.starts_with(['#', '@']) => (Some(name), None),
                id => (None, id),
            };
            let body = without_nulls(json!({ "text": part, "channel": channel, "roomId": room }));
            let request = match &self.mode {
                Mode::User { id } => {
                    message.require_target(self.options.channel.as_deref())?;
                    self.api("POST", "chat.postMessage", id)?
                }
                Mode::Webhook => {
                    let path = secrets::placeholder(WEBHOOK_PATH)?;
                    http::post(format!("{}/hooks/{path}", self.options.url))
                }
            };
            let is_webhook = matches!(self.mode, Mode::Webhook);
            let sent = errors::checked(request.json(&body).fetch()?, is_webhook)?;
            Ok(Receipt::delivered().provider_id_if(sent.text_at("/message/_id")))
        })
    }

    /// Asks whose token it is; for a webhook, which can be asked nothing that would not post, whether
    /// the server is there.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let (response, is_webhook) = match &self.mode {
            Mode::User { id } => (self.api("GET", "me", id)?.fetch()?, false),
            Mode::Webhook => (http::get(format!("{}/api/info", self.options.url)).fetch()?, true),
        };
        let answer = errors::checked(response, is_webhook)?;
        let known = |name| format!("Rocket.Chat knows the token as @{name}");
        Ok(HealthReport::healthy_and(answer.text_at("/username").map(known)))
    }
}

impl RocketChat {
    fn api(&self, method: &str, path: &str, user: &str) -> Result<Request, SendError> {
        Ok(Request::new(method, format!("{}/api/v1/{path}", self.options.url))
            .header("x-auth-token", secrets::placeholder(AUTH_TOKEN)?)
            .header("x-user-id", user))
    }
}

conductor_sdk::export!(RocketChat);

#[cfg(test)]
mod tests;
