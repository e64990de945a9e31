//! Sends notifications to WhatsApp through Meta's Cloud API, as text or from a template.
//!
//! Text reaches only who has written to the number within the last 24 hours; everybody else needs a
//! template that Meta has approved
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages>).
//! The Cloud API takes a message and reports its end elsewhere, so a success is "accepted". It has
//! nothing by which it would recognise a message that it already has.

mod body;
mod errors;

use conductor_sdk::{prelude::*, text::is_international_number};
use serde::Deserialize;

pub use body::{Field, TemplateOption};

const ACCESS_TOKEN: &str = "ACCESS_TOKEN";
const API: &str = "https://graph.facebook.com";

/// The channel, which is its options: it keeps nothing else.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhatsApp {
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
    /// Where the API is, for a proxy or a test; https://graph.facebook.com unless set.
    #[serde(default)]
    api_base: ApiBase,
    /// What happens to a text that is longer than 4,096 characters. A template's parameters are cut
    /// where this is not "reject": a template cannot be sent in parts.
    #[serde(default)]
    overflow: Overflow,
}

fn default_api_version() -> String {
    "v23.0".to_owned()
}

/// What a notification may say to this channel alone, in the member `whatsapp` of its `data`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    template: Option<body::OwnTemplate>,
}

impl Channel for WhatsApp {
    type Options = Self;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                ACCESS_TOKEN,
                "the token of a system user with whatsapp_business_messaging (Business settings, \
                 System users); the one of the API Setup page ends after a day",
            )
            .api(API, "api_base")
            .body_max(4_096, LengthUnit::Characters)
            .formats([Format::Plain, Format::Markdown])
            .rate(RateScope::Credential, 80, Duration::from_secs(1))
            .rate(RateScope::Destination, 1, Duration::from_secs(6))
    }

    fn initialize(context: Context<Self>) -> Result<Self, Failure> {
        Ok(context.options)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let to = message.checked_target(
            self.to.as_deref(),
            is_number,
            "a telephone number with its country, without spaces: +15550100",
        )?;
        let own: Own = message.own_data("whatsapp")?;
        let own_template = own.template.is_some();
        let filled = self.template.as_ref().map(|template| template.filled_with(message));
        let bodies = match own.template.or(filled) {
            Some(template) => vec![body::of_template(template, self.overflow)?],
            None => body::texts(message, self.overflow, self.preview_url)?,
        };
        let to =
            json!({ "messaging_product": "whatsapp", "recipient_type": "individual", "to": to });
        send_parts(message, &bodies, |body, _| {
            let request = self.request("POST", "/messages")?.json(&with_members(body, to.clone()));
            let taken = request.fetch()?.success_or(|no| errors::outcome(no, own_template))?;
            // Taken, whatever the answer looks like.
            Ok(Receipt::accepted()
                .provider_id_if(taken.text_at("/messages/0/id"))
                .detail_if("status", taken.text_at("/messages/0/message_status")))
        })
    }

    /// Asks for the number that is sent from.
    fn probe(&self) -> Result<HealthReport, SendError> {
        let fields = "?fields=display_phone_number,verified_name,quality_rating";
        let answer = self.request("GET", fields)?.fetch()?;
        let answer = answer.success_or(|no| errors::outcome(no, false))?;
        let text = |name| answer.text_at(name).unwrap_or_else(|| "unknown".to_owned());
        let (number, name) = (text("/display_phone_number"), text("/verified_name"));
        // Rated red, the number is about to be held back
        // (https://developers.facebook.com/documentation/business-messaging/whatsapp/messaging-limits).
        if text("/quality_rating") == "RED" {
            let detail = format!("WhatsApp rates the quality of {number} (\"{name}\") as low");
            return Ok(HealthReport::degraded(detail));
        }
        let detail = format!("WhatsApp sends as {number} (\"{name}\")");
        Ok(HealthReport::healthy_and(Some(detail)))
    }
}

impl WhatsApp {
    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let Self { api_base, api_version, phone_number_id, .. } = self;
        let url = format!("{}/{api_version}/{phone_number_id}{path}", api_base.or(API));
        Ok(Request::new(method, url).bearer(&secrets::placeholder(ACCESS_TOKEN)?))
    }
}

/// With a plus sign or without.
fn is_number(target: &str) -> bool {
    let digits = target.strip_prefix('+').unwrap_or(target);
    digits.len() >= 7 && is_international_number(digits)
}

conductor_sdk::export!(WhatsApp);

#[cfg(test)]
mod tests;
