//! `[[tenant.callback]]`.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{context::Context, credentials};
use crate::{
    config::{
        fields::Fields,
        findings::At,
        model::{Callback, CallbackEvent, ChannelSecret},
    },
    egress::{AddressRange, HostPattern},
    limits,
};

const KEYS: &[&str] = &["url", "secret_env", "secret_env_old", "events", "addresses"];
/// What stands for the URLs that requests give.
const ANY: &str = "*";
/// Bytes of a key (Standard Webhooks 1.0.0, "Symmetric keys").
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// Reads the callbacks of a tenant.
pub(super) fn read(tenant: &Fields<'_>, context: &mut Context<'_>) -> Vec<Arc<Callback>> {
    let mut callbacks: Vec<Arc<Callback>> = Vec::new();
    let entries = tenant.tables("callback", "[[tenant.callback]]", &mut context.findings);
    if entries.len() > limits::CALLBACKS_PER_TENANT_MAX {
        let most = limits::CALLBACKS_PER_TENANT_MAX;
        let message = format!("a tenant has {most} [[tenant.callback]] at most; take some out");
        context.findings.wrong(&tenant.origin_of("callback"), message);
    }
    for entry in entries {
        let Some(callback) = one(&entry, context) else { continue };
        if callbacks.iter().any(|other| other.url == callback.url) {
            let url = callback.url.as_deref().unwrap_or(ANY);
            let message = format!("there is a callback to {url} already; take one of them out");
            context.findings.wrong(&callback.origin, message);
            continue;
        }
        callbacks.push(Arc::new(callback));
    }
    callbacks
}

fn one(entry: &Fields<'_>, context: &mut Context<'_>) -> Option<Callback> {
    entry.only(KEYS, &context.suggester, &mut context.findings);
    let findings = &mut context.findings;
    let written = entry.needed_text("url", "https://example.com/notified", findings);
    let addresses = entry.parsed_list::<AddressRange>("addresses", findings).unwrap_or_default();
    let addresses: Vec<AddressRange> = addresses.into_iter().map(|one| one.value).collect();
    let url = written.and_then(|written| url(&written, addresses.is_empty(), context));
    let events = events(entry, context);
    let new = entry.needed_text("secret_env", "CALLBACK_SECRET", &mut context.findings);
    let old = entry.text("secret_env_old", &mut context.findings);
    let new = new.and_then(|name| secret(&name, "secret_env", context));
    let old = old.and_then(|name| secret(&name, "secret_env_old", context));
    let secrets = [Some(new?), old].into_iter().flatten().collect();
    Some(Callback { url: url?, secrets, events, addresses, origin: entry.origin() })
}

/// The URL; `Some(None)` for those of requests.
fn url(
    written: &At<&str>,
    https_only: bool,
    context: &mut Context<'_>,
) -> Option<Option<Arc<str>>> {
    if written.value == ANY {
        return Some(None);
    }
    let wrong = match HostPattern::origin_of(written.value) {
        Err(_) => Some("is no URL; write for example \"https://example.com/notified\", or \"*\""),
        Ok(_) if https_only && !written.value.starts_with("https://") => Some(
            "must begin with https://, or what is told can be read on the way; http:// is possible \
             with `addresses`",
        ),
        Ok(_) => None,
    };
    if let Some(wrong) = wrong {
        // Not the URL itself: it may hold a token.
        context.findings.wrong(&written.origin, format!("url {wrong}"));
        return None;
    }
    Some(Some(Arc::from(written.value)))
}

fn events(entry: &Fields<'_>, context: &mut Context<'_>) -> BTreeSet<CallbackEvent> {
    let Some(names) = entry.texts("events", &mut context.findings) else {
        return BTreeSet::from([CallbackEvent::Delivered, CallbackEvent::Failed]);
    };
    let known = || CallbackEvent::ALL.iter().map(|event| event.as_str());
    let mut events = BTreeSet::new();
    for name in names {
        match CallbackEvent::ALL.iter().find(|event| event.as_str() == name.value) {
            Some(event) => drop(events.insert(*event)),
            None => {
                let hint = context.suggester.hint(name.value, known());
                let message = format!("events: there is no event \"{}\"; {hint}", name.value);
                context.findings.wrong(&name.origin, message);
            }
        }
    }
    events
}

/// A key in the form of Standard Webhooks.
fn secret(name: &At<&str>, key: &str, context: &mut Context<'_>) -> Option<ChannelSecret> {
    let secret = credentials::variable_secret(name, key, context)?;
    let encoded = secret.value.expose().trim().strip_prefix("whsec_").unwrap_or_default();
    let length = STANDARD.decode(encoded).map_or(0, |bytes| bytes.len());
    if !KEY_BYTES.contains(&length) {
        context.findings.wrong(
            &name.origin,
            format!(
                "{key}: the value of {} must be whsec_ and 24 to 64 bytes in base64; make one with \
                 `echo whsec_$(openssl rand -base64 32)`",
                name.value
            ),
        );
        return None;
    }
    Some(secret)
}
