//! Sends notifications to WhatsApp through Meta's Cloud API, as text or from a template.
//!
//! Text reaches only who has written to the number within the last 24 hours; everybody else needs a
//! template that Meta has approved
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages>).
//! The Cloud API takes a message and reports its end elsewhere, so a success is "accepted". It has
//! nothing by which it would recognise a message that it already has.

mod body;
mod errors;

use std::time::Duration;

use conductor_sdk::{
    Channel, Context, Failure, Format, HealthReport, LengthUnit, Manifest, Message, Overflow,
    RateScope, Receipt, ReceiptStatus, SendError, http::Request, options::BaseUrl,
    overflow::send_parts, secrets, serde_json::Value,
};
use serde::Deserialize;

pub use body::{Field, TemplateOption};

const ACCESS_TOKEN: &str = "ACCESS_TOKEN";

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The id of the number to send from (WhatsApp Manager, or App Dashboard, WhatsApp, API Setup):
    /// not the number itself.
    #[schemars(regex(pattern = "^[0-9]{5,20}$"))]
    phone_number_id: String,
    /// Whom to send to when a notification names no target: a number with its country.
    #[schemars(regex(pattern = "^[+]?[1-9][0-9]{6,14}$"))]
    to: Option<String>,
    /// The template that messages are sent from, unless a notification names one. Without it they
    /// are text, which reaches only who has written within the last 24 hours.
    template: Option<TemplateOption>,
    /// Show a preview of the first address in a text.
    #[serde(default)]
    preview_url: bool,
    /// The version of the Graph API.
    #[serde(default = "default_api_version")]
    #[schemars(regex(pattern = "^v[1-9][0-9]{0,2}[.][0-9]$"))]
    api_version: String,
    /// Where the API is, for a proxy or a test.
    #[serde(default = "default_api_base")]
    api_base: BaseUrl,
    /// What happens to a text that is longer than 4,096 characters. A template's parameters are cut
    /// where this is not "reject": a template cannot be sent in parts.
    #[serde(default)]
    overflow: Overflow,
}

fn default_api_version() -> String {
    "v23.0".to_owned()
}

fn default_api_base() -> BaseUrl {
    BaseUrl::new("https://graph.facebook.com")
}

/// What a notification may say to this channel alone, in the member `whatsapp` of its `data`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    template: Option<body::OwnTemplate>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    whatsapp: Own,
}

/// What is of use of the answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Taken {
    messages: Vec<TakenMessage>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TakenMessage {
    id: Option<String>,
    message_status: Option<String>,
}

/// See the crate's own documentation.
pub struct WhatsApp {
    options: Options,
}

impl Channel for WhatsApp {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                ACCESS_TOKEN,
                "the token of a system user with whatsapp_business_messaging (Business settings, \
                 System users); the one of the API Setup page ends after a day",
            )
            .host("https://graph.facebook.com")
            .host("option:api_base")
            .body_max(4_096, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
            .rate(RateScope::Credential, 80, Duration::from_secs(1))
            .rate(RateScope::Destination, 1, Duration::from_secs(6))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self { options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let Options { template, overflow, preview_url, .. } = &self.options;
        let to = number(message.require_target(self.options.to.as_deref())?)?;
        let Data { whatsapp } = message.parse_data()?;
        let own_template = whatsapp.template.is_some();
        let bodies = match (whatsapp.template, template) {
            (Some(own), _) => vec![body::from_own(own, *overflow)?],
            (None, Some(template)) => vec![body::from_option(template, message, *overflow)?],
            (None, None) => body::texts(message, *overflow, *preview_url)?,
        };
        let mut receipt =
            send_parts(message, &bodies, |body, _| self.post(to, body, own_template))?;
        receipt.status = ReceiptStatus::Accepted;
        Ok(receipt)
    }

    fn health(&self) -> HealthReport {
        self.probe().unwrap_or_else(HealthReport::from)
    }
}

impl WhatsApp {
    fn post(&self, to: &str, body: &Value, own_template: bool) -> Result<Receipt, SendError> {
        let mut body = body.clone();
        for (name, value) in
            [("messaging_product", "whatsapp"), ("recipient_type", "individual"), ("to", to)]
        {
            body[name] = value.into();
        }
        let response = self.request("POST", "/messages")?.json(&body).fetch()?;
        if !response.is_success() {
            return Err(errors::outcome(&response, own_template));
        }
        // Taken, whatever the answer looks like.
        let taken: Taken = response.json().unwrap_or_default();
        let message = taken.messages.into_iter().next().unwrap_or_default();
        let mut receipt = Receipt::accepted();
        receipt.provider_id = message.id;
        Ok(match message.message_status {
            Some(status) => receipt.detail("status", status),
            None => receipt,
        })
    }

    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let Options { api_base, api_version, phone_number_id, .. } = &self.options;
        let token = secrets::placeholder(ACCESS_TOKEN)?;
        Ok(Request::new(method, format!("{api_base}/{api_version}/{phone_number_id}{path}"))
            .header("authorization", format!("Bearer {token}")))
    }

    /// Asks for the number that is sent from.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let fields = "?fields=display_phone_number,verified_name,quality_rating";
        let response = self.request("GET", fields)?.fetch()?;
        if !response.is_success() {
            return Err(errors::outcome(&response, false));
        }
        let answer: Value = response.json().unwrap_or_default();
        let text = |name| answer.get(name).and_then(Value::as_str).unwrap_or("unknown");
        let (number, name) = (text("display_phone_number"), text("verified_name"));
        Ok(match text("quality_rating") {
            // The number is about to be held back
            // (https://developers.facebook.com/documentation/business-messaging/whatsapp/messaging-limits).
            "RED" => HealthReport::degraded(format!(
                "WhatsApp rates the quality of {number} (\"{name}\") as low"
            )),
            _ => HealthReport {
                detail: Some(format!("WhatsApp sends as {number} (\"{name}\")")),
                ..HealthReport::healthy()
            },
        })
    }
}

/// A telephone number with its country.
fn number(target: &str) -> Result<&str, SendError> {
    let digits = target.strip_prefix('+').unwrap_or(target);
    let is_number = (7..=15).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0');
    if is_number {
        return Ok(target);
    }
    Err(SendError::rejected(
        "invalid_target",
        "the target must be a telephone number with its country, without spaces: +15550100",
    ))
}

conductor_sdk::export!(WhatsApp);

#[cfg(test)]
mod tests;
