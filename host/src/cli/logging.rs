//! The log: lines for people on a terminal, JSON lines for programs everywhere else. RUST_LOG
//! chooses what is logged.

use std::io::{self, IsTerminal as _};

use tracing_subscriber::EnvFilter;

use super::json_lines::JsonLines;

/// Starts logging to standard error.
pub(super) fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr);
    // A second start (in tests of the library) keeps the first.
    let _started = if io::stderr().is_terminal() {
        builder.with_ansi(super::console::is_coloured()).with_target(false).compact().try_init()
    } else {
        builder.event_format(JsonLines).try_init()
    };
}
