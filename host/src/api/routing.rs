//! Where a notification is to go, as callers write it: to one channel or to several, what takes over
//! when that fails, after which others, and who is told how it went.

use std::time::Duration;

use axum::http::Uri;
use serde_json::Value;

use super::{
    fields::{Fields, wrong_type},
    json::shorten,
    problem::FieldError,
};
use crate::{
    envelope::FallbackStep,
    limits::{
        CALLBACK_URL_BYTES_MAX, FAN_OUT_MAX, ORDERING_KEY_BYTES_MAX, REQUEST_FALLBACK_STEPS_MAX,
        RETRY_SPAN_MAX,
    },
};

/// Longer than any channel's name: what is longer is refused without a look.
const NAME_BYTES_MAX: usize = 256;

/// Where it is to go.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// `channel`
    One(String),
    /// `channels`, one at least and all different.
    Many(Vec<String>),
}

/// Takes `channel` or `channels`.
pub(super) fn read_goal(fields: &mut Fields<'_>) -> Option<Goal> {
    let Some(items) = fields.take("channels") else { return read_channel(fields).map(Goal::One) };
    if fields.take("channel").or_else(|| fields.take("channelId")).is_some() {
        fields.error("channels", "stands beside /channel; give one of the two");
        // The other name of it is taken too, or it would be an error of its own.
        fields.take("channelId");
        return None;
    }
    let items = match items {
        Value::Array(items) if (1..=FAN_OUT_MAX).contains(&items.len()) => items,
        Value::Array(items) => {
            let found = items.len();
            fields.error("channels", format!("has {found} items; expected 1 to {FAN_OUT_MAX}"));
            return None;
        }
        other => {
            fields.error("channels", wrong_type(&other, "an array of channels"));
            return None;
        }
    };
    let count = items.len();
    let (at, errors) = fields.inside("channels");
    let mut names: Vec<String> = Vec::with_capacity(count);
    for (index, item) in items.into_iter().enumerate() {
        let wrong = match item {
            Value::String(name) if name.len() > NAME_BYTES_MAX => {
                format!("has {} bytes, at most {NAME_BYTES_MAX} are allowed", name.len())
            }
            Value::String(name) if names.contains(&name) => {
                format!("is \"{}\", which stands before it already", shorten(&name))
            }
            Value::String(name) => {
                names.push(name);
                continue;
            }
            other => wrong_type(&other, "a string"),
        };
        errors.push(FieldError::at(format!("{at}/{index}"), wrong));
    }
    (names.len() == count).then_some(Goal::Many(names))
}

/// `channelId` is another name of `channel`: a channel's name, in the same namespace.
fn read_channel(fields: &mut Fields<'_>) -> Option<String> {
    let id = fields.text("channelId", NAME_BYTES_MAX);
    let Some(id) = id else { return fields.required_text("channel", NAME_BYTES_MAX) };
    match fields.text("channel", NAME_BYTES_MAX) {
        Some(name) if name != id => {
            fields.error("channelId", "is not the same as /channel; give one of the two");
            None
        }
        _ => Some(id),
    }
}

/// Takes `fallback`: empty if there is none.
pub(super) fn read_fallback(fields: &mut Fields<'_>, goal: Option<&Goal>) -> Vec<FallbackStep> {
    let Some(items) = fields.array("fallback", REQUEST_FALLBACK_STEPS_MAX) else {
        return Vec::new();
    };
    if items.is_empty() {
        fields.error("fallback", "is empty; leave it out to have the channel's own");
        return Vec::new();
    }
    let first = match goal {
        Some(Goal::Many(_)) => {
            fields.error(
                "fallback",
                "does not go with /channels: which of them would it be for? Send them one by one, \
                 or give each channel a fallback in channels.toml",
            );
            return Vec::new();
        }
        Some(Goal::One(first)) => Some(first.as_str()),
        None => None,
    };
    let (at, errors) = fields.inside("fallback");
    let mut steps: Vec<FallbackStep> = Vec::with_capacity(items.len());
    for (index, item) in items.into_iter().enumerate() {
        let at = format!("{at}/{index}");
        let Some(step) = read_step(item, &at, errors) else { continue };
        let name = step.channel.as_str();
        if first == Some(name) || steps.iter().any(|before| before.channel == step.channel) {
            let detail = format!("is \"{name}\", which has been tried by then");
            errors.push(FieldError::at(at, detail));
            continue;
        }
        steps.push(step);
    }
    steps
}

fn read_step(item: Value, at: &str, errors: &mut Vec<FieldError>) -> Option<FallbackStep> {
    let (name, after_ms, at) = match item {
        Value::String(name) => (name, None, String::from(at)),
        Value::Object(_) => {
            let mut fields = Fields::of(item, String::from(at), errors)?;
            let name = fields.required_text("channel", NAME_BYTES_MAX);
            let after_ms = match fields.take("after").map(read_duration) {
                None => None,
                Some(Ok(after)) => Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
                Some(Err(wrong)) => {
                    fields.error("after", wrong);
                    None
                }
            };
            fields.finish(&["channel", "after"], &[]);
            (name?, after_ms, format!("{at}/channel"))
        }
        other => {
            let detail =
                wrong_type(&other, "a channel, or an object with \"channel\" and \"after\"");
            errors.push(FieldError::at(at, detail));
            return None;
        }
    };
    match name.parse() {
        Ok(channel) => Some(FallbackStep { channel, after_ms }),
        Err(error) => {
            let error: crate::ids::NameError = error;
            errors.push(FieldError::at(at, format!("\"{}\": {error}", shorten(&name))));
            None
        }
    }
}

/// A time budget: seconds, or an ISO 8601 duration of weeks, days, hours, minutes and seconds.
fn read_duration(value: Value) -> Result<Duration, String> {
    const LOOKS: &str = "write for example \"PT5M\" (ISO 8601) or 300 (seconds)";
    let read = match &value {
        Value::Number(number) => {
            number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        }
        Value::String(text) if text.starts_with('P') => {
            let span = text.parse::<jiff::Span>().ok();
            // A month has no length of its own and is refused here.
            let relative = jiff::SpanRelativeTo::days_are_24_hours();
            span.and_then(|span| span.to_duration(relative).ok())
                .and_then(|duration| Duration::try_from(duration).ok())
        }
        _ => None,
    };
    let most = RETRY_SPAN_MAX.as_secs() / 86_400;
    match read {
        Some(after) if after < Duration::from_millis(1) => {
            Err(String::from("is no time at all; leave it out to wait until the channel gives up"))
        }
        Some(after) if after > RETRY_SPAN_MAX => Err(format!("is more than {most} days")),
        Some(after) => Ok(after),
        None => Err(format!("is no duration; {LOOKS}")),
    }
}

/// Takes `orderingKey`.
pub(super) fn read_ordering_key(fields: &mut Fields<'_>) -> Option<Box<str>> {
    let key = fields.text("orderingKey", ORDERING_KEY_BYTES_MAX)?;
    if key.is_empty() {
        fields.error("orderingKey", "is empty; leave it out for what needs no order");
        return None;
    }
    Some(key.into_boxed_str())
}

/// Takes `callbackUrl`. Whether the tenant may have it called is looked up later.
pub(super) fn read_callback_url(fields: &mut Fields<'_>) -> Option<String> {
    let url = fields.text("callbackUrl", CALLBACK_URL_BYTES_MAX)?;
    match check_url(&url) {
        Ok(()) => Some(url),
        Err(wrong) => {
            fields.error("callbackUrl", wrong);
            None
        }
    }
}

fn check_url(url: &str) -> Result<(), &'static str> {
    const LOOKS: &str = "is no absolute URL; write for example \"https://example.org/hook\"";
    let uri: Uri = url.parse().map_err(|_| LOOKS)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(LOOKS);
    };
    if !matches!(scheme, "https" | "http") || authority.host().is_empty() {
        return Err(LOOKS);
    }
    if authority.as_str().contains('@') {
        return Err(
            "has a user name or password in it: they would be kept with the notification; \
                    callbacks are signed instead",
        );
    }
    if url.contains('#') {
        return Err("has a fragment, which is never sent; leave it out");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{api::notification, clock::UnixMs};

    const NOW: UnixMs = UnixMs(1_763_746_800_000);

    fn read(body: &Value) -> Result<notification::Wanted, Vec<(String, String)>> {
        let mut body = body.clone();
        body["message"] = json!("m");
        notification::read(body, NOW).map_err(|problem| {
            let problem = problem.to_json();
            let errors = problem["errors"].as_array().unwrap();
            let text = |error: &Value, name: &str| error[name].as_str().unwrap().to_owned();
            errors.iter().map(|error| (text(error, "pointer"), text(error, "detail"))).collect()
        })
    }

    #[track_caller]
    fn wrong(body: &Value, pointers: &[&str]) -> Vec<String> {
        let errors = read(body).unwrap_err();
        let found: Vec<&str> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(found, pointers, "{body}");
        errors.into_iter().map(|(_, detail)| detail).collect()
    }

    #[test]
    fn one_channel_has_two_names_that_must_agree() {
        assert_eq!(read(&json!({"channelId": "x"})).unwrap().goal, Goal::One(String::from("x")));
        wrong(&json!({"channel": "a", "channelId": "b"}), &["/channelId"]);
        wrong(&json!({}), &["/channel"]);
    }

    #[test]
    fn several_channels_are_named_once_each() {
        let wanted = read(&json!({"channels": ["a", "b"]})).unwrap();
        assert_eq!(wanted.goal, Goal::Many(vec![String::from("a"), String::from("b")]));
        wrong(&json!({"channels": []}), &["/channels"]);
        wrong(&json!({"channels": "a"}), &["/channels"]);
        wrong(&json!({"channels": ["a"], "channel": "a"}), &["/channels"]);
        wrong(&json!({"channels": ["a"], "channel": "a", "channelId": "a"}), &["/channels"]);
        wrong(
            &json!({"channels": ["a", 7, "a", "n".repeat(257)]}),
            &["/channels/1", "/channels/2", "/channels/3"],
        );
        let many: Vec<String> = (0..=FAN_OUT_MAX).map(|n| format!("c{n}")).collect();
        wrong(&json!({"channels": many}), &["/channels"]);
        assert!(read(&json!({"channels": many[1..]})).is_ok());
    }

    #[test]
    fn a_fallback_is_a_name_or_a_name_with_a_time_budget() {
        let body = json!({"channel": "a", "fallback": [
            "b", {"channel": "c", "after": "PT5M"}, {"channel": "d", "after": 0.25},
            {"channel": "e", "after": "P1DT1H"}, {"channel": "f"},
        ]});
        let steps = read(&body).unwrap().envelope.fallback;
        let found: Vec<_> = steps.iter().map(|s| (s.channel.as_str(), s.after_ms)).collect();
        let wanted = [
            ("b", None),
            ("c", Some(300_000)),
            ("d", Some(250)),
            ("e", Some(90_000_000)),
            ("f", None),
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn everything_that_is_wrong_with_a_fallback_is_said() {
        let with = |steps: Value| json!({"channel": "a", "fallback": steps});
        wrong(&with(json!(["a"])), &["/fallback/0"]);
        wrong(&with(json!(["b", "b"])), &["/fallback/1"]);
        wrong(&with(json!([])), &["/fallback"]);
        wrong(&with(json!("b")), &["/fallback"]);
        wrong(&with(json!(["b", "c", "d", "e", "f", "g"])), &["/fallback"]);
        wrong(
            &with(json!([7, "B b", {"after": 1}, {"channel": "c", "until": 1}])),
            &["/fallback/0", "/fallback/1", "/fallback/2/channel", "/fallback/3/until"],
        );
        for after in [json!("5m"), json!("P1M"), json!(-1), json!(0), json!("PT0S"), json!([])] {
            wrong(&with(json!([{"channel": "b", "after": after}])), &["/fallback/0/after"]);
        }
        let long = wrong(&with(json!([{"channel": "b", "after": "P31D"}])), &["/fallback/0/after"]);
        assert!(long[0].contains("30 days"), "{long:?}");
        wrong(&json!({"channels": ["a"], "fallback": ["b"]}), &["/fallback"]);
    }

    #[test]
    fn an_ordering_key_is_bounded_and_not_empty() {
        let key = "k".repeat(ORDERING_KEY_BYTES_MAX);
        let wanted = read(&json!({"channel": "a", "orderingKey": key})).unwrap();
        assert_eq!(wanted.ordering_key.as_deref(), Some(key.as_str()));
        wrong(&json!({"channel": "a", "orderingKey": format!("{key}k")}), &["/orderingKey"]);
        wrong(&json!({"channel": "a", "orderingKey": ""}), &["/orderingKey"]);
    }

    #[test]
    fn a_callback_url_is_absolute_and_carries_no_secret() {
        let read_url = |url: &str| read(&json!({"channel": "a", "callbackUrl": url}));
        for good in ["https://example.org", "http://10.0.0.1:8080/hook?a=b%20c"] {
            assert_eq!(read_url(good).unwrap().envelope.callback_url.as_deref(), Some(good));
        }
        let long = format!("https://example.org/{}", "x".repeat(CALLBACK_URL_BYTES_MAX));
        for bad in [
            "",
            "/hook",
            "example.org",
            "ftp://example.org/x",
            "https://user:password@example.org/",
            "https://example.org/#part",
            "https://exa mple.org/",
            &long,
        ] {
            let errors = read_url(bad).unwrap_err();
            assert_eq!(errors[0].0, "/callbackUrl", "{bad}");
            assert!(!errors[0].1.contains("password@"), "{errors:?}");
        }
    }
}
