//! Whether a notification fits its channel: what the plugin's manifest says it takes. Found out when
//! the notification comes, not when the provider refuses it an hour later.
//!
//! A plugin that is not loaded now says nothing, and the notification is accepted: a plugin that is
//! mended heals its own backlog.

use super::{
    kinds,
    notification::invalid,
    problem::{FieldError, Problem},
};
use crate::{
    config::Channel,
    envelope::{Envelope, Format},
    generation::Generation,
    ids::Digest,
    sandbox::{BodyLimit, LengthUnit, LoadedPlugin, Manifest},
};

/// The manifest of a loaded plugin.
pub(super) const fn manifest_of(plugin: &LoadedPlugin) -> &Manifest {
    plugin.manifest()
}

/// The digest of a loaded plugin.
pub(super) const fn digest_of(plugin: &LoadedPlugin) -> Digest {
    plugin.digest()
}

/// How a unit is written.
pub(super) const fn unit_word(unit: LengthUnit) -> &'static str {
    match unit {
        LengthUnit::Characters => "characters",
        LengthUnit::Utf16Units => "utf16-units",
        LengthUnit::Bytes => "bytes",
    }
}

/// Checks `envelope` against the plugin of `channel`.
///
/// # Errors
/// A 400 that names the limit and what was found.
pub(super) fn check(
    generation: &Generation,
    channel: &Channel,
    envelope: &Envelope,
) -> Result<(), Problem> {
    match generation.plugins.get(&channel.plugin) {
        Some(plugin) => check_manifest(manifest_of(plugin), channel, envelope),
        None => Ok(()),
    }
}

fn check_manifest(
    manifest: &Manifest,
    channel: &Channel,
    envelope: &Envelope,
) -> Result<(), Problem> {
    let mut errors = Vec::new();
    // Plain text is what every channel takes.
    if envelope.format == Format::Markdown && !manifest.formats.contains(&Format::Markdown) {
        errors.push(FieldError::at(
            "/format",
            format!("is \"markdown\"; the channel \"{}\" takes \"plain\" only", channel.name),
        ));
    }
    let found = envelope.attachments.len();
    let max = usize::try_from(manifest.attachments_max).unwrap_or(usize::MAX);
    if found > max {
        errors.push(FieldError::at(
            "/attachments",
            format!("has {found} items; the channel \"{}\" takes {max}", channel.name),
        ));
    }
    if !errors.is_empty() {
        return Err(invalid(errors));
    }
    match &manifest.body_max {
        Some(limit) if refuses_overflow(channel) => check_length(*limit, channel, envelope),
        _ => Ok(()),
    }
}

/// Whether a message that is too long is an error, and not cut or split by the plugin.
fn refuses_overflow(channel: &Channel) -> bool {
    channel.options.get("overflow").is_none_or(|overflow| overflow == "reject")
}

fn check_length(limit: BodyLimit, channel: &Channel, envelope: &Envelope) -> Result<(), Problem> {
    let max = usize::try_from(limit.length).unwrap_or(usize::MAX);
    // No unit counts more than the bytes, so a short message is not measured.
    if envelope.message.len() <= max {
        return Ok(());
    }
    let found = limit.measure(&envelope.message);
    if found <= max {
        return Ok(());
    }
    let unit = unit_word(limit.unit);
    let detail = format!("has {found} {unit}; the channel \"{}\" takes {max}", channel.name);
    Err(Problem::new(kinds::MESSAGE_TOO_LONG, format!("/message {detail}."))
        .errors(vec![FieldError::at("/message", detail)])
        .with("limit", max)
        .with("found", found)
        .with("unit", unit))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::{api::kit, envelope::Attachment};

    fn checked(options: serde_json::Value, envelope: &Envelope) -> Result<(), Problem> {
        let mut channel = kit::channel("chat", "chat");
        channel.options = Arc::new(options.as_object().unwrap().clone());
        let mut manifest = kit::manifest("chat");
        manifest.body_max = Some(BodyLimit { length: 4, unit: LengthUnit::Characters });
        check_manifest(&manifest, &channel, envelope)
    }

    fn message(text: &str) -> Envelope {
        Envelope { message: String::from(text), ..Envelope::default() }
    }

    #[test]
    fn a_message_is_measured_in_the_units_of_the_channel() {
        assert!(checked(json!({}), &message("äöüß")).is_ok());
        let problem = checked(json!({}), &message("äöüßx")).unwrap_err().to_json();
        assert_eq!(problem["type"], "/problems/message-too-long");
        assert_eq!((&problem["limit"], &problem["found"]), (&json!(4), &json!(5)));
    }

    #[test]
    fn a_channel_that_cuts_or_splits_takes_any_length() {
        assert!(checked(json!({"overflow": "split"}), &message("12345")).is_ok());
        assert!(checked(json!({"overflow": "reject"}), &message("12345")).is_err());
    }

    #[test]
    fn formats_and_attachments_that_the_channel_cannot_take_are_refused_together() {
        let file = Attachment {
            name: String::from("a"),
            content_type: String::from("a/b"),
            content: String::new(),
        };
        let envelope =
            Envelope { format: Format::Markdown, attachments: vec![file], ..message("m") };
        let problem = checked(json!({}), &envelope).unwrap_err().to_json();
        assert_eq!(problem["errors"].as_array().unwrap().len(), 2);
    }
}
