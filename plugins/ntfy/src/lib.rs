//! Pushes notifications to phones and desktops through an ntfy server
//! (<https://docs.ntfy.sh/publish/#publish-as-json>), ntfy.sh or one of your own.
//!
//! Each message carries the delivery key as its sequence id, by which newer apps show a repeated
//! message in the place of the first one. The server keeps both and older apps show both, so this
//! is not what the manifest calls deduplication: a request without an answer is unknown.

mod errors;

use conductor_sdk::{
    Channel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Message, Overflow,
    Priority, Receipt, SendError,
    http::Request,
    markdown,
    options::BaseUrl,
    overflow::{Plain, send_parts},
    secrets, serde_json,
    text::one_line,
};
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
    actions: Vec<serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    ntfy: Extras,
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

/// What is of use of the answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Published {
    id: Option<String>,
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
        if context.options.username.is_some() && !context.has_secret(PASSWORD) {
            return Err(Failure::configuration(
                "missing_secret",
                "the option username needs the secret PASSWORD",
            ));
        }
        Ok(Self { has_token: context.has_secret(TOKEN), options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let topic = topic(message.require_target(self.options.topic.as_deref())?)?;
        let data: Data = message.parse_data()?;
        let parts = self.parts(message)?;
        send_parts(message, &parts, |part, number| {
            self.publish(message, topic, part, number, &data.ntfy)
        })
    }

    fn health(&self) -> HealthReport {
        self.probe().unwrap_or_else(HealthReport::from)
    }
}

impl Ntfy {
    fn parts(&self, message: &Message) -> Result<Vec<String>, SendError> {
        let overflow = self.options.overflow;
        match message.format {
            Format::Plain => {
                overflow.apply(&Plain::new(&message.body, LengthUnit::Bytes), MESSAGE_BYTES_MAX)
            }
            Format::Markdown => overflow
                .apply(&markdown::Source::new(&message.body, LengthUnit::Bytes), MESSAGE_BYTES_MAX),
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
        let title = message.title.as_deref().map(one_line).filter(|title| !title.is_empty());
        let publish = Publish {
            topic,
            message: part,
            title: title.filter(|_| first),
            priority: priority(message.priority),
            tags: own_tags.map(String::as_str).collect(),
            markdown: message.format == Format::Markdown,
            sequence_id: sequence_id(message, number),
            extras: first.then_some(extras),
        };
        let response = self.request("POST", "/")?.json(&publish).fetch()?;
        if !response.is_success() {
            return Err(errors::outcome(&response, message.target_or(None).is_some()));
        }
        // Published, whatever the answer looks like.
        let published: Published = response.json().unwrap_or_default();
        let mut receipt = Receipt::delivered();
        receipt.provider_id = published.id;
        Ok(receipt)
    }

    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let request = Request::new(method, format!("{}{path}", self.options.url));
        Ok(match &self.options.username {
            Some(username) => {
                request.header("authorization", secrets::basic_auth(username, PASSWORD)?)
            }
            None if self.has_token => {
                request.header("authorization", format!("Bearer {}", secrets::placeholder(TOKEN)?))
            }
            None => request,
        })
    }

    /// Asks the server how it is (<https://docs.ntfy.sh/config/#health-checks>). It looks at the
    /// credential of every request first, so a wrong one shows here too.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let response = self.request("GET", "/v1/health")?.fetch()?;
        if !response.is_success() {
            return Err(errors::outcome(&response, false));
        }
        let answer: serde_json::Value = response.json().unwrap_or_default();
        Ok(match answer.get("healthy").and_then(serde_json::Value::as_bool) {
            Some(true) => HealthReport::healthy(),
            Some(false) => HealthReport::unhealthy("the ntfy server says that it is not healthy"),
            None => HealthReport::degraded(format!(
                "{} does not answer like an ntfy server: {}",
                self.options.url,
                response.summary()
            )),
        })
    }
}

/// 1 to 5 (<https://docs.ntfy.sh/publish/#message-priority>).
fn priority(priority: Priority) -> u8 {
    match priority {
        Priority::Low => 2,
        Priority::Normal => 3,
        Priority::High => 4,
        Priority::Urgent => 5,
    }
}

fn topic(name: &str) -> Result<&str, SendError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if (1..=TOPIC_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(name);
    }
    Err(SendError::rejected(
        "invalid_target",
        "the target must be a topic of ntfy: 1 to 64 letters, digits, hyphens and underscores",
    ))
}

/// The same for the same part on every attempt. Letters, digits, hyphens and underscores, 64 at most.
fn sequence_id(message: &Message, part: usize) -> String {
    let key = message.delivery_key.replace(':', "-");
    match part {
        0 => key,
        part => format!("{key}-{part}"),
    }
}

conductor_sdk::export!(Ntfy);

#[cfg(test)]
mod tests;
