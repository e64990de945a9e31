//! `conductor openapi`

use super::{console, exit};

/// Prints the description that docs/openapi.json holds.
pub(super) fn run() -> u8 {
    console::out(crate::api::openapi::openapi_json().trim_end());
    exit::OK
}
