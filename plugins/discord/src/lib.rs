//! Sends notifications to Discord: as a bot into any channel that the bot may write to, or through
//! a webhook into the one channel that the webhook belongs to.
//!
//! No gateway connection is needed to send
//! (<https://docs.discord.com/developers/resources/message#create-message>), so the channel keeps
//! nothing between two messages.

mod body;
mod errors;

use conductor_sdk::{prelude::*, text::consists_of};

pub use body::TitleStyle;

const BOT_TOKEN: &str = "BOT_TOKEN";
const WEBHOOK_TOKEN: &str = "WEBHOOK_TOKEN";

/// The form that the API asks for (<https://docs.discord.com/developers/reference#user-agent>).
const USER_AGENT: &str = concat!("DiscordBot (Conductor, ", env!("CARGO_PKG_VERSION"), ")");

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
    BaseUrl::new("https://discord.com/api/v10")
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
            .body_max(body::CONTENT_MAX, LengthUnit::Characters)
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
        let parts = body::build(message, self.options.title_style, self.options.overflow)?;
        send_parts(message, &parts, |body, number| {
            let sent = self.post(message, body, number)?.success_or(errors::outcome)?;
            // Delivered, whatever the body looks like.
            Ok(Receipt::delivered()
                .provider_id_if(sent.text_at("/id"))
                .detail_if("channel_id", sent.text_at("/channel_id")))
        })
    }

    /// Asks Discord whether the credential is valid.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let path = if self.options.webhook_id.is_some() { "" } else { "/users/@me" };
        let answer = self.request("GET", path)?.fetch()?.success_or(errors::outcome)?;
        let name = answer.text_at("/username").or_else(|| answer.text_at("/name"));
        let known = |name| format!("Discord knows the credential as \"{name}\"");
        Ok(HealthReport::healthy_and(name.map(known)))
    }
}

impl Discord {
    fn post(&self, message: &Message, body: &Value, part: usize) -> Result<Response, SendError> {
        if self.options.webhook_id.is_some() {
            // Without `wait` a message that is not saved does not return an error.
            let mut query = "?wait=true".to_owned();
            if let Some(thread) = message.target_or(self.options.thread_id.as_deref()) {
                query.push_str("&thread_id=");
                query.push_str(snowflake(thread)?);
            }
            return Ok(self.request("POST", &query)?.json(body).fetch()?);
        }
        let channel = snowflake(message.require_target(self.options.channel_id.as_deref())?)?;
        let body = body::with_nonce(body, &message.short_part_key(part));
        let request = self.request("POST", &format!("/channels/{channel}/messages"))?.json(&body);
        // Discord recognises the nonce for some minutes: sending it again is safe.
        request.fetch().map_err(HttpError::repeatable)
    }

    /// To the webhook, or as a bot to any path of the API.
    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let Options { api_base, webhook_id, .. } = &self.options;
        let request = match webhook_id {
            Some(id) => {
                let (id, token) = (snowflake(id)?, secrets::placeholder(WEBHOOK_TOKEN)?);
                Request::new(method, format!("{api_base}/webhooks/{id}/{token}{path}"))
            }
            None => {
                let token = secrets::placeholder(BOT_TOKEN)?;
                Request::new(method, format!("{api_base}{path}"))
                    .header("authorization", format!("Bot {token}"))
            }
        };
        Ok(request.header("user-agent", USER_AGENT))
    }
}

/// Discord's ids are numbers in one form only, `^(0|[1-9][0-9]*)$` in its OpenAPI description. Anything
/// else would become a part of the path.
fn snowflake(id: &str) -> Result<&str, SendError> {
    let is_number = consists_of(id, 1..=20, |byte| byte.is_ascii_digit());
    if is_number && (id == "0" || !id.starts_with('0')) {
        return Ok(id);
    }
    Err(SendError::invalid_target(
        "the id of a Discord channel or thread: digits only, without a zero in front",
    ))
}

conductor_sdk::export!(Discord);

#[cfg(test)]
mod tests;
