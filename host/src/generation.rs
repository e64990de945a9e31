//! A generation: one immutable snapshot of everything configured and loaded. A request sees one
//! generation from its start to its end; only `reload` publishes the next.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::PathBuf,
    sync::Arc,
};

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use crate::{
    clock::UnixMs,
    config::{Channel, Config, Problem, Tenant},
    ids::{ChannelName, Digest, PluginName, TenantId},
    sandbox::LoadedPlugin,
};

/// Everything configured and loaded, at one moment.
#[derive(Debug)]
pub struct Generation {
    /// Rises by one with every published generation, from 1.
    pub number: u64,
    /// When it was published.
    pub since: UnixMs,
    /// The configuration.
    pub config: Arc<Config>,
    /// Plugins that are loaded (a lazy one appears with its first use).
    pub plugins: BTreeMap<PluginName, Arc<LoadedPlugin>>,
    /// Why a plugin of the configuration is not loaded.
    pub plugin_failures: BTreeMap<PluginName, String>,
    /// How each loaded plugin comes to run as it does.
    pub standings: BTreeMap<PluginName, Standing>,
    /// What was left out of a degraded start.
    pub problems: Vec<Problem>,
    /// The files that all this comes from.
    pub files: BTreeSet<PathBuf>,
    directory: Directory,
}

/// How a plugin comes to run the file that it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Since when it runs this file.
    pub since: UnixMs,
    /// The file that it would go back to, having worked.
    pub last_good: Option<Digest>,
    /// Why it runs an earlier file than it should.
    pub refused: Option<Refusal>,
}

/// A file that is in place and does not run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// Which, if it could be read.
    pub digest: Option<Digest>,
    /// Why.
    pub why: String,
}

/// Who a request comes from.
#[derive(Debug, Default)]
struct Directory {
    keys: HashMap<[u8; 32], TenantId>,
    domains: HashMap<Arc<str>, TenantId>,
    ports: HashMap<u16, TenantId>,
}

impl Generation {
    /// Puts a generation together.
    #[must_use]
    pub fn new(
        number: u64,
        since: UnixMs,
        config: Arc<Config>,
        plugins: BTreeMap<PluginName, Arc<LoadedPlugin>>,
    ) -> Self {
        let mut directory = Directory::default();
        for tenant in config.tenants.values() {
            directory.keys.extend(tenant.key_hashes.iter().map(|hash| (*hash, tenant.id)));
            directory.domains.extend(tenant.domains.iter().map(|name| (name.clone(), tenant.id)));
            directory.ports.extend(tenant.ports.iter().map(|port| (*port, tenant.id)));
        }
        Self {
            number,
            since,
            config,
            plugins,
            plugin_failures: BTreeMap::new(),
            standings: BTreeMap::new(),
            problems: Vec::new(),
            files: BTreeSet::new(),
            directory,
        }
    }

    /// The tenant whose key has this SHA-256.
    #[must_use]
    pub fn tenant_by_key(&self, key_hash: &[u8; 32]) -> Option<&Arc<Tenant>> {
        // The map is searched by a hash of the key, so its timing tells nothing about the key; the
        // comparison that decides is constant-time all the same.
        let (stored, tenant) = self.directory.keys.get_key_value(key_hash)?;
        if bool::from(stored.ct_eq(key_hash)) { self.config.tenants.get(tenant) } else { None }
    }

    /// Whether any tenant owns a host name.
    #[must_use]
    pub fn has_domains(&self) -> bool {
        !self.directory.domains.is_empty()
    }

    /// The tenant that owns this host name (lower case, without port).
    #[must_use]
    pub fn tenant_by_domain(&self, domain: &str) -> Option<TenantId> {
        self.directory.domains.get(domain).copied()
    }

    /// The tenant that owns this port.
    #[must_use]
    pub fn tenant_by_port(&self, port: u16) -> Option<TenantId> {
        self.directory.ports.get(&port).copied()
    }

    /// A tenant's channel.
    #[must_use]
    pub fn channel(&self, tenant: TenantId, channel: &ChannelName) -> Option<&Arc<Channel>> {
        self.config.tenants.get(&tenant)?.channels.get(channel)
    }
}

/// The generation in force.
#[derive(Debug)]
pub struct Current {
    generation: ArcSwap<Generation>,
    published: watch::Sender<u64>,
}

impl Current {
    /// Begins with `generation`.
    #[must_use]
    pub fn new(generation: Arc<Generation>) -> Self {
        let published = watch::Sender::new(generation.number);
        Self { generation: ArcSwap::new(generation), published }
    }

    /// The generation in force now.
    #[must_use]
    pub fn load(&self) -> Arc<Generation> {
        self.generation.load_full()
    }

    /// The numbers of the generations as they are published.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Puts `generation` in force. Only `reload` calls this.
    pub fn publish(&self, generation: Arc<Generation>) {
        let number = generation.number;
        self.generation.store(generation);
        self.published.send_replace(number);
    }
}
