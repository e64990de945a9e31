//! Sends notifications to Discord as a bot that is shown online.
//!
//! Messages go by the same route as those of the plugin `discord`. Beside it this one holds a
//! connection to Discord's gateway: members see that the bot is there, with a status of the operator's
//! choice, and the host's `/health` tells since when it is, or what is wrong.

mod connection;
mod gateway;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use conductor_discord_api::{
    API_BASE, BOT_TOKEN, CONTENT_MAX, TitleStyle, bot_message, build, receipt,
};
use conductor_sdk::{
    AsyncChannel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Message, Overflow,
    Problem, RateScope, Receipt, SendError, http::HttpError, options::BaseUrl,
    overflow::send_parts_async, time, websocket::Socket,
};
use gateway::Gateway;

/// What members see beside the bot's name
/// (<https://docs.discord.com/developers/events/gateway-events#update-presence-status-types>).
#[derive(Clone, Copy, Default, serde::Deserialize, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// A green dot.
    #[default]
    Online,
    /// A yellow moon.
    Idle,
    /// A red sign: do not disturb.
    Dnd,
    /// As if it were offline.
    Invisible,
}

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The channel to send to when a notification names no target.
    #[schemars(regex(pattern = "^(0|[1-9][0-9]{0,19})$"))]
    channel_id: Option<String>,
    /// What members see beside the bot's name.
    #[serde(default)]
    status: Status,
    /// A few words under the bot's name.
    #[schemars(length(min = 1, max = 128))]
    activity: Option<String>,
    /// Where the API is, for a proxy or a test.
    #[serde(default = "default_api_base")]
    api_base: BaseUrl,
    /// Where the gateway is, for a proxy or a test; else where Discord says.
    #[schemars(regex(pattern = "^wss?://[^/\\s?#@]+$"))]
    gateway_url: Option<String>,
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
pub struct DiscordGateway {
    options: Options,
    gateway: RefCell<Gateway>,
    socket: RefCell<Option<Rc<Socket>>>,
    /// Whether the session is still to be found that the instance before has left.
    is_new: Cell<bool>,
}

impl AsyncChannel for DiscordGateway {
    type Options = Options;
    const CONNECTED: bool = true;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                BOT_TOKEN,
                "the bot's token (Developer Portal, your application, Bot, Reset Token)",
            )
            .host("https://discord.com")
            .host("wss://gateway.discord.gg")
            // Where sessions are resumed: gateway-us-east1-b.discord.gg and the like.
            .host("wss://*.discord.gg")
            .host("option:api_base")
            .host("option:gateway_url")
            .body_max(CONTENT_MAX, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
            .rate(RateScope::Credential, 50, Duration::from_secs(1))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self {
            options: context.options,
            gateway: RefCell::new(Gateway::new(time::now())),
            socket: RefCell::default(),
            is_new: Cell::new(true),
        })
    }

    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        if let Some(why) = self.gateway.borrow().token_refused() {
            // Asking again and again gets the address of the whole host banned.
            return Err(SendError::misconfigured("token_refused", why));
        }
        let parts = build(message, self.options.title_style, self.options.overflow)?;
        let (api, channel) = (&self.options.api_base, self.options.channel_id.as_deref());
        send_parts_async(message, &parts, async |body, number| {
            let request = bot_message(api, message, channel, body, number)?;
            receipt(request.fetch_async().await.map_err(HttpError::repeatable)?)
        })
        .await
    }

    async fn health(&self) -> HealthReport {
        self.gateway.borrow().health(time::now())
    }

    async fn run(&self) -> Problem {
        self.hold_on().await
    }

    /// The session stays: whoever comes next resumes it.
    async fn shutdown(&self) {
        self.hang_up();
    }
}

conductor_sdk::export_async!(DiscordGateway);

#[cfg(test)]
mod tests;
