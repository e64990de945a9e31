//! Talking to a running host as a tenant or as its operator, with the key from `.env`.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{ConfigDir, console, exit};
use crate::config::{self, Environment};

/// The host answers within its own waiting time; this is only for one that is gone.
const TIMEOUT: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Which host.
#[derive(Args, Debug)]
pub(super) struct Site {
    #[command(flatten)]
    config: ConfigDir,
    /// The host [default: CONDUCTOR_LISTEN, or 127.0.0.1:3333]
    #[arg(long, env = "CONDUCTOR_URL")]
    url: Option<String>,
}

/// Which host, and as which tenant.
#[derive(Args, Debug)]
pub(super) struct Remote {
    #[command(flatten)]
    site: Site,
    /// The slug of the tenant to act for [default: the only one there is]
    #[arg(long, env = "BUSINESS_CONTEXT")]
    tenant: Option<String>,
}

impl Site {
    fn environment(&self) -> Result<Environment, Failed> {
        Environment::of_process(Some(&self.config.config_dir.join(config::DOTENV_FILE)))
            .map_err(|problem| (exit::CONFIG, problem.to_string()))
    }
}

/// An exit code, and why.
pub(super) type Failed = (u8, String);

/// What a host answered.
pub(super) struct Answer {
    pub(super) is_success: bool,
    /// Null if the body is no JSON.
    pub(super) json: Value,
    text: String,
}

impl Answer {
    /// The body for a person.
    pub(super) fn pretty(&self) -> String {
        if self.json.is_null() { self.text.clone() } else { format!("{:#}", self.json) }
    }
}

/// A host to talk to.
pub(super) struct Session {
    client: reqwest::Client,
    url: String,
    key: String,
}

impl Session {
    /// Finds the host's address and the tenant's key. Connects to nothing yet.
    pub(super) fn open(remote: &Remote) -> Result<Self, Failed> {
        let environment = remote.site.environment()?;
        let key = key(remote, &environment).map_err(|why| (exit::CONFIG, why))?;
        Self::at(&remote.site, &environment, key)
    }

    /// The same with the operator's key.
    pub(super) fn open_as_operator(site: &Site) -> Result<Self, Failed> {
        let environment = site.environment()?;
        let name = config::ADMIN_KEY_VARIABLE;
        let key = environment.get(name).filter(|key| !key.is_empty()).map(str::to_owned);
        let no_key = || (exit::CONFIG, format!("{name} is not set: it is the operator's key"));
        Self::at(site, &environment, key.ok_or_else(no_key)?)
    }

    fn at(site: &Site, environment: &Environment, key: String) -> Result<Self, Failed> {
        let url = match &site.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let listen = environment.get("CONDUCTOR_LISTEN").unwrap_or("127.0.0.1:3333");
                format!("http://{listen}")
            }
        };
        // Only the first call in a process decides; all of them would say the same.
        let _first = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| no_answer(&url, &error))?;
        Ok(Self { client, url, key })
    }

    /// Posts `body`, or nothing.
    pub(super) async fn post(&self, path: &str, body: Option<&Value>) -> Result<Answer, Failed> {
        self.ask(reqwest::Method::POST, path, body).await
    }

    /// Asks.
    pub(super) async fn get(&self, path: &str) -> Result<Answer, Failed> {
        self.ask(reqwest::Method::GET, path, None).await
    }

    /// Takes away.
    pub(super) async fn delete(&self, path: &str) -> Result<Answer, Failed> {
        self.ask(reqwest::Method::DELETE, path, None).await
    }

    async fn ask(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer, Failed> {
        let failed = |error: reqwest::Error| no_answer(&self.url, &error);
        let url = format!("{}{path}", self.url);
        let mut request = self.client.request(method, url).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let mut response = request.send().await.map_err(failed)?;
        let is_success = response.status().is_success();
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                let why = "the answer is too long for a host's";
                return Err((exit::FAILURE, String::from(why)));
            }
        }
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Ok(Answer { is_success, json, text: String::from_utf8_lossy(&bytes).into_owned() })
    }
}

fn no_answer(url: &str, error: &reqwest::Error) -> Failed {
    (exit::FAILURE, format!("no answer from {url}: {error}; is the host running?"))
}

/// Runs a conversation, prints what it came to, and gives the exit code.
pub(super) fn run(conversation: impl Future<Output = Result<(bool, String), Failed>>) -> u8 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            console::complain(&format!("error: the runtime did not start: {error}"));
            return exit::FAILURE;
        }
    };
    match runtime.block_on(conversation) {
        Ok((went_well, answer)) => {
            console::out(&answer);
            if went_well { exit::OK } else { exit::FAILURE }
        }
        Err((code, why)) => {
            console::complain(&format!("error: {why}"));
            code
        }
    }
}

/// The key of the tenant that was asked for, from the variables that tenants.toml names.
fn key(remote: &Remote, environment: &Environment) -> Result<String, String> {
    let loaded = config::load(&remote.site.config.config_dir, environment);
    let mut tenants = loaded
        .config
        .tenants
        .values()
        .filter(|tenant| remote.tenant.as_deref().is_none_or(|slug| *tenant.slug == *slug));
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
