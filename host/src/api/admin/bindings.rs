//! `GET /admin/bindings`: what each channel has used, sorted by what is asked about.

use std::{cmp::Reverse, sync::Arc};

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode, Uri},
};
use serde::Serialize;

use super::Operator;
use crate::{
    api::{
        Shared, answer::json, json::shorten, listing::read_limit, problem::Problem,
        query::Parameters,
    },
    generation::Generation,
    ids::{PluginName, TenantId},
    limits::LIST_LIMIT_DEFAULT,
    observe::{BindingReport, ResourcesReport},
};

/// One page of the channels that were used.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::api) struct BindingsPage {
    /// How many there are.
    total: usize,
    /// The greatest first.
    items: Vec<AdminBindingView>,
    /// For the next page's `cursor`; not there on the last page. Each page is looked up anew, so a
    /// channel that overtakes another meanwhile can be on two pages or on none.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One channel and what it has used since its first message, or since its configuration or plugin
/// changed.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdminBindingView {
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
    /// idle, running, degraded, unhealthy, misconfigured, backoff or quarantined.
    state: &'static str,
    /// Live instances.
    instances: usize,
    /// Calls that are running.
    in_flight: usize,
    /// Calls of its plugin.
    calls: u64,
    /// CPU time of its instances and of the host's work for them, in milliseconds.
    cpu_ms: f64,
    /// The most memory that one instance has had, in bytes.
    memory_bytes_peak: u64,
    /// Calls of what the host offers to plugins.
    host_calls: u64,
    /// Headers and bodies that it sent, in bytes.
    bytes_out: u64,
    /// Headers and bodies that it got, in bytes.
    bytes_in: u64,
    /// What it logged, in bytes.
    log_bytes: u64,
    /// Log lines that were dropped.
    log_lines_dropped: u64,
}

/// By what the channels are sorted.
#[derive(Clone, Copy)]
enum Sort {
    Cpu,
    Memory,
    Calls,
    HostCalls,
    BytesOut,
    BytesIn,
    LogBytes,
    Instances,
}

impl Sort {
    fn read(text: &str) -> Result<Self, String> {
        Ok(match text {
            "cpu" => Self::Cpu,
            "memory" => Self::Memory,
            "calls" => Self::Calls,
            "hostCalls" => Self::HostCalls,
            "bytesOut" => Self::BytesOut,
            "bytesIn" => Self::BytesIn,
            "logBytes" => Self::LogBytes,
            "instances" => Self::Instances,
            other => {
                return Err(format!(
                    "\"{}\" is none of cpu, memory, calls, hostCalls, bytesOut, bytesIn, logBytes, \
                     instances",
                    shorten(other)
                ));
            }
        })
    }

    fn of(self, report: &BindingReport) -> u128 {
        let used = &report.resources;
        match self {
            Self::Cpu => used.cpu.as_nanos(),
            Self::Memory => used.memory_bytes_peak.into(),
            Self::Calls => used.calls.into(),
            Self::HostCalls => used.host_calls.into(),
            Self::BytesOut => used.bytes_out.into(),
            Self::BytesIn => used.bytes_in.into(),
            Self::LogBytes => used.log_bytes.into(),
            Self::Instances => report.instances as u128,
        }
    }
}

/// One page.
pub(in crate::api) async fn list(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let sort = parameters.take("sort", Sort::read).unwrap_or(Sort::Cpu);
    let tenant: Option<TenantId> = parameters.take("tenant", |text| {
        text.parse().map_err(|_| format!("\"{}\" is not the id of a tenant", shorten(text)))
    });
    let plugin: Option<PluginName> = parameters.take("plugin", |text| {
        text.parse().map_err(|_| format!("\"{}\" is not the name of a plugin", shorten(text)))
    });
    let begin: usize = parameters
        .take("cursor", |text| {
            text.parse().map_err(|_| String::from("is not a cursor of a page before"))
        })
        .unwrap_or(0);
    let limit = parameters.take("limit", read_limit).unwrap_or(LIST_LIMIT_DEFAULT);
    parameters.finish(&["sort", "tenant", "plugin", "cursor", "limit"])?;

    let mut reports = (shared.api.bindings)();
    reports.retain(|report| {
        tenant.is_none_or(|tenant| tenant == report.tenant)
            && plugin.as_ref().is_none_or(|plugin| *plugin == report.plugin)
    });
    // Equal ones in an order that stays the same from page to page.
    reports.sort_by(|one, other| {
        let key = |report: &BindingReport| (Reverse(sort.of(report)), report.tenant);
        key(one).cmp(&key(other)).then_with(|| one.channel.cmp(&other.channel))
    });
    let total = reports.len();
    let generation = shared.api.current.load();
    let page = reports.into_iter().skip(begin).take(limit);
    let items: Vec<_> = page.map(|report| view(&generation, report)).collect();
    let end = begin.saturating_add(items.len());
    let next_cursor = (end < total && !items.is_empty()).then(|| end.to_string());
    Ok(json(StatusCode::OK, &BindingsPage { total, items, next_cursor }))
}

fn view(generation: &Generation, report: BindingReport) -> AdminBindingView {
    let tenant = generation.config.tenants.get(&report.tenant);
    let ResourcesReport {
        calls,
        cpu,
        memory_bytes_peak,
        host_calls,
        bytes_out,
        bytes_in,
        log_bytes,
        log_lines_dropped,
    } = report.resources;
    AdminBindingView {
        tenant_id: report.tenant,
        tenant_name: tenant.map(|tenant| tenant.name.to_string()),
        channel: report.channel.to_string(),
        plugin: report.plugin.to_string(),
        state: report.state,
        instances: report.instances,
        in_flight: report.in_flight,
        calls,
        cpu_ms: cpu.as_secs_f64() * 1_000.0,
        memory_bytes_peak,
        host_calls,
        bytes_out,
        bytes_in,
        log_bytes,
        log_lines_dropped,
    }
}
