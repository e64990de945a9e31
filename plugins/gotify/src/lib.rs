//! Pushes notifications through a Gotify server (<https://gotify.net/docs/pushmsg>), which people
//! run themselves.
//!
//! Gotify has no limit of length and no rate, and nothing by which it would recognise a message
//! that it already has: a request without an answer is unknown.

use conductor_sdk::{prelude::*, serde_json::Map};
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
        priority.pick([self.low, self.normal, self.high, self.urgent])
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
    extras: Map<String, Value>,
}

/// The request's body.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<&'a str>,
    message: &'a str,
    priority: u8,
    extras: Map<String, Value>,
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
        let own: Own = message.own_data("gotify")?;
        let response = http::post(format!("{}/message", self.url))
            .header("x-gotify-key", secrets::placeholder(APP_TOKEN)?)
            .json(&Body {
                title: message.title.as_deref(),
                message: &message.body,
                priority: self.priorities.of(message.priority),
                extras: extras(message.format, own),
            })
            .fetch()?;
        // Stored, whatever the answer looks like.
        let created = response.success_or(outcome)?;
        Ok(Receipt::delivered().provider_id_if(created.text_at("/id")))
    }

    /// Gotify has no call that only looks at an application's token, so this asks for the server and
    /// its database (`GET /health`).
    fn probe(&self) -> Result<HealthReport, SendError> {
        let answer = http::get(format!("{}/health", self.url)).fetch()?;
        let (health, database) = (answer.text_at("/health"), answer.text_at("/database"));
        Ok(match (health.as_deref(), database.as_deref()) {
            (Some("green"), Some("green")) => HealthReport::healthy(),
            (Some(health), Some(database)) => HealthReport::unhealthy(format!(
                "Gotify says that its health is {health} and its database {database}"
            )),
            _ if answer.is_success() => HealthReport::degraded(format!(
                "{} does not answer like a Gotify server: {}",
                self.url,
                answer.summary()
            )),
            _ => HealthReport::unhealthy(answer.summary()),
        })
    }
}

/// The message's own extras win over those that are made from it.
fn extras(format: Format, own: Own) -> Map<String, Value> {
    let content_type = match format {
        Format::Plain => "text/plain",
        Format::Markdown => "text/markdown",
    };
    let click = own.click.map(|url| json!({ "url": url }));
    let notification = without_nulls(json!({ "click": click, "bigImageUrl": own.image }));
    let mut extras = Map::new();
    extras.insert("client::display".to_owned(), json!({ "contentType": content_type }));
    if notification != json!({}) {
        extras.insert("client::notification".to_owned(), notification);
    }
    extras.extend(own.extras);
    extras
}

/// What an answer that is not 2xx means.
fn outcome(response: &Response) -> SendError {
    // Its `errorCode` is the status once more.
    let refusal = response.refusal_at("Gotify", "", &["/error", "/errorDescription"]);
    match response.status {
        // A client's token in place of an application's; no Gotify under this address.
        403 | 404 => refusal.misconfigured(),
        _ => refusal.by_status(RetryScope::Credential),
    }
}

conductor_sdk::export!(Gotify);

#[cfg(test)]
mod tests;
