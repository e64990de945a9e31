//! The bodies of a message
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/messages/send-messages>).

use conductor_sdk::{
    markdown::{ChatMarks, Rich},
    overflow::Plain,
    prelude::*,
    text::one_line,
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

impl TemplateOption {
    /// The template with the parts of this notification in its places.
    pub(crate) fn filled_with(&self, message: &Message) -> OwnTemplate {
        let text = |field: &Field| match field {
            Field::Title => message.title.clone().unwrap_or_else(|| "-".to_owned()),
            Field::Message => message.body.clone(),
            Field::Priority => message.priority.name().to_owned(),
        };
        let parameters = self.parameters.iter().map(text).collect();
        let (name, language) = (self.name.clone(), self.language.clone());
        OwnTemplate { name, language, parameters, components: Vec::new() }
    }
}

/// The message from a template.
pub(crate) fn of_template(template: OwnTemplate, overflow: Overflow) -> Result<Value, SendError> {
    let OwnTemplate { name, language, parameters, mut components } = template;
    if components.is_empty() && !parameters.is_empty() {
        let parameters = parameters.iter().map(|text| parameter(text, overflow));
        let parameters = parameters.collect::<Result<Vec<_>, _>>()?;
        components.push(json!({ "type": "body", "parameters": parameters }));
    }
    // The policy is the only one there is, and Meta's description of the API requires it.
    let template = without_nulls(json!({
        "name": name,
        "language": { "policy": "deterministic", "code": language },
        "components": (!components.is_empty()).then_some(components),
    }));
    Ok(json!({ "type": "template", "template": template }))
}

/// Parameters are one line each; a template cannot be sent in parts, so what is too long for one is
/// cut or rejected.
fn parameter(text: &str, overflow: Overflow) -> Result<Value, SendError> {
    let line = one_line(text);
    let plain = Plain::new(&line, LengthUnit::Characters);
    let text = overflow.apply_whole(&plain, PARAMETER_CHARACTERS_MAX)?;
    Ok(json!({ "type": "text", "text": text }))
}

/// The message as text, in parts where `overflow` says so. WhatsApp has the usual marks
/// (<https://faq.whatsapp.com/539178204879377>) and no way to escape one. A link's text is not a link:
/// it makes one of the address alone.
pub(crate) fn texts(
    message: &Message,
    overflow: Overflow,
    preview_url: bool,
) -> Result<Vec<Value>, SendError> {
    let text = Rich::of(message).in_dialect(&ChatMarks, LengthUnit::Characters);
    let parts = overflow.apply(&text, TEXT_CHARACTERS_MAX)?;
    let text = |part| json!({ "body": part, "preview_url": preview_url });
    Ok(parts.into_iter().map(|part| json!({ "type": "text", "text": text(part) })).collect())
}
