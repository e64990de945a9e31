//! `conductor audit`: the trail of events as JSON lines.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{ConfigDir, console, exit};
use crate::store::{EventLine, sqlite::Audit};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigDir,
    /// Where the queue is kept [default: `data` in the config folder]
    #[arg(long, value_name = "DIR", env = "CONDUCTOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Checks the chain of hashes as well, and ends with 1 at the first event that does not fit
    #[arg(long)]
    verify: bool,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Why it ended before the end.
enum Stop {
    /// Whoever read the lines has gone, as `head` does.
    NobodyReads,
    Because(String),
}

pub(super) fn run(options: Options) -> u8 {
    let data_dir = options.data_dir.unwrap_or_else(|| options.config.config_dir.join("data"));
    match export(&data_dir.join("queue.db"), options.verify) {
        Ok(audit) => {
            if options.verify {
                let (count, hash) = audit.verified();
                let last = hash.map_or_else(|| String::from("none"), |hash| hex(&hash));
                console::complain(&format!("the chain holds: {count} event(s), last hash {last}"));
            }
            exit::OK
        }
        Err(Stop::NobodyReads) => exit::OK,
        Err(Stop::Because(why)) => {
            console::complain(&format!("error: {why}"));
            exit::FAILURE
        }
    }
}

fn export(queue: &std::path::Path, verify: bool) -> Result<Audit, Stop> {
    let because = |error: &dyn std::fmt::Display| Stop::Because(error.to_string());
    let written = |result: io::Result<()>| {
        result.map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => Stop::NobodyReads,
            _ => Stop::Because(format!("standard output: {error}")),
        })
    };
    let mut audit = Audit::open(queue).map_err(|error| because(&error))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    loop {
        let events = match audit.next(verify) {
            Ok(events) => events,
            Err(error) => {
                written(out.flush())?;
                return Err(because(&error));
            }
        };
        if events.is_empty() {
            written(out.flush())?;
            return Ok(audit);
        }
        for event in &events {
            let line =
                serde_json::to_string(&EventLine::from(event)).map_err(|error| because(&error))?;
            written(writeln!(out, "{line}"))?;
        }
    }
}
