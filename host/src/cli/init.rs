//! `conductor init`

use clap::Args;

use super::{ConfigDir, console, exit};
use crate::config::{self, InitError, InitOptions, Made};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigDir,
    /// What the tenant is called
    #[arg(long, value_name = "NAME", default_value = "Default Tenant")]
    tenant_name: String,
}

pub(super) fn run(options: &Options) -> u8 {
    let init = InitOptions { tenant_name: options.tenant_name.clone() };
    match config::init(&options.config.config_dir, &init) {
        Ok(made) => {
            tell(&made, "127.0.0.1:3333");
            console::out("Start the host with `conductor serve`.");
            exit::OK
        }
        Err(error @ InitError::AlreadyThere(_)) => {
            console::complain(&error.to_string());
            exit::OK
        }
        Err(error) => {
            console::complain(&format!("error: {error}"));
            exit::CONFIG
        }
    }
}

/// Says what was made: the one time that a key is shown.
pub(super) fn tell(made: &Made, address: &str) {
    for file in &made.files {
        console::out(&format!("wrote {}", file.display()));
    }
    if let Some(file) = &made.gitignore {
        console::out(&format!("added .env to {}", file.display()));
    }
    if let Some(tenant) = &made.tenant {
        tell_key(tenant, &made.dotenv, address);
    }
}

/// Shows a new key, and a line to try it with.
pub(super) fn tell_key(key: &config::MadeKey, dotenv: &std::path::Path, address: &str) {
    let value = key.key.expose();
    console::out(&format!(
        "\nTenant  {name} ({id})\nKey     {value}\n        saved in {dotenv} as {variable}; it is \
         not shown again\n\nTry it:\n  curl -s http://{address}/notifications \\\n    -H \
         'Authorization: Bearer {value}' \\\n    -H 'Content-Type: application/json' \\\n    -d \
         '{{\"channel\":\"log\",\"message\":\"Hello\"}}'\n",
        name = key.tenant_name,
        id = key.tenant_id,
        dotenv = dotenv.display(),
        variable = key.variable,
    ));
}
