//! What the host reaches, each figure beside a baseline that is measured in the same run.
//!
//! `./just bench` runs all of them, `./just bench routing swap` some, `--json` prints one JSON
//! object a line. Timings depend on the machine and on what else it does: the ratios are what
//! counts, and no test asserts any of this.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a program that measures and prints; it has no tasks to track and no clock to fake"
)]

mod accepts;
mod fairness;
mod figures;
mod guards;
mod host;
mod hostile;
mod in_flight;
mod latency;
mod load;
mod routing;
mod rows;
mod start;
mod swap;
mod tenants;

use std::process::ExitCode;

use anyhow::Result;
// Under this name, because a benchmark takes in files of the host.
use conductor::limits;

use figures::Report;

/// The host's allocator, for the baselines too: it is not what is compared.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Benchmark = fn(&mut Report) -> Result<()>;

const BENCHMARKS: &[(&str, Benchmark)] = &[
    ("routing", routing::run),
    ("accepts", accepts::run),
    ("latency", latency::run),
    ("fairness", fairness::run),
    ("rows", rows::run),
    ("in-flight", in_flight::run),
    ("start", start::run),
    ("tenants", tenants::run),
    ("swap", swap::run),
    ("hostile", hostile::run),
    ("guards", guards::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, address] = arguments.as_slice()
        && flag == routing::BARE_FLAG
    {
        return exit(routing::serve_bare(address));
    }
    // cargo adds `--bench`.
    let names: Vec<&str> = arguments
        .iter()
        .map(String::as_str)
        .filter(|argument| !argument.starts_with("--"))
        .collect();
    let known = |name: &&str| BENCHMARKS.iter().any(|(known, _)| known == name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<&str> = BENCHMARKS.iter().map(|(name, _)| *name).collect();
        eprintln!("there is no benchmark \"{unknown}\"; there are {}", all.join(", "));
        return ExitCode::from(64);
    }
    exit(run(&names, arguments.iter().any(|argument| argument == "--json")))
}

fn run(names: &[&str], json: bool) -> Result<()> {
    let mut report = Report::new(json);
    for (name, benchmark) in BENCHMARKS {
        if names.is_empty() || names.contains(name) {
            if !json {
                println!("{name}");
            }
            benchmark(&mut report)?;
        }
    }
    report.summary();
    Ok(())
}

fn exit(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
