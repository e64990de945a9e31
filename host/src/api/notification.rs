//! A notification as callers write it: from JSON to something valid, or to every error in it.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::{
    fields::Fields,
    kinds,
    problem::{FieldError, Problem},
    routing::{self, Goal},
};
use crate::{
    clock::UnixMs,
    envelope::{Attachment, Envelope, Format},
    limits::{
        ATTACHMENTS_MAX, MESSAGE_BYTES_MAX, REQUEST_BODY_BYTES_MAX, SCHEDULE_AHEAD_MAX,
        TITLE_BYTES_MAX,
    },
    store::Priority,
};

/// The fields of a notification.
pub(super) const KNOWN: &[&str] = &[
    "channel",
    "channelId",
    "message",
    "title",
    "priority",
    "targetId",
    "format",
    "data",
    "attachments",
    "sendAt",
    "expiresAt",
    "channels",
    "fallback",
    "orderingKey",
    "callbackUrl",
];

const PRIORITIES: &[(&str, Priority)] = &[
    ("low", Priority::Low),
    ("normal", Priority::Normal),
    ("high", Priority::High),
    ("urgent", Priority::Urgent),
];
const FORMATS: &[(&str, Format)] = &[("plain", Format::Plain), ("markdown", Format::Markdown)];

/// How a priority is written.
pub(super) const fn priority_word(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
        Priority::Urgent => "urgent",
    }
}

/// A valid notification, not yet looked up.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) goal: Goal,
    pub(super) priority: Priority,
    pub(super) envelope: Envelope,
    pub(super) send_at: Option<UnixMs>,
    pub(super) expires_at: Option<UnixMs>,
    pub(super) ordering_key: Option<Box<str>>,
}

/// Reads a notification.
///
/// # Errors
/// A 400 that names every field that is wrong.
pub(super) fn read(value: Value, now: UnixMs) -> Result<Wanted, Problem> {
    let mut errors = Vec::new();
    let wanted = read_fields(value, now, &mut errors);
    match wanted {
        Some(wanted) if errors.is_empty() => Ok(wanted),
        _ => Err(invalid(errors)),
    }
}

/// The problem for wrong fields; its detail repeats the first, which is often all that is read.
pub(super) fn invalid(errors: Vec<FieldError>) -> Problem {
    let detail = match errors.as_slice() {
        [] => String::from("The request is not valid."),
        [only] => format!("{}.", sentence(only)),
        [first, rest @ ..] => format!("{}; and {} more.", sentence(first), rest.len()),
    };
    Problem::new(kinds::INVALID_REQUEST, detail).errors(errors)
}

fn sentence(error: &FieldError) -> String {
    use super::problem::Place;
    let place = match &error.place {
        Place::Pointer(pointer) if pointer.is_empty() => "The body",
        Place::Pointer(pointer) => pointer,
        Place::Parameter(name) => name,
        Place::Header(name) => name,
    };
    format!("{place} {}", error.detail)
}

fn read_fields(value: Value, now: UnixMs, errors: &mut Vec<FieldError>) -> Option<Wanted> {
    let mut fields = Fields::of(value, String::new(), errors)?;
    let goal = routing::read_goal(&mut fields);
    let message = fields.required_text("message", MESSAGE_BYTES_MAX);
    let title = fields.text("title", TITLE_BYTES_MAX);
    let target_id = fields.text("targetId", TITLE_BYTES_MAX);
    let priority = fields.word("priority", PRIORITIES).unwrap_or_default();
    let format = fields.word("format", FORMATS).unwrap_or_default();
    let data = fields.object("data").unwrap_or_default();
    let attachments = read_attachments(&mut fields);
    let send_at = read_ahead(&mut fields, "sendAt", now);
    let expires_at = read_ahead(&mut fields, "expiresAt", now);
    if let Some(expires) = expires_at
        && expires <= send_at.map_or(now, |send| send.max(now))
    {
        fields.error("expiresAt", "lies before the time at which the notification could be sent");
    }
    let fallback = routing::read_fallback(&mut fields, goal.as_ref());
    let ordering_key = routing::read_ordering_key(&mut fields);
    let callback_url = routing::read_callback_url(&mut fields);
    fields.finish(KNOWN, &[]);
    let envelope = Envelope {
        message: message?,
        title,
        target_id,
        format,
        data,
        attachments,
        send_at: send_at.map(UnixMs::rfc3339),
        fallback,
        callback_url,
        ..Envelope::default()
    };
    Some(Wanted { goal: goal?, priority, envelope, send_at, expires_at, ordering_key })
}

fn read_ahead(fields: &mut Fields<'_>, name: &str, now: UnixMs) -> Option<UnixMs> {
    let moment = fields.moment(name)?;
    if moment > now.after(SCHEDULE_AHEAD_MAX) {
        let days = SCHEDULE_AHEAD_MAX.as_secs() / 86_400;
        fields.error(name, format!("lies more than {days} days ahead"));
        return None;
    }
    Some(moment)
}

fn read_attachments(fields: &mut Fields<'_>) -> Vec<Attachment> {
    let Some(items) = fields.array("attachments", ATTACHMENTS_MAX) else { return Vec::new() };
    let (at, errors) = fields.inside("attachments");
    items
        .into_iter()
        .enumerate()
        .filter_map(|(index, item)| read_attachment(item, format!("{at}/{index}"), errors))
        .collect()
}

fn read_attachment(item: Value, at: String, errors: &mut Vec<FieldError>) -> Option<Attachment> {
    let mut fields = Fields::of(item, at, errors)?;
    let name = fields.required_text("name", 255);
    if name.as_ref().is_some_and(|name| name.chars().any(|c| c.is_control() || "/\\".contains(c))) {
        fields.error("name", "is no file name: it contains a slash or a control character");
    }
    let content_type = fields.required_text("contentType", 255);
    if content_type.as_ref().is_some_and(|text| !is_media_type(text)) {
        fields.error("contentType", "is no media type; write for example \"image/png\"");
    }
    let content = fields.required_text("content", REQUEST_BODY_BYTES_MAX);
    if content.as_ref().is_some_and(|text| STANDARD.decode(text).is_err()) {
        fields.error("content", "is no base64 (RFC 4648, section 4, with padding)");
    }
    fields.finish(&["name", "contentType", "content"], &[]);
    Some(Attachment { name: name?, content_type: content_type?, content: content? })
}

fn is_media_type(text: &str) -> bool {
    let essence = text.split(';').next().unwrap_or_default().trim_end();
    let token = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let graphic = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    graphic && essence.split_once('/').is_some_and(|(main, sub)| token(main) && token(sub))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: UnixMs = UnixMs(1_763_746_800_000);

    fn pointers(value: Value) -> Vec<String> {
        let problem = read(value, NOW).unwrap_err().to_json();
        assert_eq!(problem["status"], 400);
        let errors = problem["errors"].as_array().unwrap();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn every_field_reaches_its_place() {
        let wanted = read(
            json!({
                "channel": "log", "channelId": "log", "message": "hello", "title": "t",
                "priority": "urgent", "targetId": "me", "format": "markdown", "data": {"a": [1]},
                "attachments": [
                    {"name": "a.txt", "contentType": "text/plain; charset=utf-8", "content": "aGk="}
                ],
                "sendAt": "2025-11-21T17:41:00Z", "expiresAt": "2025-11-21T18:42:00+01:00",
            }),
            NOW,
        )
        .unwrap();
        assert_eq!(wanted.goal, Goal::One(String::from("log")));
        assert_eq!(wanted.priority, Priority::Urgent);
        assert_eq!(wanted.envelope.format, Format::Markdown);
        assert_eq!(wanted.envelope.attachments.len(), 1);
        assert_eq!(wanted.send_at, Some(UnixMs(NOW.0 + 60_000)));
        assert_eq!(wanted.expires_at, Some(UnixMs(NOW.0 + 120_000)));
    }

    #[test]
    fn all_that_is_wrong_is_said_at_once() {
        assert_eq!(
            pointers(json!({"channel": 1, "mesage": "x", "priority": "hi", "data": []})),
            ["/channel", "/message", "/priority", "/data", "/mesage"]
        );
        assert_eq!(pointers(json!({})), ["/channel", "/message"]);
        assert_eq!(pointers(json!([])), [""]);
        assert_eq!(pointers(json!({"channel": "a", "message": " \n"})), ["/message"]);
    }

    #[test]
    fn times_must_be_rfc_3339_and_in_order_and_not_too_far() {
        let with = |name: &str, value: &str| json!({"channel": "a", "message": "m", name: value});
        assert_eq!(pointers(with("sendAt", "tomorrow")), ["/sendAt"]);
        assert_eq!(pointers(with("sendAt", "2027-01-01T00:00:00Z")), ["/sendAt"]);
        assert_eq!(pointers(with("expiresAt", "2025-11-21T17:40:00Z")), ["/expiresAt"]);
        assert!(read(with("sendAt", "2020-01-01T00:00:00Z"), NOW).is_ok());
        let mut both = with("sendAt", "2025-11-22T00:00:00Z");
        both["expiresAt"] = json!("2025-11-21T23:00:00Z");
        assert_eq!(pointers(both), ["/expiresAt"]);
    }

    #[test]
    fn attachments_are_checked_one_by_one() {
        let attachments = json!([
            {"name": "../x", "contentType": "text/plain", "content": "aGk="},
            {"name": "x", "contentType": "text", "content": "not base64"},
            "x",
            {"name": "x", "contentType": "a/b", "content": "aGk=", "url": "u"},
        ]);
        let body = json!({"channel": "a", "message": "m", "attachments": attachments});
        assert_eq!(
            pointers(body),
            [
                "/attachments/0/name",
                "/attachments/1/contentType",
                "/attachments/1/content",
                "/attachments/2",
                "/attachments/3/url"
            ]
        );
        let many = json!({"channel": "a", "message": "m", "attachments": vec![1; 17]});
        assert_eq!(pointers(many), ["/attachments"]);
    }

    #[test]
    fn lengths_are_bounded() {
        let body = json!({
            "channel": "a",
            "message": "m".repeat(MESSAGE_BYTES_MAX + 1),
            "title": "t".repeat(TITLE_BYTES_MAX + 1),
        });
        assert_eq!(pointers(body), ["/message", "/title"]);
    }
}
