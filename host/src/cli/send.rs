//! `conductor send`: posts a notification to a running host, with the key from `.env`.

use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::{ConfigDir, console, exit};
use crate::config::{self, Environment};

/// The host answers within its own waiting time; this is only for one that is gone.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    config: ConfigDir,
    /// The tenant's channel
    #[arg(long)]
    channel: String,
    /// The text
    #[arg(long)]
    message: String,
    /// A title
    #[arg(long)]
    title: Option<String>,
    /// To whom or where
    #[arg(long)]
    target: Option<String>,
    /// low, normal, high or urgent
    #[arg(long)]
    priority: Option<String>,
    /// The host [default: CONDUCTOR_LISTEN, or 127.0.0.1:3333]
    #[arg(long, env = "CONDUCTOR_URL")]
    url: Option<String>,
    /// The slug of the tenant to send as [default: the only one there is]
    #[arg(long, env = "BUSINESS_CONTEXT")]
    tenant: Option<String>,
}

pub(super) fn run(options: Options) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console::complain(&format!("error: the runtime did not start: {error}"));
            return exit::FAILURE;
        }
    };
    match runtime.block_on(send(options)) {
        Ok((delivered, answer)) => {
            console::out(&answer);
            if delivered { exit::OK } else { exit::FAILURE }
        }
        Err((code, why)) => {
            console::complain(&format!("error: {why}"));
            code
        }
    }
}

async fn send(options: Options) -> Result<(bool, String), (u8, String)> {
    let dir = &options.config.config_dir;
    let environment = Environment::of_process(Some(&dir.join(config::DOTENV_FILE)))
        .map_err(|problem| (exit::CONFIG, problem.to_string()))?;
    let key = key(&options, &environment).map_err(|why| (exit::CONFIG, why))?;
    let url = match &options.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            format!("http://{}", environment.get("CONDUCTOR_LISTEN").unwrap_or("127.0.0.1:3333"))
        }
    };
    let mut body = Map::new();
    body.insert(String::from("channel"), json!(options.channel));
    body.insert(String::from("message"), json!(options.message));
    for (name, value) in
        [("title", options.title), ("targetId", options.target), ("priority", options.priority)]
    {
        if let Some(value) = value {
            body.insert(String::from(name), Value::String(value));
        }
    }
    // Only the first call in a process decides; all of them would say the same.
    let _first = rustls::crypto::ring::default_provider().install_default();
    let failed = |error: reqwest::Error| {
        (exit::FAILURE, format!("no answer from {url}: {error}; is the host running?"))
    };
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(failed)?;
    let mut response = client
        .post(format!("{url}/notifications"))
        .bearer_auth(key)
        .header("content-type", "application/json")
        .body(Value::Object(body).to_string())
        .send()
        .await
        .map_err(failed)?;
    let delivered = response.status().is_success();
    let mut answer = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        answer.extend_from_slice(&chunk);
        if answer.len() > ANSWER_BYTES_MAX {
            return Err((exit::FAILURE, String::from("the answer is too long for a host's")));
        }
    }
    let text = serde_json::from_slice::<Value>(&answer)
        .map_or_else(|_| String::from_utf8_lossy(&answer).into_owned(), |json| format!("{json:#}"));
    Ok((delivered, text))
}

/// The key of the tenant that was asked for, from the variables that tenants.toml names.
fn key(options: &Options, environment: &Environment) -> Result<String, String> {
    let loaded = config::load(&options.config.config_dir, environment);
    let mut tenants = loaded
        .config
        .tenants
        .values()
        .filter(|tenant| options.tenant.as_deref().is_none_or(|slug| *tenant.slug == *slug));
    let tenant = match (tenants.next(), tenants.next()) {
        (Some(tenant), None) => tenant,
        (Some(_), Some(_)) => {
            return Err(String::from(
                "there is more than one tenant: say which with --tenant SLUG",
            ));
        }
        (None, _) => {
            let problems: Vec<_> = loaded.problems.iter().map(ToString::to_string).collect();
            return Err(format!("no such tenant in tenants.toml\n{}", problems.join("\n")));
        }
    };
    tenant
        .key_envs
        .iter()
        .find_map(|name| environment.get(name))
        .map(str::to_owned)
        .ok_or_else(|| format!("none of {:?} is set", tenant.key_envs))
}
