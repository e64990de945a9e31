//! What can come of calling a plugin, in the host's own types, whatever WIT version it speaks.

use std::{fmt, time::Duration};

use crate::limits;

/// What went wrong, by a plugin's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// A stable word.
    pub code: String,
    /// A sentence.
    pub detail: String,
}

/// Everything in this scope waits together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "documented in wit/channel-0.1.0/types.wit")]
pub enum RetryScope {
    Message,
    Destination,
    Credential,
    Provider,
}

/// What came of one `send`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The provider has it.
    Delivered {
        /// The provider will report the end later.
        accepted_only: bool,
        /// Its id there.
        provider_id: Option<String>,
        /// More to keep.
        details: Vec<(String, String)>,
    },
    /// The provider refuses this message for good.
    Rejected(Problem),
    /// Nothing can be sent before the configuration changes.
    Misconfigured(Problem),
    /// Not delivered; may work later.
    Retry {
        /// Why.
        problem: Problem,
        /// Not before.
        after: Option<Duration>,
        /// What waits with it.
        scope: RetryScope,
    },
    /// Perhaps delivered.
    Unknown(Problem),
    /// Elsewhere now.
    Moved {
        /// Why.
        problem: Problem,
        /// Where.
        target: String,
    },
    /// The plugin did not answer properly: it was stopped and its instance is gone.
    Fault(Fault),
}

impl Outcome {
    /// The same with every text replaced.
    pub(super) fn map_texts(self, map: impl Fn(&str) -> String) -> Self {
        let problem =
            |problem: Problem| Problem { code: map(&problem.code), detail: map(&problem.detail) };
        match self {
            Self::Delivered { accepted_only, provider_id, details } => Self::Delivered {
                accepted_only,
                provider_id: provider_id.map(|id| map(&id)),
                details: details
                    .into_iter()
                    .take(limits::RECEIPT_DETAILS_MAX)
                    .map(|(name, value)| (map(&name), map(&value)))
                    .collect(),
            },
            Self::Rejected(why) => Self::Rejected(problem(why)),
            Self::Misconfigured(why) => Self::Misconfigured(problem(why)),
            Self::Unknown(why) => Self::Unknown(problem(why)),
            Self::Moved { problem: why, target } => {
                Self::Moved { problem: problem(why), target: map(&target) }
            }
            Self::Retry { problem: why, after, scope } => {
                Self::Retry { problem: problem(why), after, scope }
            }
            Self::Fault(fault) => {
                Self::Fault(Fault { kind: fault.kind, detail: map(&fault.detail) })
            }
        }
    }
}

/// How a plugin failed the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// A sentence.
    pub detail: String,
}

/// Kinds of [`Fault`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum FaultKind {
    /// It trapped (panicked, divided by zero, called what is not there).
    Trap,
    /// It took longer than its wall time.
    Timeout,
    /// It computed longer than its CPU time.
    Cpu,
    /// It wanted more memory than it may have.
    Memory,
    /// It recursed too deeply.
    Stack,
    /// It gave the host more than the host takes in one call.
    HostCall,
    /// It could not be started (instantiation failed).
    Start,
    /// Not its fault: all guests together have the memory that they may have.
    HostMemory,
}

impl FaultKind {
    /// The word for logs, metrics and records.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Timeout => "timeout",
            Self::Cpu => "cpu_limit",
            Self::Memory => "memory_limit",
            Self::Stack => "stack_limit",
            Self::HostCall => "host_call_limit",
            Self::Start => "start",
            Self::HostMemory => "host_memory",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.kind.as_str(), self.detail)
    }
}

/// Why a connected plugin holds its connection no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum RunEnd {
    /// There is nothing to hold, and that is as it should be.
    Over,
    /// A new instance may do better.
    Temporary {
        /// Why.
        problem: Problem,
        /// Not before.
        after: Option<Duration>,
    },
    /// Not before the configuration changes.
    Misconfigured(Problem),
}

/// What a plugin says of itself when asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// How it is.
    pub status: HealthStatus,
    /// A sentence.
    pub detail: Option<String>,
}

/// How a channel is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HealthStatus {
    Healthy,
    Degraded,
    Unhealthy,
}
