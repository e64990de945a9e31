//! Secrets: from the environment or from files, never from the configuration itself.

use std::{io::ErrorKind, sync::Arc};

use super::context::Context;
use crate::{
    config::{
        document::{looks_secret, read_capped},
        fields::Fields,
        findings::{At, Findings},
        interpolate::is_variable_name,
        model::{ChannelSecret, Origin},
    },
    ids::NAME_BYTES_MAX,
    limits,
    secrets::Secret,
};

/// The value of an environment variable; none when it is not set or empty, which is written down.
pub(super) fn from_variable(
    name: &At<&str>,
    key: &str,
    context: &mut Context<'_>,
) -> Option<Secret> {
    if !is_variable_name(name.value) {
        context.findings.wrong(
            &name.origin,
            format!(
                "{key} holds the name of an environment variable (letters, digits and '_'), found \
                 something else; put the value into the environment or into .env and its name here"
            ),
        );
        return None;
    }
    if let Some(value) = context.environment.get(name.value).filter(|value| !value.is_empty()) {
        return Some(Secret::new(value.to_owned()));
    }
    let state = match context.environment.get(name.value) {
        Some(_) => "empty",
        None => "not set",
    };
    // Somebody may have written the value where the name belongs.
    let shown = if looks_secret(name.value) { "(which looks like a value)" } else { name.value };
    context.findings.missing(
        &name.origin,
        format!("{key}: the environment variable {shown} is {state}; set it in the environment or in .env"),
    );
    None
}

/// A secret of a channel: `"VARIABLE"`, `{ env = "VARIABLE" }` or `{ file = "path" }`; with
/// `pointer = "/private_key"` it is one text of the JSON document that stands there.
pub(super) fn read(
    table: &Fields<'_>,
    key: &str,
    context: &mut Context<'_>,
) -> Option<ChannelSecret> {
    let is_table = table.table.get(key).is_some_and(|value| value.get_ref().is_table());
    if !is_table {
        let name = table.text(key, &mut context.findings)?;
        return variable_secret(&name, key, context);
    }
    let fields = table.table(key, "a secret", &mut context.findings)?;
    fields.only(&["env", "file", "pointer"], &context.suggester, &mut context.findings);
    let env = fields.text("env", &mut context.findings);
    let file = fields.text("file", &mut context.findings);
    let pointer = fields.text("pointer", &mut context.findings);
    let whole = match (env, file) {
        (Some(name), None) => variable_secret(&name, key, context),
        (None, Some(path)) => file_secret(&path, key, context),
        _ => {
            context.findings.wrong(
                &fields.origin(),
                format!("{key}: write either {{ env = \"VARIABLE\" }} or {{ file = \"path\" }}"),
            );
            None
        }
    }?;
    match pointer {
        Some(pointer) => member(&whole, &pointer, key, &mut context.findings),
        None => Some(whole),
    }
}

/// The text at `pointer` (RFC 6901) of a secret that is a JSON document: providers hand out files
/// with a key among other things.
fn member(
    whole: &ChannelSecret,
    pointer: &At<&str>,
    key: &str,
    findings: &mut Findings,
) -> Option<ChannelSecret> {
    let source = &whole.source;
    let mut wrong = |what: &str| {
        findings.wrong(&pointer.origin, format!("{key}: {what}"));
        None
    };
    if !pointer.value.starts_with('/') {
        return wrong(
            "pointer is a JSON Pointer (RFC 6901) and begins with a slash; write for example \
             \"/private_key\"",
        );
    }
    // The document is dropped without being wiped; what it was read from is. Not the parser's error:
    // it may show a part of the text.
    let Ok(document) = serde_json::from_str::<serde_json::Value>(whole.value.expose()) else {
        return wrong(&format!(
            "{source} is not a JSON document; leave `pointer` out if it is the secret itself"
        ));
    };
    let Some(text) = document.pointer(pointer.value).and_then(serde_json::Value::as_str) else {
        return wrong(&format!(
            "{source} has no text at `pointer`; look at the document for the right one"
        ));
    };
    if text.is_empty() {
        return wrong(&format!("{source} has an empty text at `pointer`; put the secret there"));
    }
    let source = Arc::from(format!("{source}, {}", pointer.value));
    Some(ChannelSecret { value: Secret::new(text.to_owned()), source })
}

/// A secret that stands in an environment variable.
pub(super) fn variable_secret(
    name: &At<&str>,
    key: &str,
    context: &mut Context<'_>,
) -> Option<ChannelSecret> {
    let value = from_variable(name, key, context)?;
    Some(ChannelSecret { value, source: Arc::from(format!("env {}", name.value)) })
}

fn file_secret(written: &At<&str>, key: &str, context: &mut Context<'_>) -> Option<ChannelSecret> {
    let path = context.path(written.value);
    let source: Arc<str> = Arc::from(format!("file {}", path.display()));
    context.files.insert(path.clone());
    let bytes = match read_capped(&path, limits::SECRET_FILE_BYTES_MAX) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => {
            let most = limits::SECRET_FILE_BYTES_MAX >> 10;
            context.findings.wrong(
                &written.origin,
                format!("{key}: {source} has more than {most} KiB; name a file with one secret"),
            );
            return None;
        }
        Err(error) => {
            let message = format!(
                "{key}: {source} cannot be read: {error}; correct the path or the file's rights"
            );
            match error.kind() {
                ErrorKind::NotFound => context.findings.missing(&written.origin, message),
                _ => context.findings.wrong(&written.origin, message),
            }
            return None;
        }
    };
    // Wiped when it goes, whatever comes of it.
    let text = match String::from_utf8(bytes) {
        Ok(text) => Secret::new(text),
        Err(error) => {
            drop(zeroize::Zeroizing::new(error.into_bytes()));
            let message =
                format!("{key}: {source} is not UTF-8 text; encode it, for example as base64");
            context.findings.wrong(&written.origin, message);
            return None;
        }
    };
    let text = text.expose();
    // Editors and `echo` end a file with a line break that is not part of the secret.
    let text = text.strip_suffix('\n').map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
    if text.is_empty() {
        context.findings.missing(
            &written.origin,
            format!("{key}: {source} is empty; write the secret into it"),
        );
        return None;
    }
    Some(ChannelSecret { value: Secret::new(text.to_owned()), source })
}

/// Reports a name of a secret that no plugin could ask for.
pub(super) fn check_name(name: &str, origin: &Origin, findings: &mut Findings) {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
        findings.wrong(
            origin,
            format!(
                "the name of a secret has 1 to {NAME_BYTES_MAX} letters, digits, '_', '-' or '.'; \
                 write for example BOT_TOKEN"
            ),
        );
    }
}
