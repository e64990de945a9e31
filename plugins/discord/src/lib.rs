//! Sends notifications to Discord: as a bot into any channel that the bot may write to, or through
//! a webhook into the one channel that the webhook belongs to.
//!
//! No gateway connection is needed to send
//! (<https://docs.discord.com/developers/resources/message#create-message>), so the channel keeps
//! nothing between two messages.

use std::time::Duration;

use conductor_discord_api::{
    API_BASE, BOT_TOKEN, Body, CONTENT_MAX, TitleStyle, USER_AGENT, bot_message, bot_request,
    build, outcome, receipt, snowflake,
};
use conductor_sdk::{
    Channel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Message, Overflow,
    RateScope, Receipt, SendError,
    http::{HttpError, Request},
    options::BaseUrl,
    overflow::send_parts,
    secrets, serde_json,
};

const WEBHOOK_TOKEN: &str = "WEBHOOK_TOKEN";

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// As a bot: the channel to send to when a notification names no target.
    #[schemars(regex(pattern = "^(0|[1-9][0-9]{0,19})$"))]
    channel_id: Option<String>,
    /// Through a webhook: the number in its URL. The text behind it is the secret WEBHOOK_TOKEN.
    #[schemars(regex(pattern = "^(0|[1-9][0-9]{0,19})$"))]
    webhook_id: Option<String>,
    /// Through a webhook: the thread to send to when a notification names no target.
    #[schemars(regex(pattern = "^(0|[1-9][0-9]{0,19})$"))]
    thread_id: Option<String>,
    /// Where the API is, for a proxy or a test.
    #[serde(default = "default_api_base")]
    api_base: BaseUrl,
    /// How a title is shown.
    #[serde(default)]
    title_style: TitleStyle,
    /// What happens to a message that is longer than Discord takes.
    #[serde(default)]
    overflow: Overflow,
}

fn default_api_base() -> BaseUrl {
    BaseUrl::new(API_BASE)
}

/// See the crate's own documentation.
pub struct Discord {
    options: Options,
    mode: Mode,
}

/// As what the channel sends.
enum Mode {
    Bot,
    Webhook { id: String },
}

impl Channel for Discord {
    type Options = Options;

    // Not `deduplicates_by_key`: a bot's nonce does that, a webhook has none, and the manifest
    // speaks for both. So each mode says by itself what a missing answer means (`no_answer`).
    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                BOT_TOKEN,
                "the bot's token (Developer Portal, your application, Bot, Reset Token); needed \
                 unless webhook_id is set",
            )
            .optional_secret(
                WEBHOOK_TOKEN,
                "the last part of the webhook's URL (Edit Channel, Integrations, Webhooks); \
                 needed with webhook_id",
            )
            .host("https://discord.com")
            .host("option:api_base")
            .body_max(CONTENT_MAX, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
            .rate(RateScope::Credential, 50, Duration::from_secs(1))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let has_secret = |name: &str| {
            context.has_secret(name).then_some(()).ok_or_else(|| {
                Failure::configuration("missing_secret", format!("configure the secret {name}"))
            })
        };
        let mode = match &context.options.webhook_id {
            Some(id) => {
                has_secret(WEBHOOK_TOKEN)?;
                Mode::Webhook { id: id.clone() }
            }
            None => {
                has_secret(BOT_TOKEN)?;
                Mode::Bot
            }
        };
        Ok(Self { options: context.options, mode })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let parts = build(message, self.options.title_style, self.options.overflow)?;
        send_parts(message, &parts, |body, number| self.send_part(message, body, number))
    }

    fn health(&self) -> HealthReport {
        self.probe().unwrap_or_else(HealthReport::from)
    }
}

impl Discord {
    fn send_part(
        &self,
        message: &Message,
        body: &Body,
        number: usize,
    ) -> Result<Receipt, SendError> {
        let request = match &self.mode {
            Mode::Bot => bot_message(
                &self.options.api_base,
                message,
                self.options.channel_id.as_deref(),
                body,
                number,
            )?,
            Mode::Webhook { id } => {
                // Without `wait` a message that is not saved does not return an error.
                let mut query = "?wait=true".to_owned();
                if let Some(thread) = message.target_or(self.options.thread_id.as_deref()) {
                    query.push_str("&thread_id=");
                    query.push_str(snowflake(thread)?);
                }
                self.webhook_request("POST", id, &query)?.json(body)
            }
        };
        let response = request.fetch().map_err(|error| self.no_answer(error))?;
        receipt(&response)
    }

    fn webhook_request(&self, method: &str, id: &str, query: &str) -> Result<Request, SendError> {
        let id = snowflake(id)?;
        let token = secrets::placeholder(WEBHOOK_TOKEN)?;
        let url = format!("{}/webhooks/{id}/{token}{query}", self.options.api_base);
        Ok(Request::new(method, url).header("user-agent", USER_AGENT))
    }

    /// A bot's message carries a nonce, so sending it again is safe. A webhook's message has nothing
    /// like it.
    fn no_answer(&self, error: HttpError) -> SendError {
        match self.mode {
            Mode::Bot => error.repeatable(),
            Mode::Webhook { .. } => error.into(),
        }
    }

    /// Asks Discord whether the credential is valid.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let request = match &self.mode {
            Mode::Bot => bot_request(&self.options.api_base, "GET", "users/@me")?,
            Mode::Webhook { id } => self.webhook_request("GET", id, "")?,
        };
        let response = request.fetch()?;
        if !response.is_success() {
            return Err(outcome(&response));
        }
        let answer: serde_json::Value = response.json().unwrap_or_default();
        let name = answer.get("username").or_else(|| answer.get("name"));
        Ok(HealthReport {
            detail: name
                .and_then(serde_json::Value::as_str)
                .map(|name| format!("Discord knows the credential as \"{name}\"")),
            ..HealthReport::healthy()
        })
    }
}

conductor_sdk::export!(Discord);

#[cfg(test)]
mod tests;
