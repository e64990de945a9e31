//! From what a request names to what is configured: its channels, and whether they take it.

use std::sync::Arc;

use serde_json::Value;

use super::{
    auth::Caller,
    fields::nearest,
    fits,
    json::shorten,
    kinds,
    notification::{self, Wanted},
    problem::{FieldError, Problem},
    routing::Goal,
};
use crate::{
    clock::UnixMs,
    config::{Channel, Tenant},
};

/// Where a notification goes.
pub(super) enum To<'c> {
    /// To one channel and no further: one notification.
    One(&'c Channel),
    /// To several, or on to others when the first has given up: a parent with a branch for each.
    Group(Vec<&'c Channel>),
}

/// Everything that must be right before a notification is accepted.
///
/// # Errors
/// What is wrong with it.
pub(super) fn prepare(
    caller: &Caller,
    value: Value,
    now: UnixMs,
) -> Result<(Wanted, To<'_>), Problem> {
    let wanted = notification::read(value, now)?;
    let tenant = &caller.tenant;
    if let Some(url) = &wanted.envelope.callback_url {
        check_callback(tenant, url)?;
    }
    let fits = |channel: &Channel| fits::check(&caller.generation, channel, &wanted.envelope);
    let to = match &wanted.goal {
        Goal::One(name) => {
            let Some(channel) = tenant.channels.get(name.as_str()) else {
                return Err(unknown(tenant, vec![(String::from("/channel"), name.as_str())]));
            };
            fits(channel)?;
            if wanted.envelope.fallback.is_empty() && channel.fallback.is_empty() {
                To::One(channel)
            } else {
                let steps = wanted.envelope.fallback.iter().map(|step| step.channel.as_str());
                for other in find_all(tenant, "/fallback", steps)? {
                    fits(other)?;
                }
                To::Group(vec![&**channel])
            }
        }
        Goal::Many(names) => {
            let channels = find_all(tenant, "/channels", names.iter().map(String::as_str))?;
            for channel in &channels {
                fits(channel)?;
            }
            To::Group(channels)
        }
    };
    Ok((wanted, to))
}

/// Whether the tenant's configuration has the address called: refused now, and not by silence later.
fn check_callback(tenant: &Tenant, url: &str) -> Result<(), Problem> {
    let detail = match tenant.callback_for(url, true) {
        None => {
            "is not open to this tenant: tenants.toml has no [[tenant.callback]] with this url or \
             with url = \"*\""
        }
        Some(callback) if callback.addresses.is_empty() && !url.starts_with("https://") => {
            "does not begin with https://, and `addresses` of its [[tenant.callback]] opens no \
             other"
        }
        Some(_) => return Ok(()),
    };
    Err(notification::invalid(vec![FieldError::at("/callbackUrl", detail)]))
}

fn find_all<'t, 'n>(
    tenant: &'t Tenant,
    at: &str,
    names: impl Iterator<Item = &'n str>,
) -> Result<Vec<&'t Channel>, Problem> {
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    for (index, name) in names.enumerate() {
        match tenant.channels.get(name) {
            Some(channel) => found.push(Arc::as_ref(channel)),
            None => missing.push((format!("{at}/{index}"), name)),
        }
    }
    if missing.is_empty() { Ok(found) } else { Err(unknown(tenant, missing)) }
}

/// A 404 that names the channels there are; `missing`: at least one pointer and name.
fn unknown(tenant: &Tenant, missing: Vec<(String, &str)>) -> Problem {
    let known: Vec<&str> = tenant.channels.keys().map(|name| name.as_str()).collect();
    let name = missing.first().map_or("", |(_, name)| name);
    let hint = match nearest(name, &known) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if known.is_empty() => String::from("the tenant has no channels."),
        None => format!("known are {}.", known.join(", ")),
    };
    let short = shorten(name);
    let errors = missing
        .into_iter()
        .map(|(pointer, name)| {
            let detail = format!("\"{}\" is not a channel of this tenant", shorten(name));
            FieldError::at(pointer, detail)
        })
        .collect();
    Problem::new(kinds::UNKNOWN_CHANNEL, format!("There is no channel \"{short}\": {hint}"))
        .errors(errors)
        .with("knownChannels", known)
}
