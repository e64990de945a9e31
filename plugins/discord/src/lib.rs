//! Sends notifications to Discord: as a bot into any channel that the bot may write to, or through
//! a webhook into the one channel that the webhook belongs to.
//!
//! No gateway connection is needed to send
//! (<https://docs.discord.com/developers/resources/message#create-message>), so the channel keeps
//! nothing between two messages.

use conductor_discord_api::{
    API_BASE, BOT_TOKEN, CONTENT_MAX, TitleStyle, USER_AGENT, bot_message, bot_request, build,
    outcome, receipt, snowflake,
};
use conductor_sdk::prelude::*;

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
    /// With a `webhook_id` it sends through the webhook, else as a bot.
    options: Options,
}

impl Channel for Discord {
    type Options = Options;

    // Not `deduplicates_by_key`: a bot's nonce does that, a webhook has none, and the manifest
    // speaks for both. So each mode says by itself what a missing answer means (`post`).
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
        match &context.options.webhook_id {
            Some(_) => context.require_secret(WEBHOOK_TOKEN, "the option webhook_id needs it")?,
            None => context.require_secret(BOT_TOKEN, "needed unless webhook_id is set")?,
        }
        Ok(Self { options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let parts = build(message, self.options.title_style, self.options.overflow)?;
        send_parts(message, &parts, |body, part| receipt(self.post(message, body, part)?))
    }

    /// Asks Discord whether the credential is valid.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let request = match &self.options.webhook_id {
            Some(id) => self.webhook_request("GET", id, "")?,
            None => bot_request(&self.options.api_base, "GET", "users/@me")?,
        };
        let answer = request.fetch()?.success_or(outcome)?;
        let name = answer.text_at("/username").or_else(|| answer.text_at("/name"));
        let known = |name| format!("Discord knows the credential as \"{name}\"");
        Ok(HealthReport::healthy_and(name.map(known)))
    }
}

impl Discord {
    fn post(&self, message: &Message, body: &Value, part: usize) -> Result<Response, SendError> {
        let Options { api_base, webhook_id, channel_id, thread_id, .. } = &self.options;
        let Some(id) = webhook_id else {
            let request = bot_message(api_base, message, channel_id.as_deref(), body, part)?;
            // Discord recognises the nonce for some minutes: sending it again is safe.
            return request.fetch().map_err(HttpError::repeatable);
        };
        // Without `wait` a message that is not saved does not return an error.
        let mut query = "?wait=true".to_owned();
        if let Some(thread) = message.target_or(thread_id.as_deref()) {
            query.push_str("&thread_id=");
            query.push_str(snowflake(thread)?);
        }
        Ok(self.webhook_request("POST", id, &query)?.json(body).fetch()?)
    }

    fn webhook_request(&self, method: &str, id: &str, query: &str) -> Result<Request, SendError> {
        let (id, token) = (snowflake(id)?, secrets::placeholder(WEBHOOK_TOKEN)?);
        let url = format!("{}/webhooks/{id}/{token}{query}", self.options.api_base);
        Ok(Request::new(method, url).header("user-agent", USER_AGENT))
    }
}

conductor_sdk::export!(Discord);

#[cfg(test)]
mod tests;
