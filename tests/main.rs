//! The black-box suite: the real binary in a folder of its own, spoken to over HTTP, signals and
//! files, with providers that are doubles on the loopback. See `kit` for the tools.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::large_futures,
    reason = "the rules for the host: a test may panic, and is no part of the host"
)]

mod access;
mod bad_input;
mod breakers;
mod callbacks;
mod channels;
mod concurrent;
mod connected;
mod dead_letters;
mod delivery;
mod egress;
mod email;
mod events;
mod fallback;
mod fanout;
mod fuzz;
mod gateway;
mod guests;
mod hostile;
mod kit;
mod notify;
mod odd_requests;
mod ordering;
mod priority;
mod quarantine;
mod reload;
mod resources;
mod secrets;
mod shutdown;
mod start;
mod store;
mod surface;
mod swap;
mod throttle;
mod tidy;
