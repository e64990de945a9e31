//! Sends notifications to Telegram chats as a bot (<https://core.telegram.org/bots/api#sendmessage>).
//!
//! Telegram knows no key by which it would recognise a message that it already has, so that a
//! request without an answer is reported as unknown.

mod entities;
mod errors;

use conductor_sdk::{markdown::Rich, prelude::*, text::length};

const BOT_TOKEN: &str = "BOT_TOKEN";
const API: &str = "https://api.telegram.org";

/// Of `text`. Telegram says characters and counts as it counts in entities, in UTF-16.
const TEXT_MAX: usize = 4_096;

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The chat to send to when a notification names no target: its number, or @name of a public
    /// channel or group.
    #[schemars(regex(pattern = "^(-?[1-9][0-9]{0,18}|@[A-Za-z][A-Za-z0-9_]{3,31})$"))]
    chat_id: Option<String>,
    /// In a group with topics: the topic to send to.
    #[schemars(range(min = 1))]
    message_thread_id: Option<u32>,
    /// Show a preview of the first page that the message links to.
    #[serde(default)]
    link_preview: bool,
    /// Keep the message from being forwarded and saved.
    #[serde(default)]
    protect_content: bool,
    /// What happens to a message of more than 4,096 UTF-16 units.
    #[serde(default)]
    overflow: Overflow,
    /// Where the Bot API is, for a server of your own or a test; https://api.telegram.org unless set.
    #[serde(default)]
    api_base: ApiBase,
}

/// See the crate's own documentation.
pub struct Telegram {
    options: Options,
}

impl Channel for Telegram {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(BOT_TOKEN, "the bot's token, 123456:ABC… (write /newbot to @BotFather)")
            .api(API, "api_base")
            .body_max(TEXT_MAX, LengthUnit::Utf16Units)
            .formats([Format::Plain, Format::Markdown])
            // https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this
            .rate(RateScope::Credential, 30, Duration::from_secs(1))
            .rate(RateScope::Destination, 1, Duration::from_secs(1))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self { options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let chat = message.checked_target(
            self.options.chat_id.as_deref(),
            is_chat,
            "the number of a Telegram chat or @name of a public channel",
        )?;
        let content = Rich::of(message).measured(|part| length(&part.text, LengthUnit::Utf16Units));
        let parts = self.options.overflow.apply(&content, TEXT_MAX)?;
        send_parts(message, &parts, |part, _| {
            let body = self.body(chat, message.priority, part);
            let answer = self.method("sendMessage")?.json(&body).fetch()?;
            let sent = answer.success_or(errors::outcome)?;
            // Delivered, whatever the body looks like.
            Ok(Receipt::delivered().provider_id_if(sent.text_at("/result/message_id")))
        })
    }

    /// Asks Telegram whose token it is (<https://core.telegram.org/bots/api#getme>).
    fn probe(&self) -> Result<HealthReport, SendError> {
        let answer = self.method("getMe")?.fetch()?.success_or(errors::outcome)?;
        let name = answer.text_at("/result/username");
        let known = |name| format!("Telegram knows the token as @{name}");
        Ok(HealthReport::healthy_and(name.map(known)))
    }
}

impl Telegram {
    fn body(&self, chat: &str, priority: Priority, part: &Rich) -> Value {
        let options = &self.options;
        without_nulls(json!({
            "chat_id": chat,
            "text": part.text,
            "entities": entities::of(part),
            "disable_notification": priority == Priority::Low,
            "link_preview_options": { "is_disabled": !options.link_preview },
            "message_thread_id": options.message_thread_id,
            "protect_content": options.protect_content.then_some(true),
        }))
    }

    fn method(&self, name: &str) -> Result<Request, SendError> {
        let token = secrets::placeholder(BOT_TOKEN)?;
        Ok(http::post(format!("{}/bot{token}/{name}", self.options.api_base.or(API))))
    }
}

/// As the option's pattern.
fn is_chat(chat: &str) -> bool {
    match chat.strip_prefix('@') {
        Some(name) => {
            (4..=32).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }
        None => chat.parse::<i64>().is_ok_and(|chat| chat != 0) && !chat.starts_with('+'),
    }
}

conductor_sdk::export!(Telegram);

#[cfg(test)]
mod tests;
