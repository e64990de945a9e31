//! The start-up report: tenants, their keys (there or not, never the value), plugins and channels.

use std::{net::SocketAddr, sync::Arc};

use crate::{
    config::{Channel, GrantMode, Tenant},
    generation::Generation,
    ids::PluginName,
};

/// Tenants that are listed one by one; of more, only how many there are.
const LISTED: usize = 20;

/// Logs what has started.
pub(super) fn started(generation: &Generation, address: SocketAddr) {
    for problem in &generation.problems {
        tracing::warn!("left out: {problem}");
    }
    for notice in &generation.config.notices {
        tracing::info!("{notice}");
    }
    for (name, plugin) in &generation.plugins {
        let manifest = plugin.manifest();
        tracing::info!(
            plugin = %name,
            version = %manifest.version,
            interface = plugin.interface(),
            digest = %plugin.digest(),
            "plugin ready: {}",
            manifest.summary
        );
    }
    for (name, why) in &generation.plugin_failures {
        tracing::error!(plugin = %name, "plugin not loaded: {why}");
    }
    let tenants = &generation.config.tenants;
    for tenant in tenants.values().take(LISTED) {
        tracing::info!(
            tenant = %tenant.id,
            name = &*tenant.name,
            keys = tenant.key_hashes.len(),
            "tenant ready: {}",
            channels(tenant)
        );
    }
    let channel_count: usize = tenants.values().map(|tenant| tenant.channels.len()).sum();
    tracing::info!(
        tenants = tenants.len(),
        channels = channel_count,
        plugins = generation.plugins.len(),
        generation = generation.number,
        "listening on http://{address}"
    );
}

/// The plugins whose grants are reported and not enforced.
pub(crate) fn unenforced(generation: &Generation) -> Vec<&PluginName> {
    let plugins = generation.config.plugins.values();
    let report_only = plugins.filter(|plugin| plugin.grants.mode == GrantMode::ReportOnly);
    report_only.map(|plugin| &plugin.name).collect()
}

fn channels(tenant: &Tenant) -> String {
    let name = |channel: &Arc<Channel>| {
        if channel.name.as_str() == channel.plugin.as_str() {
            channel.name.to_string()
        } else {
            format!("{} ({})", channel.name, channel.plugin)
        }
    };
    let names: Vec<_> = tenant.channels.values().take(LISTED).map(name).collect();
    if names.is_empty() { String::from("no channel") } else { names.join(", ") }
}
