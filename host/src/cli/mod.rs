//! The commands.

mod audit;
mod backup;
mod check;
mod console;
mod dead_letters;
mod init;
mod json_lines;
mod logging;
mod openapi;
mod quarantine;
mod remote;
mod send;
mod serve;
mod status;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand, builder::FalseyValueParser};

use crate::{limits, sandbox::GuestBounds};

/// Exit codes (sysexits.h where it has one).
pub mod exit {
    /// A clean stop.
    pub const OK: u8 = 0;
    /// A failure while running.
    pub const FAILURE: u8 = 1;
    /// The command line is wrong.
    pub const USAGE: u8 = 64;
    /// The configuration is wrong.
    pub const CONFIG: u8 = 78;
}

#[derive(Parser, Debug)]
#[command(
    name = "conductor",
    version,
    about = "A notification host: durable queue, hot reload, sandboxed channels",
    after_help = "Without a command, `serve` runs. Exit codes: 0 clean stop, 1 failure while \
                  running, 64 usage, 78 configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The same options as `serve`'s, for when no command is given.
    #[command(flatten)]
    serve: ServeOptions,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs the host (the default command)
    Serve(ServeOptions),
    /// Writes the three configuration files and a key, and prints what it made
    Init(init::Options),
    /// Checks everything, prints every error with its file and line, and what each channel may do
    Check(check::Options),
    /// Sends one notification through a running host
    Send(send::Options),
    /// Sends again what a running host has given up: one notification, or all dead ones
    Replay(dead_letters::Options),
    /// Removes what a running host has given up: one notification, or all dead ones
    Purge(dead_letters::Options),
    /// Says in a few lines how a running host is
    Status(status::Options),
    /// Lists the channels of a running host that are in quarantine, or ends their quarantine
    Quarantine(quarantine::Options),
    /// Copies the queue to a file; can run beside the host
    Backup(backup::BackupOptions),
    /// Puts a backup where the queue is to be; not beside a running host
    Restore(backup::RestoreOptions),
    /// Prints the trail of events as JSON lines; can run beside the host
    Audit(audit::Options),
    /// Prints the OpenAPI description of the HTTP surface
    Openapi,
}

/// Where the configuration is.
#[derive(Args, Clone, Debug)]
struct ConfigDir {
    /// The folder with plugins.toml, tenants.toml, channels.toml and .env
    #[arg(long, value_name = "DIR", env = "CONDUCTOR_CONFIG_DIR", default_value = ".")]
    config_dir: PathBuf,
}

/// What all plugins may take together.
#[derive(Args, Clone, Copy, Debug)]
struct GuestOptions {
    /// Memory of all plugins together, in MiB [default: three quarters of what the machine or its
    /// control group has]
    #[arg(long, value_name = "MIB", env = "CONDUCTOR_GUEST_MEMORY_MIB",
          value_parser = clap::value_parser!(u64)
              .range(limits::GUEST_MEMORY_MIB_MIN..=limits::GUEST_MEMORY_MIB_MAX))]
    guest_memory_mib: Option<u64>,
    /// Instances of all plugins together
    #[arg(long, value_name = "COUNT", env = "CONDUCTOR_INSTANCES_MAX",
          default_value_t = limits::INSTANCES_MAX as u64,
          value_parser = clap::value_parser!(u64).range(1..=limits::INSTANCES_MAX as u64))]
    instances_max: u64,
    /// An instance without a message for so many seconds is closed
    #[arg(long, value_name = "SECONDS", env = "CONDUCTOR_INSTANCE_IDLE_SECONDS",
          default_value_t = limits::INSTANCE_IDLE_MAX.as_secs(),
          value_parser = clap::value_parser!(u64).range(1..=limits::INSTANCE_IDLE_SECONDS_MAX))]
    instance_idle_seconds: u64,
}

impl GuestOptions {
    fn bounds(self) -> GuestBounds {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let defaults = GuestBounds::default();
        GuestBounds {
            instances_max: size(self.instances_max),
            memory_bytes_max: self
                .guest_memory_mib
                .map_or(defaults.memory_bytes_max, |mib| size(mib.saturating_mul(1024 * 1024))),
            idle_max: Duration::from_secs(self.instance_idle_seconds),
        }
    }
}

/// Options of `serve`.
#[derive(Args, Clone, Debug)]
struct ServeOptions {
    #[command(flatten)]
    config: ConfigDir,
    /// Where the queue and the compiled plugins are kept [default: `data` in the config folder]
    #[arg(long, value_name = "DIR", env = "CONDUCTOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:3333, or 0.0.0.0:$PORT if PORT is set]
    #[arg(long, value_name = "ADDR", env = "CONDUCTOR_LISTEN")]
    listen: Option<String>,
    /// When the port is taken, take the next free one
    #[arg(long, env = "CONDUCTOR_AUTO_PORT", value_parser = FalseyValueParser::new())]
    auto_port: bool,
    /// Start with what is valid, and report the rest in the log and in /health
    #[arg(long, env = "CONDUCTOR_DEGRADED", value_parser = FalseyValueParser::new())]
    degraded: bool,
    /// Where notifications are queued
    #[arg(long, value_enum, env = "CONDUCTOR_STORE", default_value = "sqlite")]
    store: StoreKind,
    /// For how many days a notification is kept after its end
    #[arg(long, value_name = "DAYS", env = "CONDUCTOR_RETENTION_DAYS",
          default_value_t = limits::RETENTION_DAYS_DEFAULT,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::RETENTION_DAYS_MAX)))]
    retention_days: u16,
    /// For how many days an event is kept
    #[arg(long, value_name = "DAYS", env = "CONDUCTOR_AUDIT_RETENTION_DAYS",
          default_value_t = limits::AUDIT_RETENTION_DAYS_DEFAULT,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(limits::RETENTION_DAYS_MAX)))]
    audit_retention_days: u16,
    /// A PEM file with root certificates to trust for outbound TLS, besides the system's
    #[arg(long, value_name = "FILE", env = "CONDUCTOR_EXTRA_CA_FILE")]
    extra_ca_file: Option<PathBuf>,
    #[command(flatten)]
    guests: GuestOptions,
}

/// The engines of the queue.
#[derive(clap::ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum StoreKind {
    /// Durable, in the data folder.
    Sqlite,
    /// In memory: everything is lost when the process ends. For trials and measurements.
    Memory,
}

/// Reads the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            // There is nowhere left to report a failure of this print.
            let _printed = error.print();
            return ExitCode::from(code);
        }
    };
    let code = match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(options)) => serve::run(options),
        Some(Command::Init(options)) => init::run(&options),
        Some(Command::Check(options)) => check::run(options),
        Some(Command::Send(options)) => send::run(options),
        Some(Command::Replay(options)) => dead_letters::run(options, dead_letters::Action::Replay),
        Some(Command::Purge(options)) => dead_letters::run(options, dead_letters::Action::Purge),
        Some(Command::Status(options)) => status::run(options),
        Some(Command::Quarantine(options)) => quarantine::run(options),
        Some(Command::Backup(options)) => backup::run_backup(options),
        Some(Command::Restore(options)) => backup::run_restore(options),
        Some(Command::Audit(options)) => audit::run(options),
        Some(Command::Openapi) => openapi::run(),
    };
    ExitCode::from(code)
}
