//! `GET /health` and `GET /ready`.
//!
//! Anybody may ask, so the open answer names plugins and counts things, and names no tenant, channel
//! or cause. The operator's key opens the rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
    response::IntoResponse,
};
use serde::Serialize;

use super::{
    Shared,
    answer::json,
    auth::{Caller, bearer, is_admin},
    fits::{digest_of, manifest_of},
    kinds,
    problem::Problem,
};
use crate::{
    config::GrantMode,
    egress::HostPattern,
    generation::Generation,
    ids::PluginName,
    limits::{SECURITY_ALARM_FOR, UNAVAILABLE_RETRY_AFTER},
    observe::{
        BindingReport, BreakerReport, BreakersReport, GuestsReport, ReloadOutcome, ReloadReport,
        SecurityAlarm, TaskFailure,
    },
    store::{Counters, Health},
};

/// How the host is.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct HealthView {
    /// ok or degraded.
    status: &'static str,
    /// This program's version.
    version: &'static str,
    /// The generation in force.
    generation: u64,
    /// Since when.
    since: String,
    /// ok, read-only or failed.
    store: &'static str,
    /// Why the store is not well (operators only).
    #[serde(skip_serializing_if = "Option::is_none")]
    store_detail: Option<String>,
    /// How many tenants are configured.
    tenants: usize,
    /// How many things of the configuration were left out, being wrong.
    problem_count: usize,
    /// What they are (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<String>,
    /// The last reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reload: Option<ReloadView>,
    /// The plugins.
    plugins: Vec<PluginView>,
    /// How many channels are in each state.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    bindings: BTreeMap<&'static str, usize>,
    /// The channels that are not well (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unwell: Vec<BindingView>,
    /// The channels that hold a connection, with what they say of it (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    connections: Vec<BindingView>,
    /// How many breakers are not closed, by what they are about: destination, credential,
    /// configuration, provider.
    #[schema(value_type = std::collections::BTreeMap<String, usize>)]
    breakers: BTreeMap<&'static str, usize>,
    /// Some of them (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    open_breakers: Vec<BreakerView>,
    /// How many security alarms there were lately: plugins that tried to send or read a secret that
    /// they may not.
    security_alarm_count: usize,
    /// What they were, the newest last (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    security_alarms: Vec<AlarmView>,
    /// Background tasks that ended although they should not have.
    tasks_ended: Vec<TaskView>,
    /// What all guests have, and what they may have.
    guests: GuestsView,
    /// How many notifications are in each state.
    #[serde(skip_serializing_if = "Option::is_none")]
    queue: Option<QueueView>,
}

/// A reload.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct ReloadView {
    /// unchanged, applied, rejected or rolled-back.
    outcome: &'static str,
    /// When.
    at: String,
    /// How many errors.
    error_count: usize,
    /// What they are (operators only).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

/// A plugin.
#[derive(Serialize, utoipa::ToSchema)]
struct PluginView {
    /// Its name.
    name: String,
    /// loaded, not-loaded or failed.
    state: &'static str,
    /// Its version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// Its file.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// Why it failed (operators only).
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// enforce, or report-only: then it reaches every host that its manifest asks for.
    grants: &'static str,
    /// Origins that it wanted and that are not granted, of those seen since the start (operators
    /// only).
    #[serde(skip_serializing_if = "Vec::is_empty", rename = "notGranted")]
    not_granted: Vec<String>,
}

/// What a plugin did that an honest one does not.
#[derive(Serialize, utoipa::ToSchema)]
struct AlarmView {
    /// When.
    at: String,
    /// Whose channel.
    tenant: String,
    /// Which channel.
    channel: String,
    /// Its plugin.
    plugin: String,
    /// secret-denied or reveal-denied.
    what: &'static str,
    /// In a sentence.
    detail: String,
}

/// A channel that is not well, or that holds a connection.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct BindingView {
    /// Whose.
    tenant: String,
    /// Which.
    channel: String,
    /// Its plugin.
    plugin: String,
    /// backoff or quarantined; of those that hold a connection also idle, running, degraded,
    /// unhealthy or misconfigured.
    state: &'static str,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Live instances.
    instances: usize,
    /// Calls that are running.
    in_flight: usize,
}

/// A breaker that is not closed.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct BreakerView {
    /// destination, credential, configuration or provider.
    scope: &'static str,
    /// The plugin.
    plugin: String,
    /// Whose channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    /// Which channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
    /// The target, or the provider's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// open or half-open.
    state: &'static str,
    /// Since when.
    since: String,
    /// When one message is let through to try.
    until: String,
    /// The code of the last failure.
    code: String,
    /// What it said.
    detail: String,
}

/// A task that ended.
#[derive(Serialize, utoipa::ToSchema)]
struct TaskView {
    /// Its name.
    name: String,
    /// When.
    at: String,
    /// Why (operators only).
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// What all guests have together.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct GuestsView {
    /// Live instances.
    instances: usize,
    /// As many as there may be.
    instances_max: usize,
    /// Their memory, in bytes.
    memory_bytes: usize,
    /// As much as they may have.
    memory_bytes_max: usize,
}

impl From<GuestsReport> for GuestsView {
    fn from(report: GuestsReport) -> Self {
        let GuestsReport { instances, instances_max, memory_bytes, memory_bytes_max } = report;
        Self { instances, instances_max, memory_bytes, memory_bytes_max }
    }
}

/// Notifications by state.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct QueueView {
    queued: u64,
    sending: u64,
    retrying: u64,
    delivered: u64,
    dead: u64,
    cancelled: u64,
}

/// How the host is: 200 as long as it answers at all.
pub(super) async fn health(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    let admin = is_admin(shared.api.admin_key_hash.as_ref(), &parts.headers);
    if !admin && bearer(&parts.headers).is_ok() {
        // The answer tells whether a key is the operator's: it is no place to guess for nothing.
        if let Err(refused) = Caller::identify(shared.api.current.load(), &parts) {
            let problem = refused.answer(&shared, &parts);
            if problem.kind() == kinds::TOO_MANY_FAILURES {
                return problem.into_response();
            }
        }
    }
    let generation = shared.api.current.load();
    let totals = shared.api.store.totals().await.ok();
    let reports = (shared.api.bindings)();
    let mut view = look(&shared, &generation, &reports, totals, admin);
    view.add((shared.api.breakers)(), admin);
    json(StatusCode::OK, &view)
}

fn look(
    shared: &Shared,
    generation: &Generation,
    reports: &[BindingReport],
    totals: Option<Counters>,
    admin: bool,
) -> HealthView {
    let board = shared.api.health.read();
    let (store, store_detail) = match shared.api.store.health() {
        Health::Ok => ("ok", None),
        Health::ReadOnly(why) => ("read-only", Some(why)),
        Health::Failed(why) => ("failed", Some(why)),
    };
    let mut bindings = BTreeMap::new();
    for report in reports {
        *bindings.entry(report.state).or_default() += 1;
    }
    let reload_ok = board.last_reload.as_ref().is_none_or(|reload| {
        matches!(reload.outcome, ReloadOutcome::Unchanged | ReloadOutcome::Applied)
    });
    let since = shared.api.clock.now().before(SECURITY_ALARM_FOR);
    let alarms: Vec<_> = board.security_alarms.iter().filter(|alarm| alarm.at >= since).collect();
    let is_well = alarms.is_empty()
        && store == "ok"
        && totals.is_some()
        && reload_ok
        && generation.problems.is_empty()
        && generation.plugin_failures.is_empty()
        && board.task_failures.is_empty()
        && reports.iter().all(BindingReport::is_well);
    let problems: Vec<String> = generation.problems.iter().map(ToString::to_string).collect();
    let unwell = reports.iter().filter(|report| admin && !report.is_well());
    let connections = reports.iter().filter(|_| admin).filter_map(BindingView::of_connection);
    HealthView {
        status: if is_well { "ok" } else { "degraded" },
        version: env!("CARGO_PKG_VERSION"),
        generation: generation.number,
        since: generation.since.rfc3339(),
        store,
        store_detail: store_detail.filter(|_| admin),
        tenants: generation.config.tenants.len(),
        problem_count: problems.len(),
        problems: if admin { problems } else { Vec::new() },
        last_reload: board.last_reload.map(|reload| ReloadView::of(reload, admin)),
        plugins: plugins(generation, &board.not_granted, admin),
        bindings,
        unwell: unwell.map(BindingView::of).collect(),
        connections: connections.collect(),
        breakers: BTreeMap::new(),
        open_breakers: Vec::new(),
        security_alarm_count: alarms.len(),
        security_alarms: alarms.into_iter().filter(|_| admin).map(AlarmView::of).collect(),
        tasks_ended: board
            .task_failures
            .into_iter()
            .map(|failure| TaskView::of(failure, admin))
            .collect(),
        guests: (shared.api.guests)().into(),
        queue: totals.map(QueueView::from),
    }
}

fn plugins(
    generation: &Generation,
    seen: &BTreeMap<PluginName, BTreeSet<String>>,
    admin: bool,
) -> Vec<PluginView> {
    generation
        .config
        .plugins
        .iter()
        .map(|(name, config)| {
            let loaded = generation.plugins.get(name);
            let failure = generation.plugin_failures.get(name);
            PluginView {
                name: name.to_string(),
                state: match (loaded, failure) {
                    (_, Some(_)) => "failed",
                    (Some(_), None) => "loaded",
                    (None, None) => "not-loaded",
                },
                version: loaded.map(|plugin| manifest_of(plugin).version.to_string()),
                digest: loaded.map(|plugin| digest_of(plugin).to_string()),
                why: failure.filter(|_| admin).cloned(),
                grants: match config.grants.mode {
                    GrantMode::Enforce => "enforce",
                    GrantMode::ReportOnly => "report-only",
                },
                not_granted: match seen.get(name) {
                    Some(seen) if admin => not_granted(seen, &config.grants.hosts),
                    _ => Vec::new(),
                },
            }
        })
        .collect()
}

/// What is not granted now: it may have been added since.
fn not_granted(seen: &BTreeSet<String>, hosts: &[HostPattern]) -> Vec<String> {
    let is_granted = |origin: &str| hosts.iter().any(|host| host.covers_origin(origin));
    seen.iter().filter(|origin| !is_granted(origin)).cloned().collect()
}

impl AlarmView {
    fn of(alarm: &SecurityAlarm) -> Self {
        Self {
            at: alarm.at.rfc3339(),
            tenant: alarm.tenant.to_string(),
            channel: alarm.channel.to_string(),
            plugin: alarm.plugin.to_string(),
            what: alarm.what,
            detail: alarm.detail.clone(),
        }
    }
}

impl HealthView {
    fn add(&mut self, breakers: BreakersReport, admin: bool) {
        if !breakers.is_well() {
            self.status = "degraded";
        }
        self.breakers = breakers.counts.into_iter().filter(|(_, count)| *count > 0).collect();
        if admin {
            self.open_breakers = breakers.shown.into_iter().map(BreakerView::of).collect();
        }
    }
}

impl BreakerView {
    fn of(report: BreakerReport) -> Self {
        let (tenant, channel) = report.channel.unzip();
        Self {
            scope: report.scope,
            plugin: report.plugin.to_string(),
            tenant: tenant.map(|tenant| tenant.to_string()),
            channel: channel.map(|channel| channel.to_string()),
            target: report.target,
            state: report.state,
            since: report.since.rfc3339(),
            until: report.until.rfc3339(),
            code: report.code,
            detail: report.detail,
        }
    }
}

impl ReloadView {
    fn of(report: ReloadReport, admin: bool) -> Self {
        Self {
            outcome: report.outcome.word(),
            at: report.at.rfc3339(),
            error_count: report.errors.len(),
            errors: if admin { report.errors } else { Vec::new() },
        }
    }
}

impl TaskView {
    fn of(failure: TaskFailure, admin: bool) -> Self {
        let why = admin.then_some(failure.why);
        Self { name: failure.name, at: failure.at.rfc3339(), why }
    }
}

impl BindingView {
    fn of_connection(report: &BindingReport) -> Option<Self> {
        let detail = Some(report.connection.clone()?);
        Some(Self { detail, ..Self::of(report) })
    }

    fn of(report: &BindingReport) -> Self {
        Self {
            tenant: report.tenant.to_string(),
            channel: report.channel.to_string(),
            plugin: report.plugin.to_string(),
            state: report.state,
            detail: report.detail.clone(),
            instances: report.instances,
            in_flight: report.in_flight,
        }
    }
}

impl From<Counters> for QueueView {
    fn from(counters: Counters) -> Self {
        let Counters { queued, sending, retrying, delivered, dead, cancelled } = counters;
        Self { queued, sending, retrying, delivered, dead, cancelled }
    }
}

/// Whether to send requests here.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ReadyView {
    /// ready.
    status: &'static str,
}

/// 200 if the host takes notifications, else 503.
pub(super) async fn ready(State(shared): State<Arc<Shared>>) -> Result<Response<Body>, Problem> {
    let why = if shared.api.stopping.is_cancelled() {
        Some("The host is stopping.")
    } else if shared.api.current.load().number == 0 {
        Some("No configuration is in force yet.")
    } else {
        match shared.api.store.health() {
            Health::Ok => None,
            Health::ReadOnly(_) => Some("The store takes nothing new."),
            Health::Failed(_) => Some("The store has failed."),
        }
    };
    match why {
        None => Ok(json(StatusCode::OK, &ReadyView { status: "ready" })),
        Some(why) => Err(Problem::new(kinds::NOT_READY, why).retry_after(UNAVAILABLE_RETRY_AFTER)),
    }
}
