//! Opens, acknowledges and resolves PagerDuty alerts by events
//! (<https://developer.pagerduty.com/docs/events-api-v2-overview>).
//!
//! PagerDuty recognises an alert by its `dedup_key`. It is the delivery key unless the notification
//! names one, so a request without an answer can be repeated.

mod event;

use conductor_sdk::{prelude::*, serde_json};
use serde::{Deserialize, Serialize};

const ROUTING_KEY: &str = "ROUTING_KEY";
const API_US: &str = "https://events.pagerduty.com";
const API_EU: &str = "https://events.eu.pagerduty.com";

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
    #[serde(default)]
    api_base: ApiBase,
}

/// See the crate's own documentation.
pub struct PagerDuty {
    options: Options,
    tenant_name: String,
    url: String,
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
            .host(API_US)
            .host(API_EU)
            .host("option:api_base")
            .deduplicates_by_key(event::DEDUP_KEY_CHARACTERS_MAX)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let options = context.options;
        let base = options.api_base.or(match options.region {
            Region::Us => API_US,
            Region::Eu => API_EU,
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
        // The same key is the same alert, so sending the event again is safe.
        let response = http::post(&self.url)
            .header("content-type", "application/json")
            .body(body)
            .fetch()
            .map_err(HttpError::repeatable)?;
        let taken = response.success_or(outcome)?;
        // PagerDuty has taken the event and works on it; it tells nobody how that ends.
        let dedup_key = taken.text_at("/dedup_key").unwrap_or(event.dedup_key);
        Ok(Receipt::accepted().provider_id(dedup_key))
    }
}

/// What an answer that is not 2xx means
/// (<https://developer.pagerduty.com/docs/events-api-v2-overview#response-codes--retry-logic>,
/// <https://github.com/PagerDuty/api-schema/blob/main/reference/events-v2/openapiv3.json>).
fn outcome(response: &Response) -> SendError {
    let body = response.json_or_null();
    let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten();
    let all = body.get("message").into_iter().chain(errors).filter_map(Value::as_str);
    let words = all.filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
    // The words are the only sign that it is the key that PagerDuty does not take.
    let is_the_key = words.replace('_', " ").to_lowercase().contains("routing key");
    let code = if is_the_key { "invalid_routing_key" } else { "" };
    let refusal = response.refusal("PagerDuty", code, &words);
    match response.status {
        400 if is_the_key => refusal.misconfigured(),
        403 | 404 => refusal.misconfigured(),
        429 => refusal.retry(RetryScope::Credential, Some(RATE_LIMIT_WAIT)),
        _ => refusal.by_status(RetryScope::Credential),
    }
}

conductor_sdk::export!(PagerDuty);

#[cfg(test)]
mod tests;
