//! From a notification to a message (RFC 5322, MIME). The same notification gives the same bytes on
//! every attempt, so that a reader, or a server on the way, can tell a repetition.

use conductor_sdk::{
    Attachment,
    markdown::{Html, Rich, Style as Look},
    prelude::*,
    smtp::Mailbox,
    text::{one_line, truncate},
    time,
};
use mail_builder::{
    MessageBuilder,
    headers::{address::Address, content_type::ContentType, date::Date, raw::Raw, text::Text},
    mime::{BodyPart, MimePart},
};

const SUBJECT_CHARACTERS_MAX: usize = 200;

/// What all messages of a channel have.
pub(crate) struct Style {
    pub(crate) from: Mailbox,
    pub(crate) reply_to: Option<Mailbox>,
    pub(crate) prefix: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

/// Unique, and the same on every attempt.
pub(crate) fn message_id(message: &Message, style: &Style) -> String {
    let domain = style.from.address.split_once('@').map_or("localhost", |(_, domain)| domain);
    format!("{}@{domain}", message.delivery_key.replace(':', "."))
}

/// Whether a header may be added.
pub(crate) fn check_header(name: &str, value: &str) -> Result<(), String> {
    let lower = name.to_ascii_lowercase();
    let known = lower.starts_with("x-") || lower.starts_with("list-");
    if !known || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("names begin with X- or List-, with letters, digits and \"-\"".to_owned());
    }
    if value.chars().any(char::is_control) {
        return Err(format!("the value of {name} has a control character"));
    }
    Ok(())
}

/// The whole message.
pub(crate) fn mail(
    message: &Message,
    style: &Style,
    recipients: &[String],
    id: &str,
) -> Result<Vec<u8>, SendError> {
    let to = recipients.iter().map(|address| Address::from(address.as_str())).collect();
    let mut builder = MessageBuilder::new()
        .from(mailbox(&style.from))
        .to(Address::new_list(to))
        .subject(subject(message, style.prefix.as_deref()))
        .message_id(id)
        .date(accepted(message))
        // So that no absence is announced in answer (RFC 3834).
        .header("Auto-Submitted", Raw::new("auto-generated"));
    if let Some(reply_to) = &style.reply_to {
        builder = builder.reply_to(mailbox(reply_to));
    }
    // What the common readers look at; there is no standard that all of them follow.
    let urgency = message.priority.pick([
        Some(("5 (Lowest)", "low")),
        None,
        Some(("2 (High)", "high")),
        Some(("1 (Highest)", "high")),
    ]);
    if let Some((priority, importance)) = urgency {
        builder = builder
            .header("X-Priority", Raw::new(priority))
            .header("Importance", Raw::new(importance));
    }
    for (name, value) in &style.headers {
        builder = builder.header(name.as_str(), Text::new(value.as_str()));
    }
    builder
        .body(body(message))
        .write_to_vec()
        .map_err(|error| SendError::rejected("not_rendered", error.to_string()))
}

/// When the host took the notification, which does not change from attempt to attempt.
fn accepted(message: &Message) -> Date {
    let seconds = time::parse_utc(&message.created_at).map(time::unix_seconds).unwrap_or_default();
    Date::new(i64::try_from(seconds).unwrap_or_default())
}

fn mailbox(mailbox: &Mailbox) -> Address<'_> {
    Address::new_address(mailbox.name.as_deref(), mailbox.address.as_str())
}

/// The title, else the message's first line.
fn subject(message: &Message, prefix: Option<&str>) -> String {
    let first = || message.body.lines().map(one_line).find(|line| !line.is_empty());
    let text = message.title_line().or_else(first).unwrap_or_else(|| "Notification".to_owned());
    let whole = match prefix {
        Some(prefix) => one_line(&format!("{prefix} {text}")),
        None => text,
    };
    let clean: String = whole.chars().filter(|char| !char.is_control()).collect();
    truncate(&clean, SUBJECT_CHARACTERS_MAX, LengthUnit::Characters)
}

fn body(message: &Message) -> MimePart<'_> {
    // A line ends in one way: servers refuse a CR that stands alone.
    let lines = message.body.replace("\r\n", "\n").replace('\r', "\n");
    let text = MimePart::new("text/plain", lines.clone());
    let readable = match message.format {
        Format::Plain => text,
        // Markdown was made to be read as it is: it is its own plain text.
        Format::Markdown => {
            let html = MimePart::new("text/html", page(&lines));
            multipart(message, "alternative", vec![text, html])
        }
    };
    if message.attachments.is_empty() {
        return readable;
    }
    let mut parts = vec![readable];
    parts.extend(message.attachments.iter().map(attachment));
    multipart(message, "mixed", parts)
}

/// As a small page that may come from anywhere: HTML inside it is text, and links lead to places.
pub(crate) fn page(markdown: &str) -> String {
    let leads_somewhere = |url: &str| {
        let url = url.to_ascii_lowercase();
        ["https://", "http://", "mailto:", "tel:"].iter().any(|scheme| url.starts_with(scheme))
    };
    let mut rich = Rich::markdown(markdown);
    rich.spans.retain(|span| !matches!(&span.style, Look::Link(url) if !leads_somewhere(url)));
    format!("<!DOCTYPE html>\n<html><body>\n{}\n</body></html>\n", rich.render(&Html))
}

fn multipart<'a>(message: &Message, kind: &str, parts: Vec<MimePart<'a>>) -> MimePart<'a> {
    // Nothing that a caller writes can hold it: the key is made when a notification is accepted.
    let boundary = format!("{kind}_{}", message.delivery_key.replace(':', "."));
    let content_type = ContentType::new(format!("multipart/{kind}"));
    MimePart::new(content_type.attribute("boundary", boundary), parts)
}

fn attachment(attachment: &Attachment) -> MimePart<'_> {
    let content = BodyPart::Binary(attachment.content.as_slice().into());
    MimePart::new(attachment.media_type(), content).attachment(attachment.clean_name())
}
