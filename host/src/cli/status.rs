//! `conductor status`: how a running host is, on one screen, from `/health` and `/admin/plugins`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::Value;

use super::remote::{self, Failed, Session, Site};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(flatten)]
    site: Site,
}

pub(super) fn run(options: Options) -> u8 {
    remote::run(status(options))
}

/// The exit code is 0 only if the host is well, so that a script can ask.
async fn status(options: Options) -> Result<(bool, String), Failed> {
    let session = Session::open_as_operator(&options.site)?;
    let health = session.get("/health").await?;
    let plugins = session.get("/admin/plugins").await?;
    if !health.is_success || !plugins.is_success {
        let said = if health.is_success { plugins.pretty() } else { health.pretty() };
        return Ok((false, said));
    }
    let is_well = text(&health.json, "status") == "ok";
    Ok((is_well, screen(&health.json, &plugins.json)))
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or("-")
}

fn number(value: &Value, name: &str) -> u64 {
    value.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn screen(health: &Value, plugins: &Value) -> String {
    let mut screen = String::new();
    let mut line = |text: String| {
        // Writing to a String does not fail.
        let _infallible = writeln!(screen, "{text}");
    };
    line(format!(
        "{}, version {}, generation {} since {}, {} tenant(s)",
        text(health, "status"),
        text(health, "version"),
        number(health, "generation"),
        text(health, "since"),
        number(health, "tenants")
    ));
    let null = Value::Null;
    let queue = health.get("queue").unwrap_or(&null);
    let count = |name: &str| number(queue, name);
    line(format!(
        "queue: {} queued, {} sending, {} retrying, {} dead; store {}",
        count("queued"),
        count("sending"),
        count("retrying"),
        count("dead"),
        text(health, "store")
    ));
    let guests = health.get("guests").unwrap_or(&null);
    let mib = |name: &str| number(guests, name) / (1024 * 1024);
    line(format!(
        "instances: {} of {}, with {} of {} MiB",
        number(guests, "instances"),
        number(guests, "instancesMax"),
        mib("memoryBytes"),
        mib("memoryBytesMax")
    ));
    if let Some(reload) = health.get("lastReload") {
        line(format!("last reload: {} at {}", text(reload, "outcome"), text(reload, "at")));
        for error in list(reload, "errors") {
            line(format!("  {}", error.as_str().unwrap_or("-")));
        }
    }
    for problem in list(health, "problems") {
        line(format!("left out: {}", problem.as_str().unwrap_or("-")));
    }
    for plugin in list(plugins, "items") {
        line(format!(
            "plugin {} {}: {}, {} channel(s), {} instance(s){}",
            text(plugin, "name"),
            text(plugin, "version"),
            text(plugin, "state"),
            number(plugin, "channels"),
            number(plugin, "instances"),
            plugin
                .get("why")
                .and_then(Value::as_str)
                .map_or_else(String::new, |why| format!(": {why}"))
        ));
    }
    for channel in list(health, "unwell") {
        line(format!(
            "channel {} of tenant {}: {}, {}",
            text(channel, "channel"),
            text(channel, "tenant"),
            text(channel, "state"),
            text(channel, "detail")
        ));
    }
    for breaker in list(health, "openBreakers") {
        line(format!(
            "breaker {} of plugin {}: {} until {}: {}",
            text(breaker, "scope"),
            text(breaker, "plugin"),
            text(breaker, "state"),
            text(breaker, "until"),
            text(breaker, "detail")
        ));
    }
    for task in list(health, "tasksEnded") {
        line(format!("task {} ended: {}", text(task, "name"), text(task, "why")));
    }
    screen.truncate(screen.trim_end().len());
    screen
}
