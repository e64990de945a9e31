//! Pushes notifications to phones and desktops through an ntfy server
//! (<https://docs.ntfy.sh/publish/#publish-as-json>), ntfy.sh or one of your own.
//!
//! Each message carries the delivery key as its sequence id, by which newer apps show a repeated
//! message in the place of the first one. The server keeps both and older apps show both, so this
//! is not what the manifest calls deduplication: a request without an answer is unknown.

mod errors;

use conductor_sdk::{markdown::Source, overflow::Plain, prelude::*, text::consists_of};
use serde::{Deserialize, Serialize};

const TOKEN: &str = "TOKEN";
const PASSWORD: &str = "PASSWORD";

/// Bytes of a message. A longer one becomes an attached file
/// (<https://docs.ntfy.sh/publish/#limitations>).
const MESSAGE_BYTES_MAX: usize = 4_096;
/// Characters of a topic (`topicRegex` in
/// <https://github.com/binwiederhier/ntfy/blob/main/server/server.go>).
const TOPIC_CHARACTERS_MAX: usize = 64;

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The server.
    #[serde(default = "default_url")]
    url: BaseUrl,
    /// The topic to publish to when a notification names no target.
    #[schemars(regex(pattern = "^[-_A-Za-z0-9]{1,64}$"))]
    topic: Option<String>,
    /// The account's name, to sign in with the secret PASSWORD. Without it the secret TOKEN is used,
    /// if there is one.
    #[schemars(length(min = 1, max = 64))]
    username: Option<String>,
    /// Tags of every message; those with the name of an emoji are shown as one
    /// (https://docs.ntfy.sh/emojis/).
    #[serde(default)]
    #[schemars(length(max = 16), inner(regex(pattern = "^[^,\\s]{1,64}$")))]
    tags: Vec<String>,
    /// What happens to a message that is longer than 4,096 bytes.
    #[serde(default)]
    overflow: Overflow,
}

fn default_url() -> BaseUrl {
    BaseUrl::new("https://ntfy.sh")
}

/// What a notification may say to this channel alone, in the member `ntfy` of its `data`.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Extras {
    /// More tags.
    #[serde(skip_serializing)]
    tags: Vec<String>,
    /// What opens when the notification is tapped.
    #[serde(skip_serializing_if = "Option::is_none")]
    click: Option<String>,
    /// The address of a picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    icon: Option<String>,
    /// The address of a file, and its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    attach: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<String>,
    /// Buttons (<https://docs.ntfy.sh/publish/#action-buttons>).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<Value>,
}

/// The request's body.
#[derive(Serialize)]
struct Publish<'a> {
    topic: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    priority: u8,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    markdown: bool,
    sequence_id: String,
    #[serde(flatten)]
    extras: Option<&'a Extras>,
}

/// See the crate's own documentation.
pub struct Ntfy {
    options: Options,
    has_token: bool,
}

impl Channel for Ntfy {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                TOKEN,
                "an access token (ntfy.sh: Account, Access tokens; own server: `ntfy token add`); \
                 needed where the topic is protected",
            )
            .optional_secret(PASSWORD, "the password of the account that `username` names")
            .host("https://ntfy.sh")
            .host("option:url")
            .body_max(4_096, LengthUnit::Bytes)
            .formats([Format::Plain, Format::Markdown])
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        if context.options.username.is_some() {
            context.require_secret(PASSWORD, "the option username needs it")?;
        }
        Ok(Self { has_token: context.has_secret(TOKEN), options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let topic = message.checked_target(
            self.options.topic.as_deref(),
            is_topic,
            "a topic of ntfy: 1 to 64 letters, digits, hyphens and underscores",
        )?;
        let extras: Extras = message.own_data("ntfy")?;
        let parts = self.parts(message)?;
        send_parts(message, &parts, |part, number| {
            self.publish(message, topic, part, number, &extras)
        })
    }

    /// Asks the server how it is (<https://docs.ntfy.sh/config/#health-checks>). It looks at the
    /// credential of every request first, so a wrong one shows here too.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let answer = self.request("GET", "/v1/health")?.fetch()?;
        let answer = answer.success_or(|no| errors::outcome(no, false))?;
        Ok(match answer.text_at("/healthy").as_deref() {
            Some("true") => HealthReport::healthy(),
            Some("false") => HealthReport::unhealthy("the ntfy server says that it is not healthy"),
            _ => HealthReport::degraded(format!(
                "{} does not answer like an ntfy server: {}",
                self.options.url,
                answer.summary()
            )),
        })
    }
}

impl Ntfy {
    fn parts(&self, message: &Message) -> Result<Vec<String>, SendError> {
        let (body, overflow) = (message.body.as_str(), self.options.overflow);
        match message.format {
            Format::Plain => {
                overflow.apply(&Plain::new(body, LengthUnit::Bytes), MESSAGE_BYTES_MAX)
            }
            Format::Markdown => {
                overflow.apply(&Source::new(body, LengthUnit::Bytes), MESSAGE_BYTES_MAX)
            }
        }
    }

    fn publish(
        &self,
        message: &Message,
        topic: &str,
        part: &str,
        number: usize,
        extras: &Extras,
    ) -> Result<Receipt, SendError> {
        let first = number == 0;
        let own_tags = self.options.tags.iter().chain(&extras.tags);
        let publish = Publish {
            topic,
            message: part,
            title: message.title_line().filter(|_| first),
            priority: priority(message.priority),
            tags: own_tags.map(String::as_str).collect(),
            markdown: message.format == Format::Markdown,
            // Letters, digits, hyphens and underscores, 64 at most.
            sequence_id: message.part_key(number).replace(':', "-"),
            extras: first.then_some(extras),
        };
        let own_target = message.target_or(None).is_some();
        let answer = self.request("POST", "/")?.json(&publish).fetch()?;
        let published = answer.success_or(|no| errors::outcome(no, own_target))?;
        // Published, whatever the answer looks like.
        Ok(Receipt::delivered().provider_id_if(published.text_at("/id")))
    }

    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let request = Request::new(method, format!("{}{path}", self.options.url));
        Ok(match &self.options.username {
            Some(username) => {
                request.header("authorization", secrets::basic_auth(username, PASSWORD)?)
            }
            None if self.has_token => request.bearer(&secrets::placeholder(TOKEN)?),
            None => request,
        })
    }
}

/// 1 to 5 (<https://docs.ntfy.sh/publish/#message-priority>).
fn priority(priority: Priority) -> u8 {
    priority.pick([2, 3, 4, 5])
}

fn is_topic(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    consists_of(name, 1..=TOPIC_CHARACTERS_MAX, allowed)
}

conductor_sdk::export!(Ntfy);

#[cfg(test)]
mod tests;
