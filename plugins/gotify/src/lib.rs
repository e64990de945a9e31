//! Pushes notifications through a Gotify server (<https://gotify.net/docs/pushmsg>), which people
//! run themselves.
//!
//! Gotify has no limit of length and no rate, and nothing by which it would recognise a message
//! that it already has: a request without an answer is unknown.

use conductor_sdk::{
    Channel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Message, Priority,
    Receipt, Retry, SendError,
    http::{self, Response},
    json,
    options::BaseUrl,
    secrets, serde_json, text,
};
use serde::{Deserialize, Serialize};

const APP_TOKEN: &str = "APP_TOKEN";

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The server, with the path it has behind a proxy.
    url: BaseUrl,
    /// The priorities, 0 to 10, in place of the usual ones.
    #[serde(default)]
    priorities: Priorities,
}

/// What Gotify's Android app does with a number
/// (<https://github.com/gotify/android#message-priorities>): 0 nothing, 1 to 3 an icon, 4 to 7 a
/// sound, 8 to 10 a sound and vibration.
#[derive(Clone, Copy, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Priorities {
    /// For a notification of low priority.
    #[schemars(range(max = 10))]
    low: u8,
    /// For a notification of normal priority.
    #[schemars(range(max = 10))]
    normal: u8,
    /// For a notification of high priority.
    #[schemars(range(max = 10))]
    high: u8,
    /// For an urgent notification.
    #[schemars(range(max = 10))]
    urgent: u8,
}

impl Default for Priorities {
    fn default() -> Self {
        Self { low: 2, normal: 5, high: 8, urgent: 10 }
    }
}

impl Priorities {
    fn of(self, priority: Priority) -> u8 {
        match priority {
            Priority::Low => self.low,
            Priority::Normal => self.normal,
            Priority::High => self.high,
            Priority::Urgent => self.urgent,
        }
    }
}

/// What a notification may say to this channel alone, in the member `gotify` of its `data`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// What opens when the notification is tapped.
    click: Option<String>,
    /// The address of a picture to show with it.
    image: Option<String>,
    /// Gotify's own extras (<https://gotify.net/docs/msgextras>).
    extras: serde_json::Map<String, serde_json::Value>,
}

#[derive(Default, Deserialize)]
struct Data {
    #[serde(default)]
    gotify: Own,
}

/// The request's body.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    message: &'a str,
    priority: u8,
    extras: serde_json::Value,
}

/// The body of an error. Gotify's `errorCode` is the status once more.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Refusal {
    error: String,
    error_description: String,
}

/// What is of use of the answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Created {
    id: Option<u64>,
}

/// See the crate's own documentation.
pub struct Gotify {
    url: BaseUrl,
    priorities: Priorities,
}

impl Channel for Gotify {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(APP_TOKEN, "the token of an application (Gotify: Apps, Create application)")
            .host("option:url")
            .formats([Format::Plain, Format::Markdown])
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let Options { url, priorities } = context.options;
        Ok(Self { url, priorities })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let Data { gotify } = message.parse_data()?;
        let response = http::post(format!("{}/message", self.url))
            .header("x-gotify-key", secrets::placeholder(APP_TOKEN)?)
            .json(&Body {
                title: message.title.as_deref(),
                message: &message.body,
                priority: self.priorities.of(message.priority),
                extras: extras(message.format, gotify),
            })
            .fetch()?;
        if !response.is_success() {
            return Err(outcome(&response));
        }
        // Stored, whatever the answer looks like.
        let created: Created = response.json().unwrap_or_default();
        let mut receipt = Receipt::delivered();
        receipt.provider_id = created.id.map(|id| id.to_string());
        Ok(receipt)
    }

    /// Gotify has no call that only looks at an application's token, so this asks for the server and
    /// its database (`GET /health`).
    fn health(&self) -> HealthReport {
        self.probe().unwrap_or_else(HealthReport::from)
    }
}

impl Gotify {
    fn probe(&self) -> Result<HealthReport, SendError> {
        let response = http::get(format!("{}/health", self.url)).fetch()?;
        let answer: serde_json::Value = response.json().unwrap_or_default();
        let part = |name| answer.get(name).and_then(serde_json::Value::as_str);
        Ok(match (part("health"), part("database")) {
            (Some("green"), Some("green")) => HealthReport::healthy(),
            (Some(health), Some(database)) => HealthReport::unhealthy(format!(
                "Gotify says that its health is {health} and its database {database}"
            )),
            _ if response.is_success() => HealthReport::degraded(format!(
                "{} does not answer like a Gotify server: {}",
                self.url,
                response.summary()
            )),
            _ => HealthReport::unhealthy(response.summary()),
        })
    }
}

/// The message's own extras win over those that are made from it.
fn extras(format: Format, own: Own) -> serde_json::Value {
    let content_type = match format {
        Format::Plain => "text/plain",
        Format::Markdown => "text/markdown",
    };
    let mut extras: serde_json::Value =
        json!({ "client::display": { "contentType": content_type } });
    if let Some(url) = own.click {
        extras["client::notification"]["click"] = json!({ "url": url });
    }
    if let Some(image) = own.image {
        extras["client::notification"]["bigImageUrl"] = image.into();
    }
    for (name, value) in own.extras {
        extras[name] = value;
    }
    extras
}

/// What an answer that is not 2xx means.
fn outcome(response: &Response) -> SendError {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let refusal: Refusal = response.json().unwrap_or_default();
    let code = format!("http_{}", response.status);
    let detail = match [refusal.error, refusal.error_description].join(": ") {
        nothing if nothing == ": " => response.summary(),
        said => {
            let unit = LengthUnit::Characters;
            format!("Gotify: {}", text::truncate(&said, MESSAGE_CHARACTERS_MAX, unit))
        }
    };
    match response.status {
        // No such application; a client's token in place of an application's; and no Gotify under
        // this address.
        401 | 403 | 404 => SendError::misconfigured(code, detail),
        408 | 425 | 429 | 500..=599 => {
            Retry::new(code, detail).after(response.retry_after()).into()
        }
        _ => SendError::rejected(code, detail),
    }
}

conductor_sdk::export!(Gotify);

#[cfg(test)]
mod tests;
