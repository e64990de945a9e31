//! The proof of what docs/RELIABILITY.md promises: the real binary under crashes, faults, full disks,
//! power cuts and providers that misbehave.
//!
//! Each test is short by default, so that every change runs it. `CONDUCTOR_PROVE_ROUNDS` makes those
//! that repeat something longer; `./just prove` sets it. What is left to chance comes from a seed
//! that is printed; `CONDUCTOR_PROVE_SEED` repeats a run as far as the machine's own timing allows.
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

mod backup;
mod chaos;
mod clock;
mod faults;
mod full;
mod kill;
#[path = "../kit/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "shared with the suite beside it, which uses all of it"
)]
mod kit;
mod parallel;
mod power;
mod purge;
mod settings;
