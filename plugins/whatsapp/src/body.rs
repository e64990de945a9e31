//! The bodies of a message
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages>).

use conductor_sdk::{
    LengthUnit, Message, Overflow, Priority, SendError, json,
    markdown::{Dialect, Rich, Style},
    overflow::Plain,
    serde_json::Value,
    text::{length, one_line},
};
use serde::{Deserialize, Serialize};

/// Characters of a text.
pub(crate) const TEXT_CHARACTERS_MAX: usize = 4_096;
/// Characters of a template's text with its parameters filled in
/// (<https://developers.facebook.com/documentation/business-messaging/whatsapp/templates/overview>),
/// so that no parameter can have more.
const PARAMETER_CHARACTERS_MAX: usize = 1_024;

/// The template that every message is sent from.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemplateOption {
    /// Its name.
    #[schemars(regex(pattern = "^[a-z0-9_]{1,512}$"))]
    name: String,
    /// The language it was approved in.
    #[schemars(regex(pattern = "^[a-z]{2,3}(_[A-Z]{2,3})?$"))]
    language: String,
    /// What stands for the numbered places {{1}}, {{2}} … of its text, in their order.
    #[serde(default)]
    #[schemars(length(max = 16))]
    parameters: Vec<Field>,
}

/// A part of the notification.
#[derive(Clone, Copy, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// The title; a hyphen where there is none, for a parameter must not be empty.
    Title,
    /// The message, on one line.
    Message,
    /// The priority in English.
    Priority,
}

/// A template that a notification names itself.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnTemplate {
    name: String,
    language: String,
    /// For the places of its text.
    #[serde(default)]
    parameters: Vec<String>,
    /// In place of `parameters`: all components as the Cloud API wants them, for headers and buttons.
    #[serde(default)]
    components: Vec<Value>,
}

/// The message from the template that the options name.
pub(crate) fn from_option(
    template: &TemplateOption,
    message: &Message,
    overflow: Overflow,
) -> Result<Value, SendError> {
    let texts = template
        .parameters
        .iter()
        .map(|field| match field {
            Field::Title => message.title.as_deref().unwrap_or("-"),
            Field::Message => &message.body,
            Field::Priority => priority(message.priority),
        })
        .collect::<Vec<_>>();
    let components = body_component(&texts, overflow)?;
    Ok(template_json(&template.name, &template.language, components))
}

/// The message from the template that it names itself.
pub(crate) fn from_own(template: OwnTemplate, overflow: Overflow) -> Result<Value, SendError> {
    let components = if template.components.is_empty() {
        let texts = template.parameters.iter().map(String::as_str).collect::<Vec<_>>();
        body_component(&texts, overflow)?
    } else {
        template.components
    };
    Ok(template_json(&template.name, &template.language, components))
}

fn template_json(name: &str, language: &str, components: Vec<Value>) -> Value {
    let mut template = json!({ "name": name, "language": { "code": language } });
    if !components.is_empty() {
        template["components"] = components.into();
    }
    json!({ "type": "template", "template": template })
}

/// Parameters are one line each; a template cannot be sent in parts, so what is too long for one is
/// cut or rejected.
fn body_component(texts: &[&str], overflow: Overflow) -> Result<Vec<Value>, SendError> {
    if texts.is_empty() {
        return Ok(Vec::new());
    }
    let overflow = match overflow {
        Overflow::Split => Overflow::Truncate,
        other => other,
    };
    let mut parameters = Vec::new();
    for text in texts {
        let line = one_line(text);
        let plain = Plain::new(&line, LengthUnit::Characters);
        for text in overflow.apply(&plain, PARAMETER_CHARACTERS_MAX)? {
            parameters.push(json!({ "type": "text", "text": text }));
        }
    }
    Ok(vec![json!({ "type": "body", "parameters": parameters })])
}

/// The message as text, in parts where `overflow` says so.
pub(crate) fn texts(
    message: &Message,
    overflow: Overflow,
    preview_url: bool,
) -> Result<Vec<Value>, SendError> {
    let rich =
        Rich::of(message).measured(|rich| length(&rich.render(&Markup), LengthUnit::Characters));
    let parts = overflow.apply(&rich, TEXT_CHARACTERS_MAX)?;
    let text = |part: Rich| {
        json!({
            "type": "text",
            "text": { "body": part.render(&Markup), "preview_url": preview_url },
        })
    };
    Ok(parts.into_iter().map(text).collect())
}

fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
        Priority::Urgent => "urgent",
    }
}

/// WhatsApp's own marks (<https://faq.whatsapp.com/539178204879377>). There is no way to escape one.
struct Markup;

impl Markup {
    fn mark(style: &Style) -> &'static str {
        match style {
            Style::Bold | Style::Heading(_) => "*",
            Style::Italic => "_",
            Style::Strike => "~",
            Style::Code => "`",
            Style::Pre(_) => "```",
            Style::Link(_) | Style::Quote => "",
        }
    }
}

impl Dialect for Markup {
    fn open(&self, style: &Style, out: &mut String) {
        out.push_str(if *style == Style::Quote { "> " } else { Self::mark(style) });
    }

    fn close(&self, style: &Style, out: &mut String) {
        match style {
            // A link's text is not a link: WhatsApp makes one of the address alone.
            Style::Link(url) if !out.ends_with(url.as_str()) => {
                out.push_str(&format!(" ({url})"));
            }
            other => out.push_str(Self::mark(other)),
        }
    }

    fn text(&self, text: &str, inside: &[&Style], out: &mut String) {
        if inside.contains(&&Style::Quote) {
            out.push_str(&text.replace('\n', "\n> "));
        } else {
            out.push_str(text);
        }
    }
}
