//! What people see of the running host: metrics, health, logs.

mod denials;
pub mod health;
pub mod metrics;
mod plugin_metrics;
mod words;

pub use health::{
    BindingReport, BreakerReport, BreakersReport, HealthBoard, QuarantineReport, ReloadReport,
    SecurityAlarm, TaskFailure,
};
pub use metrics::{Metrics, ReloadOutcome, Route};
pub use plugin_metrics::{
    AttemptGuard, BreakerGuard, BreakerWord, EgressOutcome, Fault, PluginMetrics, QuarantineGuard,
    ThrottleWord,
};
