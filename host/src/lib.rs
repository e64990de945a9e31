//! Conductor: a notification host with a durable queue, hot reload and sandboxed channels.
//!
//! docs/ARCHITECTURE.md is the map.

pub mod api;
pub mod app;
mod bounded;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dispatch;
pub mod egress;
pub mod envelope;
pub mod generation;
pub mod ids;
pub mod limits;
pub mod observe;
pub mod outcomes;
pub mod plugin_files;
pub mod reload;
pub mod retention;
pub mod sandbox;
pub mod secrets;
pub mod source;
pub mod stopping;
pub mod store;
pub mod tasks;
