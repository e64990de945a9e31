//! `GET /admin/plugins`: what runs of each plugin, since when, and what became of its files.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};
use serde::Serialize;

use super::Operator;
use crate::{
    api::{
        Shared,
        answer::json,
        fits::{digest_of, manifest_of},
    },
    clock::UnixMs,
    config::{Plugin, PluginSource},
    generation::{Generation, Standing},
    ids::PluginName,
    observe::BindingReport,
    sandbox::LoadedPlugin,
};

/// All plugins of the configuration.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::api) struct PluginsView {
    /// By name.
    items: Vec<AdminPluginView>,
}

/// One plugin.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdminPluginView {
    /// Its name in plugins.toml.
    name: String,
    /// running; probation (has not worked yet since it was loaded); rolled-back (an earlier file
    /// runs than the one in place); quarantined (so are some of its channels); failed (it cannot be
    /// loaded); not-loaded (nothing needs it yet).
    state: &'static str,
    /// Why it is rolled-back or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// Its version, by its own account.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The version of the interface that it was built for.
    #[serde(skip_serializing_if = "Option::is_none")]
    interface: Option<String>,
    /// The digest of the file that runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Where its file is: a path, or builtin.
    source: String,
    /// Since when this file is in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    /// The file that has worked last, and that the host would go back to.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_good_digest: Option<String>,
    /// The file in place that does not run, having failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_digest: Option<String>,
    /// Channels that are configured for it.
    channels: usize,
    /// Those of them that have been used.
    bindings: usize,
    /// Those of them that are in quarantine.
    quarantined: usize,
    /// Live instances.
    instances: usize,
    /// Calls that are running.
    in_flight: usize,
    /// How often an instance had to be stopped since the file was loaded.
    strikes: u32,
    /// The last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fault: Option<LastFaultView>,
}

/// When an instance had to be stopped.
#[derive(Serialize, utoipa::ToSchema)]
struct LastFaultView {
    /// When.
    at: String,
    /// What it did.
    detail: String,
}

/// What the bindings of one plugin come to.
#[derive(Default)]
struct Sum {
    bindings: usize,
    quarantined: usize,
    instances: usize,
    in_flight: usize,
}

/// All plugins.
pub(in crate::api) async fn list(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
) -> Response<Body> {
    let generation = shared.api.current.load();
    let sums = sums(&(shared.api.bindings)());
    let mut channels = BTreeMap::<&PluginName, usize>::new();
    for tenant in generation.config.tenants.values() {
        for channel in tenant.channels.values() {
            *channels.entry(&channel.plugin).or_default() += 1;
        }
    }
    let now = shared.api.clock.now();
    let none = Sum::default();
    let items = generation.config.plugins.values().map(|plugin| {
        let sum = sums.get(&plugin.name).unwrap_or(&none);
        let channels = channels.get(&plugin.name).copied().unwrap_or(0);
        view(&generation, plugin, sum, channels, now)
    });
    json(StatusCode::OK, &PluginsView { items: items.collect() })
}

fn sums(reports: &[BindingReport]) -> BTreeMap<PluginName, Sum> {
    let mut sums = BTreeMap::<PluginName, Sum>::new();
    for report in reports {
        let sum = match sums.get_mut(&report.plugin) {
            Some(sum) => sum,
            None => sums.entry(report.plugin.clone()).or_default(),
        };
        sum.bindings += 1;
        sum.quarantined += usize::from(report.quarantine.is_some());
        sum.instances += report.instances;
        sum.in_flight += report.in_flight;
    }
    sums
}

fn view(
    generation: &Generation,
    plugin: &Plugin,
    sum: &Sum,
    channels: usize,
    now: UnixMs,
) -> AdminPluginView {
    let loaded = generation.plugins.get(&plugin.name);
    let failure = generation.plugin_failures.get(&plugin.name);
    let standing = generation.standings.get(&plugin.name);
    let refused = standing.and_then(|standing| standing.refused.as_ref());
    let faults = loaded.map(|loaded| loaded.faults()).unwrap_or_default();
    let proven = loaded.is_some_and(|loaded| loaded.is_proven());
    AdminPluginView {
        name: plugin.name.to_string(),
        state: match (loaded, failure, refused) {
            (_, Some(_), _) => "failed",
            (None, ..) => "not-loaded",
            _ if sum.quarantined > 0 => "quarantined",
            (.., Some(_)) => "rolled-back",
            _ if proven => "running",
            _ => "probation",
        },
        why: failure.or(refused.map(|refused| &refused.why)).cloned(),
        version: loaded.map(|loaded| manifest_of(loaded).version.to_string()),
        interface: loaded.map(|loaded| loaded.interface().to_owned()),
        digest: loaded.map(|loaded| digest_of(loaded).to_string()),
        source: match &plugin.source {
            PluginSource::Builtin => String::from("builtin"),
            PluginSource::File(path) => path.display().to_string(),
        },
        since: standing.map(|standing| standing.since.rfc3339()),
        last_good_digest: last_good(loaded, standing),
        refused_digest: refused.and_then(|refused| refused.digest).map(|digest| digest.to_string()),
        channels,
        bindings: sum.bindings,
        quarantined: sum.quarantined,
        instances: sum.instances,
        in_flight: sum.in_flight,
        strikes: faults.count,
        last_fault: faults
            .last
            .map(|(ago, detail)| LastFaultView { at: now.before(ago).rfc3339(), detail }),
    }
}

/// The file that works is the last good one as soon as it does.
fn last_good(loaded: Option<&Arc<LoadedPlugin>>, standing: Option<&Standing>) -> Option<String> {
    let running = loaded.filter(|loaded| loaded.is_proven()).map(|loaded| digest_of(loaded));
    let digest = running.or_else(|| standing.and_then(|standing| standing.last_good));
    digest.map(|digest| digest.to_string())
}
