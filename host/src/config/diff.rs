//! What changed between two configurations.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::model::{Channel, Config, Plugin, Tenant};
use crate::ids::{ChannelName, PluginName, TenantId};

/// What came, went and changed, by name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Changes<K> {
    /// Only in the new configuration.
    pub added: Vec<K>,
    /// Only in the old one.
    pub removed: Vec<K>,
    /// In both, and not the same.
    pub changed: Vec<K>,
}

/// The difference of two configurations. That something moved to another line is none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diff {
    /// Plugins.
    pub plugins: Changes<PluginName>,
    /// Tenants, apart from their channels.
    pub tenants: Changes<TenantId>,
    /// Channels.
    pub channels: Changes<(TenantId, ChannelName)>,
    /// Whether `[context] fallback` is another tenant.
    pub fallback_changed: bool,
}

impl Diff {
    /// Whether the two behave the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.plugins.is_empty()
            && self.tenants.is_empty()
            && self.channels.is_empty()
            && !self.fallback_changed
    }
}

impl<K> Changes<K> {
    /// Whether nothing came, went or changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl<K> fmt::Display for Changes<K> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (added, removed, changed) = (self.added.len(), self.removed.len(), self.changed.len());
        write!(formatter, "+{added} -{removed} ~{changed}")
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tenants, channels, plugins) = (&self.tenants, &self.channels, &self.plugins);
        write!(formatter, "tenants {tenants}, channels {channels}, plugins {plugins}")?;
        if self.fallback_changed {
            formatter.write_str(", another fallback tenant")?;
        }
        Ok(())
    }
}

/// Compares two configurations.
#[must_use]
pub fn diff(old: &Config, new: &Config) -> Diff {
    let channels = |config: &'_ Config| -> BTreeMap<(TenantId, ChannelName), _> {
        let tenants = config.tenants.values();
        let of_tenant = |tenant: &std::sync::Arc<Tenant>| {
            let id = tenant.id;
            let channels = tenant.channels.iter();
            channels
                .map(|(name, channel)| ((id, name.clone()), std::sync::Arc::clone(channel)))
                .collect::<Vec<_>>()
        };
        tenants.flat_map(of_tenant).collect()
    };
    Diff {
        plugins: changes(&old.plugins, &new.plugins, |old, new| same_plugin(old, new)),
        tenants: changes(&old.tenants, &new.tenants, |old, new| same_tenant(old, new)),
        channels: changes(&channels(old), &channels(new), |old, new| same_channel(old, new)),
        fallback_changed: old.fallback != new.fallback,
    }
}

fn changes<K: Ord + Clone, V>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    same: impl Fn(&V, &V) -> bool,
) -> Changes<K> {
    let both: BTreeSet<&K> = old.keys().filter(|key| new.contains_key(*key)).collect();
    let differs = |key: &&&K| match (old.get(**key), new.get(**key)) {
        (Some(old), Some(new)) => !same(old, new),
        _ => false,
    };
    Changes {
        added: new.keys().filter(|key| !both.contains(key)).cloned().collect(),
        removed: old.keys().filter(|key| !both.contains(key)).cloned().collect(),
        changed: both.iter().filter(differs).map(|key| (*key).clone()).collect(),
    }
}

// Each function names every field, so that a new one does not compile until it is compared (or
// left out on purpose, like the line numbers).

fn same_plugin(old: &Plugin, new: &Plugin) -> bool {
    let Plugin { name, source, digest, scope, requires, lazy, options, grants, limits, origin: _ } =
        old;
    (name, source, digest, scope, requires)
        == (&new.name, &new.source, &new.digest, &new.scope, &new.requires)
        && (lazy, options, grants, limits) == (&new.lazy, &new.options, &new.grants, &new.limits)
}

fn same_tenant(old: &Tenant, new: &Tenant) -> bool {
    let Tenant {
        id,
        name,
        slug,
        key_hashes,
        key_envs,
        domains,
        ports,
        plugins,
        cors,
        limits,
        access_sources,
        callbacks,
        channels: _,
        origin: _,
    } = old;
    (id, name, slug, key_hashes, key_envs)
        == (&new.id, &new.name, &new.slug, &new.key_hashes, &new.key_envs)
        && (domains, ports, plugins, cors) == (&new.domains, &new.ports, &new.plugins, &new.cors)
        && (limits, access_sources, callbacks) == (&new.limits, &new.access_sources, &new.callbacks)
}

fn same_channel(old: &Channel, new: &Channel) -> bool {
    let Channel { name, plugin, options, secrets, fallback, retry, throttle, origin: _ } = old;
    (name, plugin, options, secrets) == (&new.name, &new.plugin, &new.options, &new.secrets)
        && (fallback, retry, throttle) == (&new.fallback, &new.retry, &new.throttle)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Environment, load};

    const PLUGINS: &str =
        "[[plugin]]\nname = \"log\"\nscope = \"core\"\n[[plugin]]\nname = \"x\"\n";
    const TENANTS: &str = "[[tenant]]\nid = \"0198c0de-0000-7000-8000-000000000001\"\n\
                           name = \"A\"\nauth_key_env = \"A_KEY\"\n";
    const CHANNELS: &str = "[[channel]]\ntenant_id = \"0198c0de-0000-7000-8000-000000000001\"\n\
                            channel_type = \"x\"\nprovider_secret_env = \"TOKEN\"\n";

    fn config(plugins: &str, tenants: &str, channels: &str, token: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("plugins", plugins), ("tenants", tenants), ("channels", channels)] {
            std::fs::write(folder.path().join(format!("{name}.toml")), text).unwrap();
        }
        let key = "k".repeat(32);
        let environment = Environment::from_pairs([("A_KEY", &*key), ("TOKEN", token)]);
        let loaded = load(folder.path(), &environment);
        assert_eq!(loaded.problems, []);
        loaded.config
    }

    fn before() -> Config {
        config(PLUGINS, TENANTS, CHANNELS, "1")
    }

    #[test]
    fn the_same_files_make_no_difference_and_neither_does_another_line() {
        let moved = |text: &str| format!("# comment\n\n{text}");
        let after = config(&moved(PLUGINS), &moved(TENANTS), &moved(CHANNELS), "1");
        let diff = diff(&before(), &after);
        assert!(diff.is_empty(), "{diff}");
        assert_eq!(diff.to_string(), "tenants +0 -0 ~0, channels +0 -0 ~0, plugins +0 -0 ~0");
    }

    #[test]
    fn what_changed_is_told_by_name() {
        let plugins = format!("{PLUGINS}lazy = true\n");
        let tenants = format!("{TENANTS}domains = [\"a.example\"]\n[context]\nfallback = \"a\"\n");
        let channels = format!("{CHANNELS}{}", CHANNELS.replace("\"x\"", "\"x\"\nname = \"y\""));
        let diff = diff(&before(), &config(&plugins, &tenants, &channels, "1"));
        assert_eq!(
            diff.to_string(),
            "tenants +0 -0 ~1, channels +1 -0 ~0, plugins +0 -0 ~1, another fallback tenant"
        );
        assert_eq!(diff.plugins.changed, ["x".parse().unwrap()]);
        assert_eq!(diff.channels.added[0].1.as_str(), "y");
        assert!(!diff.is_empty());
    }

    #[test]
    fn a_new_value_of_a_secret_is_a_change_of_its_channel_only() {
        let diff = diff(&before(), &config(PLUGINS, TENANTS, CHANNELS, "2"));
        assert_eq!(diff.channels.changed.len(), 1);
        assert!(diff.tenants.is_empty() && diff.plugins.is_empty());
    }

    #[test]
    fn what_is_gone_is_told() {
        let diff = diff(&before(), &Config::default());
        assert_eq!(diff.to_string(), "tenants +0 -1 ~0, channels +0 -2 ~0, plugins +0 -2 ~0");
    }

    #[test]
    fn an_implicit_channel_changes_with_its_plugins_options() {
        let plugins = PLUGINS.replace("scope = \"core\"\n", "scope = \"core\"\noptions.a = 1\n");
        let before = before();
        let after = config(&plugins, TENANTS, CHANNELS, "1");
        assert_eq!(diff(&before, &after).channels.changed.len(), 1);
        let log =
            |config: &Config| Arc::clone(&config.tenants.values().next().unwrap().channels["log"]);
        assert_ne!(log(&before).options, log(&after).options);
    }
}
