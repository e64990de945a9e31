//! Sends notifications to Slack: as a bot into any channel that the bot is a member of
//! (<https://docs.slack.dev/reference/methods/chat.postMessage>), or through an incoming webhook into
//! the one that the webhook belongs to
//! (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).
//!
//! Slack knows no key by which it would recognise a message that it already has, so that a request
//! without an answer is reported as unknown.

mod errors;
mod mrkdwn;

use conductor_sdk::{markdown::Rich, prelude::*, text::length};

const BOT_TOKEN: &str = "BOT_TOKEN";
const WEBHOOK_PATH: &str = "WEBHOOK_PATH";
const API: &str = "https://slack.com/api";
const HOOKS: &str = "https://hooks.slack.com/services";

/// Characters of `text` that Slack asks not to exceed
/// (<https://docs.slack.dev/reference/methods/chat.postMessage#truncating>). It cuts at 40,000 without a
/// word, and shows anything above 4,000 in pieces of its own making.
const TEXT_MAX: usize = 4_000;

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// As a bot: where to post when a notification names no target: the id of a channel, of a
    /// direct message or of a user (C…, G…, D…, U…), or #name for a public channel.
    #[schemars(regex(pattern = "^([CDGUW][A-Z0-9]{2,20}|#[^\\s#@<>&]{1,80})$"))]
    channel: Option<String>,
    /// Show the message beside a bar in the priority's colour.
    #[serde(default)]
    priority_bar: bool,
    /// Show previews of the pages that the message links to.
    #[serde(default)]
    unfurl: bool,
    /// What happens to a message of more than 4,000 characters.
    #[serde(default)]
    overflow: Overflow,
    /// As a bot: where the Web API is, for a proxy or a test; https://slack.com/api unless set.
    #[serde(default)]
    api_base: ApiBase,
    /// Through a webhook: where webhooks are, for a proxy or a test; Slack's address unless set.
    #[serde(default)]
    hooks_base: ApiBase,
}

/// See the crate's own documentation.
pub struct Slack {
    options: Options,
    /// Else it sends through a webhook.
    is_bot: bool,
}

impl Channel for Slack {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                BOT_TOKEN,
                "the bot's token, xoxb-… (api.slack.com/apps, your app, OAuth & Permissions; scope \
                 chat:write); this or WEBHOOK_PATH",
            )
            .optional_secret(
                WEBHOOK_PATH,
                "what follows /services/ in the webhook's URL, T…/B…/… (api.slack.com/apps, your \
                 app, Incoming Webhooks); this or BOT_TOKEN",
            )
            .host("https://slack.com")
            .host("https://hooks.slack.com")
            .host("option:api_base")
            .host("option:hooks_base")
            .body_max(TEXT_MAX, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
            .rate(RateScope::Destination, 1, Duration::from_secs(1))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let is_bot = context.one_secret(&[BOT_TOKEN, WEBHOOK_PATH])? == BOT_TOKEN;
        if !is_bot && context.options.channel.is_some() {
            return Err(Failure::configuration(
                "webhook_with_channel",
                "a webhook posts into the channel that it belongs to: remove the option channel, or \
                 configure BOT_TOKEN instead of WEBHOOK_PATH",
            ));
        }
        Ok(Self { options: context.options, is_bot })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let is_markdown = message.format == Format::Markdown;
        let content = Rich::of(message)
            .measured(|part| length(&mrkdwn::render(part), LengthUnit::Characters));
        let parts = self.options.overflow.apply(&content, TEXT_MAX)?;
        send_parts(message, &parts, |part, _| {
            // There is no way to escape `*`: in plain text nothing is markup, the title neither.
            let plain = Rich::plain(&part.text);
            let text = mrkdwn::render(if is_markdown { part } else { &plain });
            let body = self.body(message, &text, is_markdown);
            if self.is_bot {
                self.post_message(message, &body)
            } else {
                self.post_webhook(message, &body)
            }
        })
    }

    /// Asks Slack whose token it is (<https://docs.slack.dev/reference/methods/auth.test>).
    fn probe(&self) -> Result<HealthReport, SendError> {
        if !self.is_bot {
            // A webhook can be asked nothing that would not post.
            return Ok(HealthReport::healthy());
        }
        let answer = errors::web_api(self.web_api("auth.test")?.fetch()?)?;
        let text = |name| answer.text_at(name).unwrap_or_default();
        let known = format!("Slack knows the token as {} of {}", text("/user"), text("/team"));
        Ok(HealthReport::healthy_and(Some(known)))
    }
}

impl Slack {
    fn body(&self, message: &Message, text: &str, is_markdown: bool) -> Value {
        if self.options.priority_bar {
            let read = if is_markdown { vec!["text"] } else { Vec::new() };
            // Slack's three names of colours, and a grey.
            let color = message.priority.pick(["#9a9a9a", "good", "warning", "danger"]);
            return json!({
                "attachments": [
                    { "text": text, "fallback": text, "color": color, "mrkdwn_in": read },
                ],
            });
        }
        json!({
            "text": text,
            "mrkdwn": is_markdown,
            "unfurl_links": self.options.unfurl,
            "unfurl_media": self.options.unfurl,
        })
    }

    fn post_message(&self, message: &Message, body: &Value) -> Result<Receipt, SendError> {
        let channel = message.require_target(self.options.channel.as_deref())?;
        let body = with_members(body, json!({ "channel": channel }));
        let answer = self.web_api("chat.postMessage")?.json(&body).fetch()?;
        let posted = errors::web_api(answer)?;
        Ok(Receipt::delivered()
            .provider_id_if(posted.text_at("/ts"))
            .detail_if("channel", posted.text_at("/channel")))
    }

    fn post_webhook(&self, message: &Message, body: &Value) -> Result<Receipt, SendError> {
        if message.target_or(None).is_some() {
            return Err(SendError::rejected(
                "no_targets",
                "a webhook posts into the channel that it belongs to; a target needs a bot's token",
            ));
        }
        let path = secrets::placeholder(WEBHOOK_PATH)?;
        let url = format!("{}/{path}", self.options.hooks_base.or(HOOKS));
        http::post(url).json(body).fetch()?.success_or(errors::webhook)?;
        Ok(Receipt::delivered())
    }

    fn web_api(&self, method: &str) -> Result<Request, SendError> {
        let url = format!("{}/{method}", self.options.api_base.or(API));
        Ok(http::post(url).bearer(&secrets::placeholder(BOT_TOKEN)?))
    }
}

conductor_sdk::export!(Slack);

#[cfg(test)]
mod tests;
