//! Sends notifications to Mattermost: as a bot into any channel that the bot is a member of
//! (<https://developers.mattermost.com/api-documentation/#/operations/CreatePost>), or through an
//! incoming webhook (<https://developers.mattermost.com/integrate/webhooks/incoming/>).
//!
//! Mattermost knows no key by which it would recognise a message that it already has, so that a
//! request without an answer is reported as unknown.

use conductor_sdk::{markdown::Source, prelude::*, text};
use serde::Deserialize;

const BOT_TOKEN: &str = "BOT_TOKEN";
const WEBHOOK_KEY: &str = "WEBHOOK_KEY";

/// Characters of a post
/// (<https://developers.mattermost.com/integrate/webhooks/incoming/#parameters>; what is longer a
/// webhook splits by itself).
const TEXT_MAX: usize = 16_383;

/// Mentions that call everybody (<https://docs.mattermost.com/end-user-guide/collaborate/mention-people.html>).
const EVERYBODY: [&str; 3] = ["all", "channel", "here"];

/// <https://docs.mattermost.com/end-user-guide/collaborate/message-priority.html>
const LABELS: [Option<&str>; 4] = [None, None, Some("important"), Some("urgent")];

/// There is no webhook of this key; webhooks are switched off.
const CODES: [(&str, Meaning); 1] = [(
    "web.incoming_webhook.invalid.app_error web.incoming_webhook.disabled.app_error",
    Meaning::Misconfigured,
)];

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The server, for example https://chat.example.org.
    url: BaseUrl,
    /// Where to post when a notification names no target. As a bot: a channel's id (View Info, at the
    /// bottom). Through a webhook: the name of a channel as it is in its address, or @user; without
    /// it, the channel that the webhook belongs to.
    #[schemars(regex(pattern = "^@?[a-z0-9][a-z0-9._-]{0,63}$"))]
    channel: Option<String>,
    /// Mark messages of priority high and urgent as important and urgent. The server must allow it.
    #[serde(default)]
    priority_labels: bool,
    /// Let @all, @channel and @here in a message call everybody.
    #[serde(default)]
    mentions: bool,
    /// What happens to a message of more than 16,383 characters.
    #[serde(default)]
    overflow: Overflow,
}

/// See the crate's own documentation.
pub struct Mattermost {
    options: Options,
    /// Else it sends through a webhook.
    is_bot: bool,
}

impl Channel for Mattermost {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                BOT_TOKEN,
                "the bot's access token (Integrations, Bot Accounts); this or WEBHOOK_KEY",
            )
            .optional_secret(
                WEBHOOK_KEY,
                "what follows /hooks/ in the webhook's URL (Integrations, Incoming Webhooks); this or \
                 BOT_TOKEN",
            )
            .host("option:url")
            .body_max(TEXT_MAX, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let is_bot = context.one_secret(&[BOT_TOKEN, WEBHOOK_KEY])? == BOT_TOKEN;
        Ok(Self { options: context.options, is_bot })
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
        let priority = message.priority.pick(LABELS).filter(|_| self.options.priority_labels);
        send_parts(message, &parts, |part, number| {
            // One label for all parts.
            let priority =
                priority.filter(|_| number == 0).map(|label| json!({ "priority": label }));
            if self.is_bot {
                self.post(message, part, priority)
            } else {
                self.post_webhook(message, part, priority)
            }
        })
    }

    /// Asks whose token it is; for a webhook, which can be asked nothing that would not post, whether
    /// the server is there.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let request = if self.is_bot {
            self.api("GET", "users/me")?
        } else {
            http::get(format!("{}/api/v4/system/ping", self.options.url))
        };
        let answer = request.fetch()?.success_or(|refused| self.outcome(refused))?;
        let known = |name| format!("Mattermost knows the token as @{name}");
        Ok(HealthReport::healthy_and(answer.text_at("/username").map(known)))
    }
}

impl Mattermost {
    fn post(
        &self,
        message: &Message,
        part: &str,
        priority: Option<Value>,
    ) -> Result<Receipt, SendError> {
        let channel = message.require_target(self.options.channel.as_deref())?;
        let metadata = priority.map(|priority| json!({ "priority": priority }));
        let body =
            without_nulls(json!({ "channel_id": channel, "message": part, "metadata": metadata }));
        let answer = self.api("POST", "posts")?.json(&body).fetch()?;
        let post = answer.success_or(|refused| self.outcome(refused))?;
        // Delivered, whatever the body looks like.
        Ok(Receipt::delivered().provider_id_if(post.text_at("/id")))
    }

    fn post_webhook(
        &self,
        message: &Message,
        part: &str,
        priority: Option<Value>,
    ) -> Result<Receipt, SendError> {
        let channel = message.target_or(self.options.channel.as_deref());
        let body = without_nulls(json!({ "text": part, "channel": channel, "priority": priority }));
        let key = secrets::placeholder(WEBHOOK_KEY)?;
        let url = format!("{}/hooks/{key}", self.options.url);
        let answer = http::post(url).json(&body).fetch()?;
        answer.success_or(|refused| self.outcome(refused))?;
        Ok(Receipt::delivered())
    }

    fn api(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let url = format!("{}/api/v4/{path}", self.options.url);
        Ok(Request::new(method, url).bearer(&secrets::placeholder(BOT_TOKEN)?))
    }

    /// What an answer that is not 2xx means
    /// (<https://developers.mattermost.com/api-documentation/#error-response>).
    fn outcome(&self, response: &Response) -> SendError {
        let id = response.text_at("/id").unwrap_or_default();
        let refusal = response.refusal_at("Mattermost", "/id", &["/message"]);
        let refusal = refusal.wait(until_reset(response).filter(|_| response.status == 429));
        refusal.by_code(&CODES).unwrap_or_else(|refusal| match (response.status, id.as_str()) {
            // Not what a Mattermost server answers.
            (404, "") => refusal.hint("is url right?").misconfigured(),
            (403, "") if !self.is_bot => refusal.misconfigured(),
            // It cannot do it: the same again would not help.
            (501, _) => refusal.rejected(),
            // Rejected are, among others: no such channel, not a member of it, too long.
            _ => refusal.by_status(RetryScope::Credential),
        })
    }
}

/// Seconds until more is allowed (<https://developers.mattermost.com/api-documentation/#rate-limiting>).
fn until_reset(response: &Response) -> Option<Duration> {
    response.header("x-ratelimit-reset")?.trim().parse().ok().map(Duration::from_secs)
}

conductor_sdk::export!(Mattermost);

#[cfg(test)]
mod tests;
