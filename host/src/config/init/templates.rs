//! The files of a first run: small, because the manual of the format is elsewhere.

use super::MadeKey;

/// plugins.toml.
pub(super) const PLUGINS: &str = r#"# The plugins of this host. Changes take effect at once, without a restart.
# Every key is explained in docs/OPERATING.md; `conductor check` tells what is wrong.

[[plugin]]
name = "log"        # writes each message to the host's log: to see that it works
scope = "core"      # every tenant has a channel of it, named like the plugin

# [[plugin]]
# name = "discord"
# [plugin.grants]
# hosts = ["https://discord.com"]   # the only place it may talk to
"#;

/// tenants.toml.
pub(super) fn tenants(tenant: &MadeKey) -> String {
    let MadeKey { tenant_id, tenant_name, variable, .. } = tenant;
    // TOML and JSON agree on how a text is quoted.
    let name = serde_json::Value::from(tenant_name.as_str());
    format!(
        r#"# Who may send notifications. Changes take effect at once, without a restart.

[[tenant]]
id = "{tenant_id}"
name = {name}
auth_key_env = "{variable}"   # the variable that holds the key; see .env
"#
    )
}

/// channels.toml.
pub(super) fn channels(tenant_id: Option<&str>) -> String {
    let tenant_id = tenant_id.unwrap_or("the id of a tenant in tenants.toml");
    let variable = "TENANT_A_DISCORD_BOT_TOKEN";
    format!(
        r#"# The channels of each tenant. Changes take effect at once, without a restart.
# A channel of each core plugin (here: "log") is there without being named.

# [[channel]]
# tenant_id = "{tenant_id}"
# channel_type = "discord"            # the plugin; also the channel's name
# [channel.secrets]
# BOT_TOKEN = "{variable}"  # the variable that holds it
# [channel.options]
# channel_id = "000000000000000000"
"#
    )
}
