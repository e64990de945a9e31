//! The program. Everything is in the library; see `cli` for the commands and `app` for the host.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    conductor::cli::run()
}
