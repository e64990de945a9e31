//! What people see of the running host: metrics, health, logs.

pub mod health;
pub mod metrics;
mod plugin_metrics;
mod words;

pub use health::{
    BindingReport, BreakerReport, BreakersReport, HealthBoard, QuarantineReport, ReloadReport,
    TaskFailure,
};
pub use metrics::{Metrics, ReloadOutcome, Route};
pub use plugin_metrics::{
    AttemptGuard, BreakerGuard, BreakerWord, EgressOutcome, Fault, PluginMetrics, QuarantineGuard,
    ThrottleWord,
};
