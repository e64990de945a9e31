//! The event (<https://developer.pagerduty.com/docs/send-alert-event>).

use conductor_sdk::{prelude::*, serde_json::Map, text};
use serde::{Deserialize, Serialize};

use crate::Options;

/// Characters of `dedup_key`.
pub(crate) const DEDUP_KEY_CHARACTERS_MAX: usize = 255;
/// Characters of `payload.summary`.
const SUMMARY_CHARACTERS_MAX: usize = 1_024;

/// What the event does with its alert.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    #[default]
    Trigger,
    Acknowledge,
    Resolve,
}

#[derive(Clone, Copy, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    Critical,
    Error,
    Warning,
    Info,
}

const SEVERITIES: [Severity; 4] =
    [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical];

/// What a notification may say to this channel alone, in the member `pagerduty` of its `data`. The
/// other members go into the alert as its details.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Own {
    action: Action,
    dedup_key: Option<String>,
    severity: Option<Severity>,
    source: Option<String>,
    component: Option<String>,
    group: Option<String>,
    class: Option<String>,
    /// Objects as PagerDuty has them: `href` and `text`; `src`, `href` and `alt`.
    links: Vec<Value>,
    images: Vec<Value>,
}

/// The request's body.
#[derive(Serialize)]
pub(crate) struct Event<'a> {
    routing_key: &'a str,
    event_action: Action,
    pub(crate) dedup_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Payload>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    links: Vec<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    images: Vec<Value>,
}

#[derive(Serialize)]
struct Payload {
    summary: String,
    source: String,
    severity: Severity,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    custom_details: Map<String, Value>,
}

/// The notification as an event.
pub(crate) fn build<'a>(
    message: &Message,
    options: &Options,
    tenant_name: &str,
    routing_key: &'a str,
) -> Result<Event<'a>, SendError> {
    let own: Own = message.own_data("pagerduty")?;
    let mut details: Map<String, Value> = message.parse_data()?;
    details.remove("pagerduty");
    let dedup_key = dedup_key(message, &own)?;
    let mut event = Event {
        routing_key,
        event_action: own.action,
        dedup_key,
        payload: None,
        links: Vec::new(),
        images: Vec::new(),
    };
    if own.action != Action::Trigger {
        // Anything else is ignored by PagerDuty.
        return Ok(event);
    }
    let (summary, custom_details) = summary_and_details(message, details);
    let or = |own: Option<String>, option: &Option<String>| own.or_else(|| option.clone());
    event.payload = Some(Payload {
        summary,
        source: or(own.source, &options.source).unwrap_or_else(|| tenant_name.to_owned()),
        severity: own.severity.unwrap_or(message.priority.pick(SEVERITIES)),
        timestamp: message.created_at.clone(),
        component: or(own.component, &options.component),
        group: or(own.group, &options.group),
        class: or(own.class, &options.class),
        custom_details,
    });
    (event.links, event.images) = (own.links, own.images);
    Ok(event)
}

fn dedup_key(message: &Message, own: &Own) -> Result<String, SendError> {
    match &own.dedup_key {
        Some(key) if (1..=DEDUP_KEY_CHARACTERS_MAX).contains(&key.chars().count()) => {
            Ok(key.clone())
        }
        Some(key) => Err(SendError::invalid_data(format!(
            "data.pagerduty.dedup_key has {} characters; it must have 1 to \
             {DEDUP_KEY_CHARACTERS_MAX}",
            key.chars().count()
        ))),
        None if own.action == Action::Trigger => Ok(message.delivery_key.clone()),
        None => Err(SendError::rejected(
            "missing_dedup_key",
            "to acknowledge or resolve an alert, name it in data.pagerduty.dedup_key: the key that \
             the alert was opened with (the providerId of that notification)",
        )),
    }
}

/// The title, else the text, is the alert's one line. Nothing is lost by cutting it: the details
/// have the whole of what does not fit.
fn summary_and_details(
    message: &Message,
    mut details: Map<String, Value>,
) -> (String, Map<String, Value>) {
    let line = message.title_line().unwrap_or_else(|| text::one_line(&message.body));
    let summary = text::truncate(&line, SUMMARY_CHARACTERS_MAX, LengthUnit::Characters);
    if summary != message.body {
        details.entry("message").or_insert_with(|| json!(message.body));
    }
    (summary, details)
}
