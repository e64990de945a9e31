//! Typed bindings, one module for each published version of the WIT package.

pub(super) mod v0_1_0;
pub(super) mod v0_1_0_async;

/// What this host can run, for messages and for the check before compiling.
pub const SUPPORTED_VERSIONS: &[&str] = &["0.1.0"];
