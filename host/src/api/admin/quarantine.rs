//! `/admin/quarantine`: the channels whose plugin does not stop failing, and the operator's word
//! that it is mended.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    http::{Response, StatusCode, Uri},
};
use serde::Serialize;

use super::Operator;
use crate::{
    api::{Shared, answer::json, json::shorten, kinds, problem::Problem, query::Parameters},
    clock::UnixMs,
    generation::Generation,
    ids::{ChannelName, PluginName, TenantId},
    limits::QUARANTINED_SHOWN_MAX,
    observe::{BindingReport, QuarantineReport},
};

/// The channels in quarantine.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::api) struct QuarantinePage {
    /// How many there are.
    total: usize,
    /// Those that have been there for longest, 200 at most.
    items: Vec<QuarantineView>,
}

/// A channel in quarantine.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct QuarantineView {
    /// Whose.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// What the tenant is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant_name: Option<String>,
    /// Which.
    channel: String,
    /// Its plugin.
    plugin: String,
    /// Since when.
    since: String,
    /// When the next message is let through to try.
    opens_at: String,
    /// How many such messages have failed.
    failed_probes: u32,
    /// The last fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_fault: Option<String>,
}

/// What was let go.
#[derive(Serialize, utoipa::ToSchema)]
pub(in crate::api) struct ReleasedView {
    /// How many channels.
    released: usize,
}

fn quarantined(shared: &Shared) -> Vec<(BindingReport, QuarantineReport)> {
    let all = (shared.api.bindings)().into_iter();
    all.filter_map(|report| report.quarantine.map(|quarantine| (report, quarantine))).collect()
}

/// The channels in quarantine, those that have been there for longest first.
pub(in crate::api) async fn list(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
) -> Response<Body> {
    let mut found = quarantined(&shared);
    found.sort_by_key(|(_, quarantine)| std::cmp::Reverse(quarantine.held_for));
    let generation = shared.api.current.load();
    let now = shared.api.clock.now();
    let total = found.len();
    let shown = found.into_iter().take(QUARANTINED_SHOWN_MAX);
    let items = shown.map(|(report, quarantine)| view(&generation, report, quarantine, now));
    json(StatusCode::OK, &QuarantinePage { total, items: items.collect() })
}

fn view(
    generation: &Generation,
    report: BindingReport,
    quarantine: QuarantineReport,
    now: UnixMs,
) -> QuarantineView {
    let tenant = generation.config.tenants.get(&report.tenant);
    QuarantineView {
        tenant_id: report.tenant,
        tenant_name: tenant.map(|tenant| tenant.name.to_string()),
        channel: report.channel.to_string(),
        plugin: report.plugin.to_string(),
        since: now.before(quarantine.held_for).rfc3339(),
        opens_at: now.after(quarantine.opens_in).rfc3339(),
        failed_probes: quarantine.failed_probes,
        last_fault: report.detail,
    }
}

/// Ends the quarantine of one channel.
pub(in crate::api) async fn release(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
    Path((tenant, channel)): Path<(String, String)>,
) -> Result<Response<Body>, Problem> {
    let place = tenant.parse::<TenantId>().ok().zip(channel.parse::<ChannelName>().ok());
    match place {
        Some((tenant, channel)) if shared.api.operate.release(tenant, &channel) => {
            Ok(json(StatusCode::OK, &ReleasedView { released: 1 }))
        }
        _ => Err(Problem::new(
            kinds::NOT_QUARANTINED,
            format!(
                "Channel \"{}\" of tenant \"{}\" is not in quarantine; GET /admin/quarantine lists \
                 those that are.",
                shorten(&channel),
                shorten(&tenant)
            ),
        )),
    }
}

/// Ends all quarantines, or those of one plugin.
pub(in crate::api) async fn release_all(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let only: Option<PluginName> = parameters.take("plugin", |text| {
        text.parse().map_err(|_| format!("\"{}\" is not the name of a plugin", shorten(text)))
    });
    parameters.finish(&["plugin"])?;
    let wanted = quarantined(&shared)
        .into_iter()
        .map(|(report, _)| report)
        .filter(|report| only.as_ref().is_none_or(|only| *only == report.plugin));
    let released =
        wanted.filter(|one| shared.api.operate.release(one.tenant, &one.channel)).count();
    Ok(json(StatusCode::OK, &ReleasedView { released }))
}
