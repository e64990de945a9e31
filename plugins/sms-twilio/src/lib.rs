//! Sends notifications as SMS, or as MMS with pictures, through Twilio
//! (<https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>).
//!
//! Twilio takes a message and sends it later, so a success is "accepted". It has nothing by which it
//! would recognise a message that it already has: a request without an answer is unknown.

mod errors;

use conductor_sdk::{overflow::Plain, prelude::*, text::is_international_number};
use serde::Deserialize;

const AUTH_TOKEN: &str = "AUTH_TOKEN";
const API: &str = "https://api.twilio.com";

/// Characters of a body
/// (<https://www.twilio.com/docs/messaging/api/message-resource#request-body-parameters>). Twilio
/// makes as many segments of it as the networks need, each of which costs.
const BODY_CHARACTERS_MAX: usize = 1_600;
/// Pictures of a message.
const MEDIA_MAX: usize = 10;

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The account (Console, Account Info).
    #[schemars(regex(pattern = "^AC[0-9a-fA-F]{32}$"))]
    account_sid: String,
    /// The API key whose secret AUTH_TOKEN is, in place of the account's own token.
    #[schemars(regex(pattern = "^SK[0-9a-fA-F]{32}$"))]
    api_key_sid: Option<String>,
    /// Who it is from: a number with its country (+15550100), a short code, or a name of 1 to 11
    /// characters where the country allows it. Either this or messaging_service_sid.
    #[schemars(regex(pattern = "^([+][1-9][0-9]{1,14}|[0-9]{3,8}|[A-Za-z0-9 +_&-]{1,11})$"))]
    from: Option<String>,
    /// The messaging service that chooses the sender. Either this or from.
    #[schemars(regex(pattern = "^MG[0-9a-fA-F]{32}$"))]
    messaging_service_sid: Option<String>,
    /// Whom to send to when a notification names no target: a number with its country.
    #[schemars(regex(pattern = "^[+][1-9][0-9]{1,14}$"))]
    to: Option<String>,
    /// Where Twilio reports what becomes of a message.
    #[schemars(regex(pattern = "^https?://"))]
    status_callback: Option<String>,
    /// How long Twilio may keep a message that it cannot send at once, in seconds; never longer than
    /// the notification's own `expiresAt`.
    #[schemars(range(min = 1, max = 36_000))]
    validity_period_s: Option<u32>,
    /// Where the API is: another region, a proxy or a test; https://api.twilio.com unless set.
    #[serde(default)]
    api_base: ApiBase,
    /// What happens to a message that is longer than 1,600 characters.
    #[serde(default)]
    overflow: Overflow,
}

/// What a notification may say to this channel alone, in the member `twilio` of its `data`.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    /// Addresses of pictures, for an MMS.
    media_urls: Vec<String>,
}

/// See the crate's own documentation.
pub struct Twilio {
    options: Options,
}

impl Channel for Twilio {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                AUTH_TOKEN,
                "the account's auth token (Console, Account Info), or the secret of the API key \
                 that api_key_sid names",
            )
            .api(API, "api_base")
            .body_max(1_600, LengthUnit::Characters)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let options = context.options;
        if options.from.is_some() == options.messaging_service_sid.is_some() {
            return Err(Failure::configuration(
                "invalid_options",
                "set one of the options from and messaging_service_sid, and not both",
            ));
        }
        Ok(Self { options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let to = message.checked_target(
            self.options.to.as_deref(),
            |target| target.strip_prefix('+').is_some_and(is_international_number),
            "a telephone number with its country, without spaces: +15550100",
        )?;
        let own: Own = message.own_data("twilio")?;
        if own.media_urls.len() > MEDIA_MAX {
            return Err(SendError::invalid_data(format!(
                "data.twilio.media_urls has {} addresses and Twilio takes {MEDIA_MAX}",
                own.media_urls.len()
            )));
        }
        let body = body(message);
        let text = Plain::new(&body, LengthUnit::Characters);
        let parts = self.options.overflow.apply(&text, BODY_CHARACTERS_MAX)?;
        send_parts(message, &parts, |part, number| {
            let media: &[String] = if number == 0 { &own.media_urls } else { &[] };
            self.create(message, to, part, media)
        })
    }

    /// Asks for the account. An API key may not do that, but it may look at one message
    /// (<https://www.twilio.com/docs/iam/api-keys#api-key-types>).
    fn probe(&self) -> Result<HealthReport, SendError> {
        let path =
            if self.options.api_key_sid.is_some() { "/Messages.json?PageSize=1" } else { ".json" };
        let answer = self.request("GET", path)?.fetch()?.success_or(errors::outcome)?;
        Ok(match answer.text_at("/status").as_deref() {
            None | Some("active") => HealthReport::healthy(),
            Some(other) => {
                HealthReport::unhealthy(format!("Twilio says that the account is {other}"))
            }
        })
    }
}

impl Twilio {
    fn create(
        &self,
        message: &Message,
        to: &str,
        body: &str,
        media: &[String],
    ) -> Result<Receipt, SendError> {
        let options = &self.options;
        let validity = validity_period_s(message, options.validity_period_s);
        let validity = validity.map(|seconds| seconds.to_string());
        let optional = [
            ("From", &options.from),
            ("MessagingServiceSid", &options.messaging_service_sid),
            ("StatusCallback", &options.status_callback),
            ("ValidityPeriod", &validity),
        ];
        let mut form = vec![("To", to), ("Body", body)];
        form.extend(optional.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
        form.extend(media.iter().map(|url| ("MediaUrl", url.as_str())));
        let answer = self.request("POST", "/Messages.json")?.form(&form).fetch()?;
        let created = answer.success_or(errors::outcome)?;
        // Taken, whatever the answer looks like.
        Ok(Receipt::accepted()
            .provider_id_if(created.text_at("/sid"))
            .detail_if("status", created.text_at("/status"))
            .detail_if("segments", created.text_at("/num_segments")))
    }

    fn request(&self, method: &str, path: &str) -> Result<Request, SendError> {
        let Options { api_base, account_sid, api_key_sid, .. } = &self.options;
        let username = api_key_sid.as_deref().unwrap_or(account_sid);
        let url = format!("{}/2010-04-01/Accounts/{account_sid}{path}", api_base.or(API));
        Ok(Request::new(method, url)
            .header("authorization", secrets::basic_auth(username, AUTH_TOKEN)?))
    }
}

/// As long as anybody wants the message, and no longer than the option says.
fn validity_period_s(message: &Message, option: Option<u32>) -> Option<u64> {
    // What lives longer needs no limit: this is Twilio's own.
    const MAX_S: u64 = 36_000;
    let left = message.time_left().map(|left| left.as_secs()).filter(|left| *left < MAX_S);
    let option = option.map(u64::from);
    let period = left.into_iter().chain(option).min()?;
    Some(period.max(1))
}

/// An SMS has no title: it is the first line.
fn body(message: &Message) -> String {
    match message.title_line() {
        None => message.body.clone(),
        Some(title) => format!("{title}\n{}", message.body),
    }
}

conductor_sdk::export!(Twilio);

#[cfg(test)]
mod tests;
