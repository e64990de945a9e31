//! Sends notifications to Discord as a bot that is shown online.
//!
//! Messages go by the same route as those of the plugin `discord`. Beside it this one holds a
//! connection to Discord's gateway: members see that the bot is there, with a status of the operator's
//! choice, and the host's `/health` tells since when it is, or what is wrong.

mod rules;

use conductor_discord_api::{
    API_BASE, BOT_TOKEN, CONTENT_MAX, TitleStyle, bot_message, bot_request, build, outcome, receipt,
};
use conductor_sdk::{
    AsyncChannel, HealthStatus, Problem, RunEnd,
    connection::{Connection, End, Session},
    overflow::send_parts_async,
    prelude::*,
    websocket::{self, Socket},
};
use rules::{Rules, TOKEN_REFUSED};

/// Session starts that are left to the operator's other programs. At the end of them Discord takes
/// the token away.
const STARTS_RESERVED: u64 = 5;

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
    connection: Connection<Rules>,
}

impl DiscordGateway {
    /// Why no message can be sent, if that is so.
    fn token_refused(&self) -> Option<Problem> {
        self.connection.misconfigured().filter(|problem| problem.code == TOKEN_REFUSED)
    }

    /// Connects to where the session goes on, or to where one may begin.
    async fn connect(&self, session: Option<Session>) -> Result<Socket, End> {
        let place = match session {
            Some(session) => session.url,
            None => self.place().await?,
        };
        let place = self.options.gateway_url.as_deref().unwrap_or(&place).trim_end_matches('/');
        Ok(websocket::connect(&format!("{place}/?v=10&encoding=json"), &[]).await?)
    }

    /// Where a session may begin (<https://docs.discord.com/developers/events/gateway#get-gateway-bot>).
    async fn place(&self) -> Result<String, End> {
        let asked = async {
            let request = bot_request(&self.options.api_base, "GET", "gateway/bot")?;
            request.fetch_async().await.map_err(HttpError::repeatable)?.success_or(outcome)
        };
        let answer = asked.await.map_err(|error| match error {
            SendError::Misconfigured(why) => End::misconfigured(TOKEN_REFUSED, why.detail),
            error => error.into(),
        })?;
        let limit = |name: &str| -> Option<u64> {
            answer.text_at(&format!("/session_start_limit/{name}"))?.parse().ok()
        };
        match (answer.text_at("/url"), limit("remaining"), limit("reset_after")) {
            (Some(url), Some(remaining), _) if remaining > STARTS_RESERVED => Ok(url),
            (Some(_), Some(_), Some(ms)) => {
                let pause = Duration::from_millis(ms);
                let seconds = pause.as_secs();
                let why = format!("the bot's session starts are used up for the next {seconds} s");
                Err(End::again(why).after(pause))
            }
            _ => Err(End::again("Discord's answer to GET /gateway/bot lacks fields")),
        }
    }
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
        let options = context.options;
        // Type 4 is a status in the bot's own words.
        let activity = |words| json!({ "name": "Custom Status", "type": 4, "state": words });
        let activities: Vec<_> = options.activity.iter().map(activity).collect();
        let presence = json!({
            "status": options.status, "activities": activities, "since": null, "afk": false,
        });
        // Required by the manifest, so it is there.
        let token = secrets::placeholder(BOT_TOKEN).unwrap_or_default();
        Ok(Self { options, connection: Connection::new(Rules { token, presence }) })
    }

    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        if let Some(problem) = self.token_refused() {
            // Asking again and again gets the address of the whole host banned.
            return Err(SendError::Misconfigured(problem));
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
        let report = self.connection.health();
        match self.token_refused() {
            Some(_) => HealthReport { status: HealthStatus::Unhealthy, ..report },
            // Messages go another way.
            None => report,
        }
    }

    async fn run(&self) -> RunEnd {
        self.connection.run(async |session| self.connect(session).await).await
    }

    /// The session stays: whoever comes next resumes it.
    async fn shutdown(&self) {
        self.connection.hang_up();
    }
}

conductor_sdk::export_async!(DiscordGateway);

#[cfg(test)]
mod tests;
