//! `conductor check`: everything that `serve` would check before it starts, and what each channel
//! may do.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{ConfigDir, console, exit};
use crate::{
    app::{self, Checked},
    config::Problem,
};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigDir,
    /// Where compiled plugins are kept [default: `data` in the config folder]
    #[arg(long, value_name = "DIR", env = "CONDUCTOR_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

pub(super) fn run(options: Options) -> u8 {
    let dir = options.config.config_dir;
    let dir = std::path::absolute(&dir).unwrap_or(dir);
    let data_dir = options.data_dir.unwrap_or_else(|| dir.join("data"));
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console::complain(&format!("error: the runtime did not start: {error}"));
            return exit::FAILURE;
        }
    };
    match runtime.block_on(app::check(dir, data_dir)) {
        Ok(checked) => {
            print(&checked);
            exit::OK
        }
        Err(app::Error::Config(problems)) => {
            complain(&problems);
            exit::CONFIG
        }
        Err(error) => {
            console::complain(&format!("error: {error}"));
            exit::FAILURE
        }
    }
}

fn complain(problems: &[Problem]) {
    for problem in problems {
        console::complain(&format!("error: {problem}"));
    }
    console::complain(&format!("{} error(s)", problems.len()));
}

fn print(checked: &Checked) {
    let generation = &checked.generation;
    for notice in generation.config.notices.iter().chain(&generation.problems) {
        console::out(&format!("note: {notice}"));
    }
    for (name, plugin) in &generation.plugins {
        console::out(&format!(
            "plugin {name} {} ({}): {}",
            plugin.manifest().version,
            plugin.digest(),
            plugin.manifest().summary
        ));
    }
    for plugin in app::report::unenforced(generation) {
        console::out(&format!(
            "warning: plugin {plugin}: its grants are reported and not enforced (mode = \
             \"report-only\"); it reaches every host that it asks for"
        ));
    }
    for tenant in generation.config.tenants.values() {
        console::out(&format!("tenant {} ({})", tenant.name, tenant.id));
        for channel in tenant.channels.values() {
            console::out(&format!("  channel {} (plugin {})", channel.name, channel.plugin));
            for (name, secret) in &channel.secrets {
                let name = if name.is_empty() { "its secret" } else { name };
                console::out(&format!("    secret {name} from {}", secret.source));
            }
            let hosts = effective_hosts(generation, channel);
            if hosts.is_empty() {
                console::out("    reaches no host");
            }
            for host in hosts {
                console::out(&format!("    {host}"));
            }
        }
    }
    console::out("the configuration is valid");
}

/// What the plugin asks for and what of it is granted.
fn effective_hosts(
    generation: &crate::generation::Generation,
    channel: &Arc<crate::config::Channel>,
) -> Vec<String> {
    let Some(plugin) = generation.plugins.get(&channel.plugin) else { return Vec::new() };
    let Some(config) = generation.config.plugins.get(&channel.plugin) else { return Vec::new() };
    let asks = plugin.manifest().hosts.iter().map(|host| format!("asks for {host}"));
    let grants = config.grants.hosts.iter().map(|host| format!("granted {host}"));
    let reveal = config.grants.reveal.iter().map(|name| format!("may read secret {name}"));
    let addresses =
        config.grants.addresses.iter().map(|range| format!("granted addresses {range}"));
    asks.chain(grants).chain(reveal).chain(addresses).collect()
}
