//! What people see of the running host: metrics, health, logs.

mod denials;
mod guest_metrics;
pub mod health;
pub mod metrics;
mod plugin_metrics;
mod words;

pub use guest_metrics::Used;
pub use health::{
    BindingReport, BreakerReport, BreakersReport, GuestsReport, HealthBoard, QuarantineReport,
    ReloadReport, ResourcesReport, SecurityAlarm, TaskFailure,
};
pub use metrics::{Metrics, RefusedWord, ReloadOutcome, Route};
pub use plugin_metrics::{
    AttemptGuard, BreakerGuard, BreakerWord, EgressOutcome, Fault, PluginMetrics, QuarantineGuard,
    Refusal, ThrottleWord,
};
