//! Who is told what: what the parts report as it happens becomes metrics, health, and triggers.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::sync::mpsc;

use super::{report, security::SecurityDesk, trail::Trail};
use crate::{
    config::ThrottleScope,
    dispatch::{self, BreakerScope, Running},
    egress::{Denial, FetchError},
    generation::Generation,
    ids::PluginName,
    limits,
    observe::{
        BreakerWord, EgressOutcome, Fault as FaultWord, HealthBoard, Metrics,
        Refusal as RefusalWord, ReloadOutcome, ReloadReport, ThrottleWord, Used,
    },
    reload::{self, Outcome, Report, Trial, Trigger},
    sandbox::{self, Fault, FaultKind, LoadedPlugin, Problem, Refusal, Usage},
    store::{EventKind, Lane},
};

/// All observers of the process.
#[derive(Clone)]
pub(super) struct Observers {
    metrics: Arc<Metrics>,
    health: Arc<HealthBoard>,
    triggers: mpsc::Sender<Trigger>,
    trail: Trail,
    security: SecurityDesk,
    /// Dispatch starts after the sandbox that reports here.
    dispatching: Arc<OnceLock<Arc<Running>>>,
}

impl Observers {
    pub(super) fn new(
        metrics: Arc<Metrics>,
        health: Arc<HealthBoard>,
        triggers: mpsc::Sender<Trigger>,
        trail: Trail,
        security: SecurityDesk,
    ) -> Self {
        Self { metrics, health, triggers, trail, security, dispatching: Arc::default() }
    }

    /// A new generation is also a reason to look at what was paused.
    pub(super) fn nudge_on_reload(&self, dispatching: &Arc<Running>) {
        // Called once, at start.
        let _first = self.dispatching.set(Arc::clone(dispatching));
    }

    pub(super) fn published(&self, generation: &Generation) {
        self.metrics.published(generation.number, generation.since, generation.problems.len());
    }

    /// Says which plugins run without their grants being enforced: nobody should forget it.
    pub(super) fn unenforced(&self, generation: &Generation) {
        for plugin in report::unenforced(generation) {
            tracing::warn!(
                plugin = %plugin,
                "its grants are reported and not enforced ([plugin.grants] mode = \"report-only\"): \
                 it reaches every host that its manifest asks for"
            );
            let detail = format!("report-only: the grants of plugin \"{plugin}\" are not enforced");
            self.trail.security(None, detail);
        }
    }

    fn trial(&self, trial: Trial) {
        if self.triggers.try_send(Trigger::Trial(trial)).is_err() {
            // It will be told again: after a restart a plugin is on probation anew.
            tracing::warn!("too many reloads are waiting; news of a plugin was dropped");
        }
    }
}

impl sandbox::Observer for Observers {
    fn instance_started(&self, plugin: &PluginName) {
        self.metrics.instance_created(plugin);
    }

    fn instance_ended(&self, plugin: &PluginName) {
        self.metrics.instance_closed(plugin);
    }

    fn call(&self, plugin: &PluginName, usage: &Usage) {
        self.metrics.plugin(plugin).used(&Used {
            cpu: usage.cpu,
            memory_bytes_peak: u64::try_from(usage.memory_bytes_peak).unwrap_or(u64::MAX),
            host_calls: usage.host_calls,
            bytes_out: usage.bytes_out,
            bytes_in: usage.bytes_in,
            log_bytes: usage.log_bytes,
            log_lines_dropped: usage.log_lines_dropped,
            starved: usage.starved,
        });
    }

    fn fault(&self, plugin: &PluginName, kind: FaultKind) {
        let word = match kind {
            FaultKind::Trap => FaultWord::Trap,
            FaultKind::Timeout => FaultWord::Timeout,
            FaultKind::Cpu => FaultWord::Cpu,
            FaultKind::Memory => FaultWord::Memory,
            FaultKind::Stack => FaultWord::Stack,
            FaultKind::HostCall => FaultWord::HostCall,
            FaultKind::Start | FaultKind::HostMemory => FaultWord::Start,
        };
        self.metrics.fault(plugin, word);
    }

    fn quarantined(&self, lane: &Lane, plugin: &PluginName, fault: &Fault) -> Box<dyn Send> {
        let detail = format!("channel \"{}\" (plugin {plugin}): {fault}", lane.channel);
        tracing::error!(
            tenant = %lane.tenant, channel = %lane.channel, plugin = %plugin,
            "quarantined: {} different messages made its instances fail; its messages wait and \
             one at a time is tried. The last fault: {fault}",
            limits::QUARANTINE_STRIKES
        );
        self.trail.quarantine(EventKind::Quarantined, lane, detail);
        Box::new(self.metrics.plugin(plugin).quarantined())
    }

    fn released(&self, lane: &Lane, plugin: &PluginName, why: &str) {
        tracing::info!(
            tenant = %lane.tenant, channel = %lane.channel, plugin = %plugin,
            "its quarantine is over: {why}"
        );
        let detail = format!("channel \"{}\" (plugin {plugin}): {why}", lane.channel);
        self.trail.quarantine(EventKind::Released, lane, detail);
    }

    fn connection_stopped(
        &self,
        lane: &Lane,
        plugin: &PluginName,
        problem: &Problem,
    ) -> Box<dyn Send> {
        let Problem { code, detail } = problem;
        tracing::error!(
            tenant = %lane.tenant, channel = %lane.channel, plugin = %plugin, code,
            "connection stopped: it is misconfigured, and not opened again before the channel's \
             configuration, a secret or the plugin changes: {detail}"
        );
        let event = format!("connection stopped: configuration {}: {code}", lane.channel);
        self.trail.connection(lane, event);
        Box::new(self.metrics.plugin(plugin).breaker_opened(BreakerWord::Configuration))
    }

    fn connection_released(&self, lane: &Lane, plugin: &PluginName, why: &str) {
        tracing::info!(
            tenant = %lane.tenant, channel = %lane.channel, plugin = %plugin,
            "connection released: {why}"
        );
        let event = format!("connection released: configuration {}", lane.channel);
        self.trail.connection(lane, event);
    }

    fn refused(&self, plugin: &PluginName, what: Refusal) {
        let word = match what {
            Refusal::State => RefusalWord::State,
            Refusal::SecretUnknown => RefusalWord::SecretUnknown,
            Refusal::SecretDenied => RefusalWord::SecretDenied,
            Refusal::HeldBytes => RefusalWord::HeldBytes,
        };
        self.metrics.plugin(plugin).refused(word);
    }

    fn fetched(&self, plugin: &PluginName, answer: Result<u16, &FetchError>) {
        let outcome = match answer {
            Ok(500..) => EgressOutcome::ServerError,
            Ok(400..) => EgressOutcome::ClientError,
            Ok(_) => EgressOutcome::Ok,
            Err(FetchError::Denied(_) | FetchError::SecretDenied(_)) => EgressOutcome::Denied,
            Err(FetchError::Unreachable(_)) => EgressOutcome::Connect,
            Err(FetchError::NoAnswer(_)) => EgressOutcome::Timeout,
            Err(FetchError::TooLarge(_)) => EgressOutcome::TooLarge,
            Err(FetchError::Invalid(_)) => EgressOutcome::Failed,
        };
        self.metrics.egress(plugin, outcome);
    }

    fn denied(&self, lane: &Lane, plugin: &PluginName, denial: &Denial) {
        self.metrics.plugin(plugin).egress_denied(denial.reason, denial.enforced);
        self.security.denied(lane, plugin, denial);
    }

    fn revealed(&self, lane: &Lane, plugin: &PluginName, secret: &str, granted: bool) {
        self.security.revealed(lane, plugin, secret, granted);
    }

    fn proven(&self, plugin: &LoadedPlugin) {
        self.trial(Trial::Passed(plugin.name().clone(), plugin.digest()));
    }

    fn probation_failed(&self, plugin: &LoadedPlugin, fault: &Fault) {
        self.trial(Trial::Failed {
            plugin: plugin.name().clone(),
            digest: plugin.digest(),
            why: fault.to_string(),
        });
    }
}

impl dispatch::Observer for Observers {
    fn begun(&self, plugin: &PluginName) -> Box<dyn Send> {
        Box::new(self.metrics.attempt(plugin))
    }

    fn attempt(&self, plugin: &PluginName, outcome: &'static str, took: Option<Duration>) {
        self.metrics.delivery(plugin, outcome, took);
    }

    fn lanes(&self, count: usize) {
        self.metrics.lanes(count);
    }

    fn breaker_opened(&self, plugin: &PluginName, scope: BreakerScope) -> Box<dyn Send> {
        let word = match scope {
            BreakerScope::Destination => BreakerWord::Destination,
            BreakerScope::Credential => BreakerWord::Credential,
            BreakerScope::Configuration => BreakerWord::Configuration,
            BreakerScope::Provider => BreakerWord::Provider,
        };
        Box::new(self.metrics.plugin(plugin).breaker_opened(word))
    }

    fn throttled(&self, plugin: &PluginName, scope: ThrottleScope) {
        let word = match scope {
            ThrottleScope::Channel => ThrottleWord::Channel,
            ThrottleScope::Destination => ThrottleWord::Destination,
        };
        self.metrics.plugin(plugin).throttled(word);
    }

    fn wanted(&self, plugin: &PluginName) {
        // Full: the lane looks again after its pause, and asks again.
        drop(self.triggers.try_send(Trigger::Wanted(plugin.clone())));
    }
}

impl reload::Observer for Observers {
    fn reloaded(&self, report: &Report, generation: &Generation) {
        let (outcome, errors) = match &report.outcome {
            Outcome::Unchanged => (ReloadOutcome::Unchanged, Vec::new()),
            Outcome::Applied { .. } => (ReloadOutcome::Applied, Vec::new()),
            Outcome::Rejected { errors } => (ReloadOutcome::Rejected, errors.clone()),
            Outcome::RolledBack { plugin, why } => {
                (ReloadOutcome::RolledBack, vec![format!("plugin \"{plugin}\": {why}")])
            }
        };
        self.metrics.reload(outcome);
        self.trail.reloaded(&report.outcome);
        self.published(generation);
        if matches!(report.outcome, Outcome::Applied { .. }) {
            self.unenforced(generation);
        }
        self.health.reloaded(ReloadReport { outcome, at: report.at, errors });
        if let Some(dispatching) = self.dispatching.get() {
            dispatching.nudge();
        }
    }
}
