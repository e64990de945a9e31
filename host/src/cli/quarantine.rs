//! `conductor quarantine`: the channels of a running host whose plugin does not stop failing, and the
//! operator's word that it is mended.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::remote::{self, Failed, Session, Site};
use crate::ids::{ChannelName, PluginName, TenantId};

#[derive(Args, Debug)]
pub(super) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Lists them, those that have been there for longest first
    List {
        #[command(flatten)]
        site: Site,
    },
    /// Ends the quarantine of a channel, of all channels of a plugin, or of all
    Clear(Clear),
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["tenant_id", "plugin", "all"]))]
struct Clear {
    #[command(flatten)]
    site: Site,
    /// The id of the tenant whose channel it is
    #[arg(long, requires = "channel")]
    tenant_id: Option<TenantId>,
    /// The channel's name
    #[arg(long, requires = "tenant_id")]
    channel: Option<ChannelName>,
    /// All channels of this plugin
    #[arg(long)]
    plugin: Option<PluginName>,
    /// All channels
    #[arg(long)]
    all: bool,
}

pub(super) fn run(options: Options) -> u8 {
    match options.what {
        What::List { site } => remote::run(list(site)),
        What::Clear(clear) => remote::run(self::clear(clear)),
    }
}

async fn list(site: Site) -> Result<(bool, String), Failed> {
    let answer = Session::open_as_operator(&site)?.get("/admin/quarantine").await?;
    let Some(items) = answer.json.get("items").and_then(Value::as_array) else {
        return Ok((false, answer.pretty()));
    };
    let total = answer.json.get("total").and_then(Value::as_u64).unwrap_or(0);
    let mut lines: Vec<String> = items.iter().map(line).collect();
    lines.push(format!("{total} channel(s) in quarantine"));
    Ok((true, lines.join("\n")))
}

fn line(item: &Value) -> String {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-");
    format!(
        "{} {} (plugin {}) since {}, tried next at {}: {}",
        text("tenantId"),
        text("channel"),
        text("plugin"),
        text("since"),
        text("opensAt"),
        text("lastFault")
    )
}

async fn clear(options: Clear) -> Result<(bool, String), Failed> {
    let session = Session::open_as_operator(&options.site)?;
    let path = match (options.tenant_id, options.channel, options.plugin) {
        (Some(tenant), Some(channel), _) => format!("/admin/quarantine/{tenant}/{channel}"),
        (_, _, Some(plugin)) => format!("/admin/quarantine?plugin={plugin}"),
        _ => String::from("/admin/quarantine"),
    };
    let answer = session.delete(&path).await?;
    match answer.json.get("released").and_then(Value::as_u64) {
        Some(released) => Ok((true, format!("released {released} channel(s)"))),
        None => Ok((false, answer.pretty())),
    }
}
