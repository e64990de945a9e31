//! Loading what a configuration needs, and proving it before it is in force.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use super::Reloader;
use crate::{
    config::{Channel, Config, Origin, Plugin, Problem},
    generation::{Generation, Refusal},
    ids::{Digest, PluginName, TenantId},
    plugin_files,
    sandbox::{ChannelCheck, GuestBounds, LoadError, LoadedPlugin},
    store::Lane,
};

/// Channels that try out a new plugin before it is in force.
const CANARIES_PER_PLUGIN: usize = 3;

/// What was loaded, and what was not.
#[derive(Default)]
pub(super) struct Prepared {
    pub(super) plugins: BTreeMap<PluginName, Arc<LoadedPlugin>>,
    /// The bytes of those that were read from files and are new.
    pub(super) bytes: BTreeMap<PluginName, Arc<[u8]>>,
    pub(super) failures: BTreeMap<PluginName, String>,
    /// Those that run an earlier file than the one in place.
    pub(super) refused: BTreeMap<PluginName, Refusal>,
    pub(super) problems: Vec<Problem>,
    /// What is not as it should be and does not stop anything.
    pub(super) warnings: Vec<Problem>,
}

impl Reloader {
    /// Loads the plugins that `config` needs; those that `running` has already are taken over.
    pub(super) async fn prepare(
        &mut self,
        config: &Config,
        orphans: &[Arc<Channel>],
        running: Option<&Generation>,
    ) -> Prepared {
        let mut prepared = Prepared::default();
        for name in self.needed(config, orphans) {
            let Some(plugin) = config.plugins.get(&name) else { continue };
            match self.prepare_one(plugin, running, &mut prepared).await {
                Ok(loaded) => drop(prepared.plugins.insert(name, loaded)),
                Err(why) => {
                    let message = format!("plugin \"{name}\": {why}");
                    prepared.failures.insert(name, why);
                    let origin = Some(plugin.origin.clone());
                    prepared.problems.push(Problem { origin, message });
                }
            }
        }
        check_requirements(config, &mut prepared);
        let of_tenants = config
            .tenants
            .values()
            .flat_map(|tenant| tenant.channels.values().map(|channel| (Some(tenant.id), channel)));
        let channels = of_tenants.chain(orphans.iter().map(|channel| (None, channel)));
        check_channels(config, channels, running, &mut prepared);
        check_memory(config, self.parts.sandbox.engine().bounds(), &mut prepared);
        prepared
    }

    /// The plugins that are used: by a channel, and not lazy unless they were asked for.
    fn needed(&self, config: &Config, orphans: &[Arc<Channel>]) -> BTreeSet<PluginName> {
        let mut used: BTreeSet<PluginName> = BTreeSet::new();
        let channels = config.tenants.values().flat_map(|tenant| tenant.channels.values());
        for channel in channels.chain(orphans) {
            if !used.contains(&channel.plugin) {
                used.insert(channel.plugin.clone());
            }
        }
        used.retain(|name| {
            let lazy = config.plugins.get(name).is_some_and(|plugin| plugin.lazy);
            !lazy || self.wanted.contains(name)
        });
        used
    }

    async fn prepare_one(
        &mut self,
        plugin: &Arc<Plugin>,
        running: Option<&Generation>,
        prepared: &mut Prepared,
    ) -> Result<Arc<LoadedPlugin>, String> {
        let before = running.and_then(|running| running.plugins.get(&plugin.name));
        let bytes = {
            let plugin = Arc::clone(plugin);
            tokio::task::spawn_blocking(move || plugin_files::read(&plugin))
                .await
                .map_err(|error| format!("reading its file failed: {error}"))?
        };
        let why = match bytes {
            Ok(bytes) => {
                let digest = Digest::of(&bytes);
                let pinned_ok = plugin.digest.is_none_or(|pinned| pinned == digest);
                if let Some(before) = before
                    && before.digest() == digest
                    && pinned_ok
                {
                    return Ok(Arc::clone(before));
                }
                let refused = self.plugins.get(&plugin.name).and_then(|history| {
                    history.refused.as_ref().filter(|(refused, _)| *refused == digest)
                });
                if let (Some((_, why)), Some(before)) = (refused, before) {
                    let refusal = Refusal { digest: Some(digest), why: why.clone() };
                    prepared.refused.insert(plugin.name.clone(), refusal);
                    // Tried before and found wanting: what runs goes on until the file changes.
                    prepared.warnings.push(Problem {
                        origin: Some(plugin.origin.clone()),
                        message: format!(
                            "plugin \"{}\" runs {} because {digest} failed: {why}",
                            plugin.name,
                            before.digest()
                        ),
                    });
                    return Ok(Arc::clone(before));
                }
                match self.load(plugin, Arc::clone(&bytes), plugin.digest).await {
                    Ok(loaded) => {
                        prepared.bytes.insert(plugin.name.clone(), bytes);
                        return Ok(loaded);
                    }
                    Err(error) => error.to_string(),
                }
            }
            Err(why) => why,
        };
        if running.is_some() {
            return Err(why);
        }
        self.fall_back(plugin, why, prepared).await
    }

    pub(super) async fn load(
        &self,
        plugin: &Plugin,
        bytes: Arc<[u8]>,
        pinned: Option<Digest>,
    ) -> Result<Arc<LoadedPlugin>, LoadError> {
        let engine = self.parts.sandbox.engine();
        let cache = self.parts.cache.as_ref();
        let loaded = LoadedPlugin::load(engine, cache, plugin.name.clone(), bytes, pinned).await;
        if let Err(LoadError::Describe(fault)) = &loaded {
            self.parts.sandbox.count_fault(&plugin.name, fault);
        }
        let loaded = loaded?;
        if let Some(took) = loaded.compiled_in() {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            tracing::info!(plugin = %plugin.name, digest = %loaded.digest(), took_ms, "compiled");
        }
        Ok(Arc::new(loaded))
    }

    /// At a start: the file is not usable, but the one before it was.
    async fn fall_back(
        &self,
        plugin: &Plugin,
        why: String,
        prepared: &mut Prepared,
    ) -> Result<Arc<LoadedPlugin>, String> {
        let kept = {
            let last_good = self.parts.last_good.clone();
            let name = plugin.name.clone();
            tokio::task::spawn_blocking(move || last_good.read(&name)).await.ok().flatten()
        };
        let Some(kept) = kept else { return Err(why) };
        let Ok(loaded) = self.load(plugin, kept, plugin.digest).await else { return Err(why) };
        let refusal = Refusal { digest: None, why: why.clone() };
        prepared.refused.insert(plugin.name.clone(), refusal);
        prepared.warnings.push(Problem {
            origin: Some(plugin.origin.clone()),
            message: format!(
                "plugin \"{}\": {why}. The last file that worked runs instead ({})",
                plugin.name,
                loaded.digest()
            ),
        });
        Ok(loaded)
    }

    /// Tries every plugin that `next` brings on a few of its channels, under their real grants.
    pub(super) async fn canaries(
        &self,
        next: &Generation,
        running: Option<&Generation>,
    ) -> Vec<Problem> {
        let mut problems = Vec::new();
        for trial in trials(next, running) {
            if let Err(why) = self.parts.sandbox.canary(next, &trial.lane).await {
                let message = format!("{}: {why}", trial.what);
                problems.push(Problem { origin: Some(trial.origin), message });
            }
        }
        problems
    }
}

/// One channel that tries out a new plugin.
struct Trial {
    lane: Lane,
    origin: Origin,
    what: String,
}

fn trials(next: &Generation, running: Option<&Generation>) -> Vec<Trial> {
    let mut trials = Vec::new();
    for (name, plugin) in &next.plugins {
        let known = running
            .and_then(|running| running.plugins.get(name))
            .is_some_and(|before| before.digest() == plugin.digest());
        if known {
            continue;
        }
        let channels = next
            .config
            .tenants
            .values()
            .flat_map(|tenant| tenant.channels.values().map(move |channel| (tenant, channel)))
            .filter(|(_, channel)| channel.plugin == *name)
            .take(CANARIES_PER_PLUGIN);
        trials.extend(channels.map(|(tenant, channel)| Trial {
            lane: Lane { tenant: tenant.id, channel: channel.name.clone() },
            origin: channel.origin.clone(),
            what: format!(
                "plugin \"{name}\" ({}), tried on channel \"{}\" of tenant \"{}\"",
                plugin.digest(),
                channel.name,
                tenant.name
            ),
        }));
    }
    trials
}

/// `requires = ["other >=1.2"]`.
fn check_requirements(config: &Config, prepared: &mut Prepared) {
    for plugin in
        config.plugins.values().filter(|plugin| prepared.plugins.contains_key(&plugin.name))
    {
        for requirement in &plugin.requires {
            let found =
                prepared.plugins.get(&requirement.plugin).map(|other| &other.manifest().version);
            let why = match found {
                Some(version) if requirement.version.matches(version) => continue,
                Some(version) => format!("and version {version} is loaded"),
                // A lazy plugin, or one that no channel uses: it is there, its version is not known.
                None if !prepared.failures.contains_key(&requirement.plugin) => continue,
                None => String::from("which could not be loaded"),
            };
            prepared.problems.push(Problem {
                origin: Some(plugin.origin.clone()),
                message: format!(
                    "plugin \"{}\" requires {} {}, {why}",
                    plugin.name, requirement.plugin, requirement.version
                ),
            });
        }
    }
}

/// A plugin that could never have the memory that it may have is misconfigured: it would be told
/// that the host is to blame.
fn check_memory(config: &Config, bounds: GuestBounds, prepared: &mut Prepared) {
    const MIB: usize = 1024 * 1024;
    for plugin in config.plugins.values() {
        let memory = plugin.limits.memory_bytes;
        if prepared.plugins.contains_key(&plugin.name) && memory > bounds.memory_bytes_max {
            prepared.problems.push(Problem {
                origin: Some(plugin.origin.clone()),
                message: format!(
                    "plugin \"{}\": memory_mib = {} is more than the {} MiB that all plugins have \
                     together; lower it, or raise --guest-memory-mib",
                    plugin.name,
                    memory / MIB,
                    bounds.memory_bytes_max / MIB
                ),
            });
        }
    }
}

/// Checks options and secrets of every channel against its plugin's manifest; those that are as
/// they were need no second look. A channel without a tenant is checked for what there is to tell.
fn check_channels<'a>(
    config: &Config,
    channels: impl Iterator<Item = (Option<TenantId>, &'a Arc<Channel>)>,
    running: Option<&Generation>,
    prepared: &mut Prepared,
) {
    let mut checks: BTreeMap<PluginName, Option<ChannelCheck>> = BTreeMap::new();
    let mut done: HashSet<(usize, PluginName)> = HashSet::new();
    // What was found wrong before is as it was, too, and has to be told again.
    let running = running.filter(|running| running.problems.is_empty());
    for (tenant, channel) in channels {
        let Some(loaded) = prepared.plugins.get(&channel.plugin) else { continue };
        let Some(plugin) = config.plugins.get(&channel.plugin) else { continue };
        let unchanged = running.zip(tenant).is_some_and(|(running, tenant)| {
            running.channel(tenant, &channel.name).is_some_and(|before| before == channel)
                && running
                    .plugins
                    .get(&channel.plugin)
                    .is_some_and(|before| before.digest() == loaded.digest())
                && running
                    .config
                    .plugins
                    .get(&channel.plugin)
                    .is_some_and(|before| before.grants == plugin.grants)
        });
        // The implicit channels of a core plugin share their options: one look is enough.
        let shared = Arc::as_ptr(&channel.options).addr();
        if unchanged
            || (channel.secrets.is_empty() && !done.insert((shared, channel.plugin.clone())))
        {
            continue;
        }
        let check =
            checks.entry(channel.plugin.clone()).or_insert_with(|| {
                match ChannelCheck::new(loaded.manifest()) {
                    Ok(check) => Some(check),
                    Err(message) => {
                        let origin = Some(plugin.origin.clone());
                        prepared.problems.push(Problem { origin, message });
                        None
                    }
                }
            });
        let Some(check) = check else { continue };
        let errors = check.errors(channel, plugin, loaded.manifest());
        prepared.problems.extend(
            errors
                .into_iter()
                .map(|message| Problem { origin: Some(channel.origin.clone()), message }),
        );
    }
}
