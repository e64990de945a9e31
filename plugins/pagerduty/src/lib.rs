//! Opens, acknowledges and resolves PagerDuty alerts by events
//! (<https://developer.pagerduty.com/docs/events-api-v2-overview>).
//!
//! PagerDuty recognises an alert by its `dedup_key`. It is the delivery key unless the notification
//! names one, so a request without an answer can be repeated.

mod event;

use std::time::Duration;

use conductor_sdk::{
    Channel, Context, Failure, LengthUnit, Manifest, Message, Receipt, Retry, RetryScope,
    SendError,
    http::{self, HttpError, Response},
    options::BaseUrl,
    secrets, serde_json, text,
};
use serde::{Deserialize, Serialize};

const ROUTING_KEY: &str = "ROUTING_KEY";

/// Bytes of an event (<https://developer.pagerduty.com/docs/events-api-v2-overview#size-limits>),
/// counted in thousands to be on the safe side.
const EVENT_BYTES_MAX: usize = 512_000;

/// "A backoff of a few minutes"
/// (<https://developer.pagerduty.com/docs/events-api-v2-overview#rate-limits>).
const RATE_LIMIT_WAIT: Duration = Duration::from_secs(2 * 60);

/// Where the account is (<https://support.pagerduty.com/main/docs/service-regions>).
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Region {
    /// In the United States.
    #[default]
    Us,
    /// In Europe: the account's address ends in `.eu.pagerduty.com`.
    Eu,
}

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where the account is.
    #[serde(default)]
    region: Region,
    /// What is affected, where a notification does not say: a host name, a service. The tenant's
    /// name unless set.
    #[schemars(length(min = 1, max = 255))]
    source: Option<String>,
    /// The part of it, for example a database.
    #[schemars(length(min = 1, max = 255))]
    component: Option<String>,
    /// The group it belongs to.
    #[schemars(length(min = 1, max = 255))]
    group: Option<String>,
    /// The kind of event, for example "ping failure".
    #[schemars(length(min = 1, max = 255))]
    class: Option<String>,
    /// Where the API is, for a proxy or a test, in place of the region's.
    api_base: Option<BaseUrl>,
}

/// See the crate's own documentation.
pub struct PagerDuty {
    options: Options,
    tenant_name: String,
    url: String,
}

/// The body of any answer
/// (<https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    message: String,
    errors: Vec<String>,
    dedup_key: Option<String>,
}

impl Channel for PagerDuty {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                ROUTING_KEY,
                "the integration key of an Events API v2 integration, 32 characters (Services, \
                 your service, Integrations)",
            )
            .host("https://events.pagerduty.com")
            .host("https://events.eu.pagerduty.com")
            .host("option:api_base")
            .deduplicates_by_key(event::DEDUP_KEY_CHARACTERS_MAX)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let options = context.options;
        let base = options.api_base.clone().unwrap_or_else(|| {
            BaseUrl::new(match options.region {
                Region::Us => "https://events.pagerduty.com",
                Region::Eu => "https://events.eu.pagerduty.com",
            })
        });
        let url = format!("{base}/v2/enqueue");
        Ok(Self { options, tenant_name: context.tenant_name, url })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let routing_key = secrets::placeholder(ROUTING_KEY)?;
        let event = event::build(message, &self.options, &self.tenant_name, &routing_key)?;
        let body = serde_json::to_vec(&event)
            .map_err(|error| SendError::rejected("invalid_request", error.to_string()))?;
        if body.len() > EVENT_BYTES_MAX {
            return Err(SendError::rejected(
                "too_long",
                format!(
                    "the event has {} bytes and PagerDuty takes {EVENT_BYTES_MAX}; send less data \
                     or a shorter message",
                    body.len()
                ),
            ));
        }
        let response = http::post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .fetch()
            .map_err(repeatable)?;
        let answer: Answer = response.json().unwrap_or_default();
        if !response.is_success() {
            return Err(outcome(&response, &answer));
        }
        // PagerDuty has taken the event and works on it; it tells nobody how that ends.
        let dedup_key = answer.dedup_key.unwrap_or_else(|| event.dedup_key.clone());
        Ok(Receipt::accepted().provider_id(dedup_key))
    }
}

/// The same key is the same alert, so sending the event again is safe.
fn repeatable(error: HttpError) -> SendError {
    match SendError::from(error) {
        SendError::Unknown(problem) => SendError::retry(problem.code, problem.detail),
        error => error,
    }
}

/// What an answer that is not 2xx means
/// (<https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic>).
fn outcome(response: &Response, answer: &Answer) -> SendError {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let code = format!("http_{}", response.status);
    let said = [&[answer.message.clone()], answer.errors.as_slice()].concat().join("; ");
    let detail = if said.is_empty() {
        response.summary()
    } else {
        let unit = LengthUnit::Characters;
        format!("PagerDuty: {}", text::truncate(&said, MESSAGE_CHARACTERS_MAX, unit))
    };
    match response.status {
        // The words are the only sign that it is the key that PagerDuty does not take.
        400 if said.replace('_', " ").to_lowercase().contains("routing key") => {
            SendError::misconfigured("invalid_routing_key", detail)
        }
        401 | 403 | 404 => SendError::misconfigured(code, detail),
        429 => Retry::new(code, detail)
            .after(Some(response.retry_after().unwrap_or(RATE_LIMIT_WAIT)))
            .scope(RetryScope::Credential)
            .into(),
        408 | 425 | 500..=599 => Retry::new(code, detail).after(response.retry_after()).into(),
        _ => SendError::rejected(code, detail),
    }
}

conductor_sdk::export!(PagerDuty);

#[cfg(test)]
mod tests;
