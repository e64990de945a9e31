//! What the host knows about its own state, beyond what the generation and the store say: the last
//! reload and the tasks that ended although they should not.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::ReloadOutcome;
use crate::{
    clock::UnixMs,
    ids::{ChannelName, PluginName, TenantId},
    limits::{METRIC_PLUGINS_MAX, NOT_GRANTED_ORIGINS_MAX, SECURITY_ALARMS_MAX, TASK_FAILURES_MAX},
};

/// How one tenant's channel is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingReport {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which channel.
    pub channel: ChannelName,
    /// Its plugin.
    pub plugin: PluginName,
    /// "idle", "running", "degraded", "unhealthy", "misconfigured", "backoff" or "quarantined".
    pub state: &'static str,
    /// Why, for people. No secret.
    pub detail: Option<String>,
    /// What a connected plugin says of its connection, for people. No secret.
    pub connection: Option<String>,
    /// Faults by different messages that count against it now.
    pub strikes: usize,
    /// Its quarantine, if it is in one.
    pub quarantine: Option<QuarantineReport>,
    /// What it has used.
    pub resources: ResourcesReport,
    /// Live instances.
    pub instances: usize,
    /// Calls that are running.
    pub in_flight: usize,
}

/// What a channel has used since its first message, or since its configuration or plugin changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ResourcesReport {
    /// Calls of its plugin.
    pub calls: u64,
    /// CPU time of its instances.
    pub cpu: Duration,
    /// The most memory that one instance has had.
    pub memory_bytes_peak: u64,
    /// Calls of what the host offers to plugins.
    pub host_calls: u64,
    /// Headers and bodies that it sent.
    pub bytes_out: u64,
    /// Headers and bodies that it got.
    pub bytes_in: u64,
    /// What it logged.
    pub log_bytes: u64,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
}

/// What all guests have now, and what they may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GuestsReport {
    /// Live instances.
    pub instances: usize,
    /// As many as there may be.
    pub instances_max: usize,
    /// Their memory.
    pub memory_bytes: usize,
    /// As much as they may have.
    pub memory_bytes_max: usize,
}

/// A channel's quarantine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct QuarantineReport {
    /// For how long it has lasted.
    pub held_for: Duration,
    /// When the next message is let through to try; zero: as soon as there is one.
    pub opens_in: Duration,
    /// How many such messages have failed.
    pub failed_probes: u32,
}

impl BindingReport {
    /// Whether it does what it should.
    #[must_use]
    pub fn is_well(&self) -> bool {
        matches!(self.state, "idle" | "running")
    }
}

/// The breakers that are not closed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BreakersReport {
    /// How many, by what they are about: "destination", "credential", "configuration", "provider".
    pub counts: Vec<(&'static str, usize)>,
    /// Some of them.
    pub shown: Vec<BreakerReport>,
}

/// One of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakerReport {
    /// What it is about.
    pub scope: &'static str,
    /// The plugin.
    pub plugin: PluginName,
    /// The channel; none for a provider.
    pub channel: Option<(TenantId, ChannelName)>,
    /// The target, or the provider's host.
    pub target: Option<String>,
    /// "open" or "half-open".
    pub state: &'static str,
    /// Since when it is not closed.
    pub since: UnixMs,
    /// When one message is let through to try.
    pub until: UnixMs,
    /// The code of the last failure.
    pub code: String,
    /// What it said. No secret.
    pub detail: String,
}

impl BreakersReport {
    /// Whether only single targets or waiting times are concerned, as is everyday business.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let broken = |scope: &str| matches!(scope, "configuration" | "provider");
        !self.counts.iter().any(|(scope, count)| *count > 0 && broken(scope))
    }
}

/// How a reload went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReloadReport {
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// When.
    pub at: UnixMs,
    /// What was wrong; for the operator only, since it names tenants.
    pub errors: Vec<String>,
}

/// A background task that ended although it should not have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskFailure {
    /// Its name.
    pub name: String,
    /// When.
    pub at: UnixMs,
    /// Why ("panicked: …").
    pub why: String,
}

/// A plugin did what an honest one does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecurityAlarm {
    /// When.
    pub at: UnixMs,
    /// Whose channel.
    pub tenant: TenantId,
    /// Which channel.
    pub channel: ChannelName,
    /// Its plugin.
    pub plugin: PluginName,
    /// "secret-denied" or "reveal-denied".
    pub what: &'static str,
    /// What it did. No secret.
    pub detail: String,
}

/// Where the parts of the host leave word about themselves.
#[derive(Default, Debug)]
pub struct HealthBoard(Mutex<Board>);

/// Everything on the board.
#[derive(Clone, Default, Debug)]
pub struct Board {
    /// The last reload that had anything to do, or that failed.
    pub last_reload: Option<ReloadReport>,
    /// Tasks that ended, oldest first; a bounded number.
    pub task_failures: VecDeque<TaskFailure>,
    /// Security alarms, oldest first; a bounded number.
    pub security_alarms: VecDeque<SecurityAlarm>,
    /// Origins that plugins asked for and that were not granted then; a bounded number of each.
    pub not_granted: BTreeMap<PluginName, BTreeSet<String>>,
}

impl HealthBoard {
    /// Notes how a reload went.
    pub fn reloaded(&self, report: ReloadReport) {
        self.lock().last_reload = Some(report);
    }

    /// Notes that a task ended.
    pub fn task_failed(&self, failure: TaskFailure) {
        let mut board = self.lock();
        if board.task_failures.len() >= TASK_FAILURES_MAX {
            board.task_failures.pop_front();
        }
        board.task_failures.push_back(failure);
    }

    /// Notes an alarm.
    pub fn security_alarm(&self, alarm: SecurityAlarm) {
        let mut board = self.lock();
        if board.security_alarms.len() >= SECURITY_ALARMS_MAX {
            board.security_alarms.pop_front();
        }
        board.security_alarms.push_back(alarm);
    }

    /// Notes that a plugin asked for an origin that is not granted.
    pub fn not_granted(&self, plugin: &PluginName, origin: &str) {
        let mut board = self.lock();
        if !board.not_granted.contains_key(plugin) && board.not_granted.len() >= METRIC_PLUGINS_MAX
        {
            return;
        }
        let origins = board.not_granted.entry(plugin.clone()).or_default();
        if origins.len() < NOT_GRANTED_ORIGINS_MAX && !origins.contains(origin) {
            origins.insert(origin.to_owned());
        }
    }

    /// What is on the board now.
    #[must_use]
    pub fn read(&self) -> Board {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Board> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_board_keeps_the_newest_failures() {
        let board = HealthBoard::default();
        for number in 0..TASK_FAILURES_MAX + 3 {
            board.task_failed(TaskFailure {
                name: number.to_string(),
                at: UnixMs(0),
                why: String::new(),
            });
        }
        let failures = board.read().task_failures;
        assert_eq!(failures.len(), TASK_FAILURES_MAX);
        assert_eq!(failures[0].name, "3");
    }
}
