//! What reads bytes that others wrote, as functions of one input: each panics when a promise is
//! broken, and says whether the input was a good one, so that a search can be seen to get anywhere.
//! `fuzz_targets/` hands them to libFuzzer; the host's test suite runs them over the seeds and
//! mutations of these (`tests/fuzz.rs`, and `plugins/sdk/tests/retry_after.rs` for what is the
//! SDK's), so that they cannot rot.

pub mod component;
pub mod config;
pub mod grants;
pub mod notification;
pub mod placeholders;
pub mod retry_after;
