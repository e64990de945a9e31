//! `conductor serve`

use std::{path::Path, time::Duration};

use super::{ServeOptions, StoreKind, console, exit, init, logging};
use crate::{
    app::{self, Error, Listen},
    config::{self, Environment, InitOptions},
    retention::Retention,
};

const DEFAULT_ADDRESS: &str = "127.0.0.1:3333";

pub(super) fn run(options: ServeOptions) -> u8 {
    logging::start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime did not start: {error}"), exit::FAILURE),
    };
    let (options, made) = match prepare(options) {
        Ok(prepared) => prepared,
        Err(why) => return fail(&why, exit::CONFIG),
    };
    let asked = options.listen.address.clone();
    let mut made = Some(made);
    let result = runtime.block_on(app::run(options, |address| {
        tell(made.take(), &address.to_string());
    }));
    // It did not come so far, and what it made is there all the same.
    tell(made, &asked);
    // Threads that a guest or a lookup still holds must not keep the process alive.
    runtime.shutdown_background();
    match result {
        Ok(()) => exit::OK,
        Err(Error::Config(problems)) => {
            for problem in &problems {
                console::complain(&format!("error: {problem}"));
            }
            let count = problems.len();
            fail(
                &format!(
                    "{count} error(s) in the configuration; mend them, or start with what is valid \
                     with --degraded"
                ),
                exit::CONFIG,
            )
        }
        Err(error @ Error::Listen(_)) => fail(&error.to_string(), exit::CONFIG),
        Err(error) => fail(&error.to_string(), exit::FAILURE),
    }
}

fn fail(why: &str, code: u8) -> u8 {
    console::complain(&format!("error: {why}"));
    code
}

/// What a start has made, to be shown when the address is known that it listens on.
enum FirstRun {
    Everything(config::Made),
    Keys(config::MadeKeys),
}

fn tell(made: Option<FirstRun>, address: &str) {
    match made {
        Some(FirstRun::Everything(made)) => init::tell(&made, address),
        Some(FirstRun::Keys(made)) => {
            for key in &made.tenants {
                init::tell_key(key, &made.dotenv, address);
            }
        }
        None => {}
    }
}

/// First run, keys, and the options that depend on `.env`.
fn prepare(options: ServeOptions) -> Result<(app::Options, FirstRun), String> {
    let dir = options.config.config_dir;
    std::fs::create_dir_all(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let dir = std::path::absolute(&dir).map_err(|error| format!("{}: {error}", dir.display()))?;
    let read = || {
        Environment::of_process(Some(&dir.join(config::DOTENV_FILE)))
            .map_err(|problem| problem.to_string())
    };
    let environment = read()?;
    let address = options
        .listen
        .or_else(|| environment.get("CONDUCTOR_LISTEN").map(str::to_owned))
        // Platforms that set PORT reach the program from outside.
        .or_else(|| environment.get("PORT").map(|port| format!("0.0.0.0:{port}")))
        .unwrap_or_else(|| String::from(DEFAULT_ADDRESS));
    let made = first_run(&dir)?;
    let data_dir = match options.data_dir {
        Some(data_dir) => data_dir,
        None => read()?
            .get("CONDUCTOR_DATA_DIR")
            .map_or_else(|| dir.join("data"), |data| dir.join(data)),
    };
    let extra_roots_pem = match &options.extra_ca_file {
        Some(path) => {
            std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?
        }
        None => Vec::new(),
    };
    let options = app::Options {
        config_dir: dir,
        data_dir,
        listen: Listen { address, auto_port: options.auto_port },
        degraded: options.degraded,
        in_memory: options.store == StoreKind::Memory,
        extra_roots_pem,
        retention: Retention {
            notifications: Duration::from_hours(24 * u64::from(options.retention_days)),
            events: Duration::from_hours(24 * u64::from(options.audit_retention_days)),
        },
        guests: options.guests.bounds(),
    };
    Ok((options, made))
}

/// Makes what is missing: all files in an empty folder, a key where the files leave it to us.
fn first_run(dir: &Path) -> Result<FirstRun, String> {
    let there = [config::PLUGINS_FILE, config::TENANTS_FILE, config::CHANNELS_FILE]
        .iter()
        .any(|name| dir.join(name).exists());
    if !there {
        let made = config::init(dir, &InitOptions::default()).map_err(|error| error.to_string())?;
        return Ok(FirstRun::Everything(made));
    }
    let mut environment = Environment::of_process(Some(&dir.join(config::DOTENV_FILE)))
        .map_err(|problem| problem.to_string())?;
    let made = config::ensure_keys(dir, &mut environment).map_err(|error| error.to_string())?;
    if made.tenants.is_empty() {
        tracing::info!("keys are read from the environment and {}", made.dotenv.display());
    }
    Ok(FirstRun::Keys(made))
}
