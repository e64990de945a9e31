use std::path::Path;

use crate::config::{
    CHANNELS_FILE, DOTENV_FILE, Environment, PLUGINS_FILE, TENANTS_FILE, ensure_keys, load,
};

/// A copy of the repository's own files, with the keys that `conductor serve` would make.
fn copied() -> (tempfile::TempDir, Environment) {
    let folder = tempfile::tempdir().unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for name in [PLUGINS_FILE, TENANTS_FILE, CHANNELS_FILE] {
        std::fs::copy(repository.join(name), folder.path().join(name)).unwrap();
    }
    let mut environment = Environment::default();
    ensure_keys(folder.path(), &mut environment).unwrap();
    assert!(folder.path().join(DOTENV_FILE).exists());
    (folder, environment)
}

#[test]
fn the_shipped_files_are_valid() {
    let (folder, environment) = copied();
    let loaded = load(folder.path(), &environment);
    assert_eq!(loaded.problems, []);
    let tenant = loaded.config.tenants.values().next().unwrap();
    assert_eq!(tenant.channels.keys().map(|name| name.as_str()).collect::<Vec<_>>(), ["log"]);
    let notices: Vec<String> = loaded.config.notices.iter().map(ToString::to_string).collect();
    assert_eq!(notices.len(), 3, "a token, a signing secret, an address: {notices:#?}");
    assert!(loaded.config.plugins["webhook"].grants.hosts.is_empty());
}

#[test]
fn the_shipped_channels_are_switched_on_by_variables() {
    let (folder, mut environment) = copied();
    for (name, value) in [
        ("TENANT_019AA7C4_5E00_7C3A_9B51_3F6DE1D0C0DE_DISCORD_BOT_TOKEN", "hunter2"),
        ("TENANT_019AA7C4_5E00_7C3A_9B51_3F6DE1D0C0DE_WEBHOOK_SIGNING_SECRET", "hunter3"),
        ("DISCORD_API_BASE", "http://127.0.0.1:9999/api/v10"),
        ("DISCORD_API_ADDRESSES", "127.0.0.1"),
        ("WEBHOOK_URL", "https://hooks.example.com/x?y=z"),
    ] {
        environment.extend(name, value);
    }
    let loaded = load(folder.path(), &environment);
    assert_eq!(loaded.problems, []);
    assert_eq!(loaded.config.notices, []);
    let discord = &loaded.config.plugins["discord"].grants;
    let hosts: Vec<String> = discord.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["https://discord.com", "http://127.0.0.1:9999"]);
    assert_eq!(discord.addresses.len(), 1);
    let webhook = &loaded.config.plugins["webhook"].grants;
    assert_eq!(webhook.hosts[0].to_string(), "https://hooks.example.com");
    let tenant = loaded.config.tenants.values().next().unwrap();
    let channel = &tenant.channels["discord"];
    assert_eq!(channel.options["api_base"], "http://127.0.0.1:9999/api/v10");
    assert_eq!(channel.options["channel_id"], "0");
    assert_eq!(channel.secrets["BOT_TOKEN"].value.expose(), "hunter2");
    assert_eq!(tenant.channels.len(), 3);
}

/// The keys that a manual comment line assigns or that a table header names.
#[test]
fn the_manual_names_every_key() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (name, keys) in [
        (PLUGINS_FILE, super::super::plugins::KEYS),
        (TENANTS_FILE, super::super::tenants::KEYS),
        (CHANNELS_FILE, super::super::channels::KEYS),
    ] {
        let text = std::fs::read_to_string(repository.join(name)).unwrap();
        for key in keys {
            let entry = &name[..name.len() - "s.toml".len()];
            let assigned = format!("\n# {key} = ");
            let table = format!("\n# [{entry}.{key}");
            let list = format!("\n# [[{entry}.{key}]]");
            let explained = [assigned, table, list].iter().any(|form| text.contains(form));
            assert!(explained, "{name} explains {key}");
        }
    }
}
