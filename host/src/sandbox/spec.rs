//! From a configured channel and a loaded plugin to what an instance is made from; and everything
//! that can be found wrong with the two together before the first message.

use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

use super::{
    binding::Spec, instance, kv::Kv, log::Speaker, manifest::Manifest, plugin::LoadedPlugin,
};
use crate::{
    config::{Channel, ChannelSecret, ONLY_SECRET, Plugin, Tenant},
    egress::{Egress, EgressPolicy},
    limits,
    store::Lane,
};

/// Checks channels against one plugin's manifest; its schema is read once.
#[derive(Debug)]
pub struct ChannelCheck(jsonschema::Validator);

impl ChannelCheck {
    /// Makes ready for channels of the plugin with this manifest.
    ///
    /// # Errors
    /// When its options-schema cannot be used.
    pub fn new(manifest: &Manifest) -> Result<Self, String> {
        jsonschema::validator_for(&manifest.options_schema).map(Self).map_err(|error| {
            format!("plugin \"{}\": its options-schema is unusable: {error}", manifest.name)
        })
    }

    /// What is wrong with `channel`: every error, in sentences.
    #[must_use]
    pub fn errors(&self, channel: &Channel, plugin: &Plugin, manifest: &Manifest) -> Vec<String> {
        let mut errors = Vec::new();
        let name = &plugin.name;
        let options = serde_json::Value::Object((*channel.options).clone());
        errors.extend(self.0.iter_errors(&options).map(|error| {
            let place = error.instance_path().to_string();
            format!("channel \"{}\": options{}: {error}", channel.name, place.replace('/', "."))
        }));
        match secrets(channel, manifest) {
            Ok(secrets) => {
                for want in manifest.secrets.iter().filter(|want| want.required) {
                    if !secrets.contains_key(&want.name) {
                        errors.push(format!(
                            "channel \"{}\" has no secret {} ({}): add it to [channel.secrets]",
                            channel.name, want.name, want.summary
                        ));
                    }
                }
                for found in secrets.keys() {
                    if !manifest.secrets.iter().any(|want| want.name == *found) {
                        let known: Vec<&str> =
                            manifest.secrets.iter().map(|want| want.name.as_str()).collect();
                        errors.push(format!(
                            "channel \"{}\": plugin \"{name}\" knows no secret {found}; it knows {}",
                            channel.name,
                            if known.is_empty() { String::from("none") } else { known.join(", ") }
                        ));
                    }
                }
            }
            Err(error) => errors.push(error),
        }
        // An option that is no URL has been named already, by the schema.
        if errors.is_empty()
            && let Err(error) = EgressPolicy::new(&manifest.hosts, &channel.options, &plugin.grants)
        {
            errors.push(format!("channel \"{}\": {error}", channel.name));
        }
        errors
    }
}

/// The channel's secrets under the names that the plugin knows.
fn secrets<'a>(
    channel: &'a Channel,
    manifest: &Manifest,
) -> Result<Cow<'a, BTreeMap<String, ChannelSecret>>, String> {
    let Some(only) = channel.secrets.get(ONLY_SECRET) else {
        return Ok(Cow::Borrowed(&channel.secrets));
    };
    let mut wants = manifest.secrets.iter().filter(|want| want.required);
    // A plugin with several ways to work requires none of its secrets; its first is the usual one.
    let name = match (wants.next(), wants.next(), manifest.secrets.first()) {
        (Some(want), None, _) | (None, None, Some(want)) => want.name.clone(),
        _ => {
            return Err(format!(
                "channel \"{}\": provider_secret_env is for plugins with one secret; name each in \
                 [channel.secrets]",
                channel.name
            ));
        }
    };
    let mut named = channel.secrets.clone();
    named.remove(ONLY_SECRET);
    named.insert(name, only.clone());
    Ok(Cow::Owned(named))
}

/// Puts the specification together.
pub(super) fn build(
    egress: &Egress,
    tenant: &Tenant,
    channel: &Arc<Channel>,
    config: &Plugin,
    plugin: Arc<LoadedPlugin>,
    kv: Arc<Kv>,
) -> Result<Spec, String> {
    let manifest = plugin.manifest();
    let secrets = secrets(channel, manifest)?;
    let policy = EgressPolicy::new(&manifest.hosts, &channel.options, &config.grants)?;
    let digest = plugin.digest();
    let egress_max = config.limits.egress_max.unwrap_or_else(|| {
        let usual = limits::EGRESS_PER_BINDING_DEFAULT;
        match plugin.is_async() {
            // Each of its sends is a request at least.
            true => {
                plugin.in_flight_max(&config.limits).clamp(usual, limits::EGRESS_PER_BINDING_MAX)
            }
            false => usual,
        }
    });
    let egress = egress.binding(digest, policy, &secrets, &config.grants, egress_max);
    let speaker = Speaker {
        tenant: tenant.id.to_string(),
        channel: channel.name.to_string(),
        plugin: plugin.name().to_string(),
        digest: instance::short(digest),
    };
    Ok(Spec {
        lane: Lane { tenant: tenant.id, channel: channel.name.clone() },
        tenant_id: tenant.id.to_string(),
        tenant_name: tenant.name.to_string(),
        speaker: Arc::new(speaker),
        options: serde_json::Value::Object((*channel.options).clone()).to_string(),
        secret_names: secrets.keys().cloned().collect(),
        egress,
        kv,
        limits: Arc::clone(&config.limits),
        plugin,
        channel: Arc::clone(channel),
        grants: Arc::clone(&config.grants),
    })
}
