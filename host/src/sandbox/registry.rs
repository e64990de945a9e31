//! The bindings that are alive, made at the first message and kept over reloads that do not change
//! them.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    binding::{Binding, BindingStatus},
    crash::Gate,
    engine::Engine,
    instance::StartError,
    kv::Kv,
    observer::Observer,
    outcome::{Fault, Health},
    plugin::LoadedPlugin,
    room::Shortage,
    spec,
    trial::Trial,
};
use crate::{
    config::{Channel, Plugin, Tenant},
    egress::Egress,
    generation::Generation,
    ids::PluginName,
    store::Lane,
    tasks::Tasks,
};

/// Instances that are closed at once when the process has as many as it may.
const EVICT_AT_ONCE: usize = 64;

/// Why a quarantine is over when the binding is, or a connection stopped no longer.
const CHANGED: &str = "its configuration or its plugin has changed";

/// Why a lane has no binding now.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unavailable {
    /// The channel is not configured (any more).
    #[error("there is no such channel now")]
    NoChannel,
    /// Its plugin is not loaded.
    #[error("its plugin \"{plugin}\" is not loaded: {why}")]
    NoPlugin {
        /// Which.
        plugin: String,
        /// Why.
        why: String,
    },
    /// Channel and plugin do not fit.
    #[error("{0}")]
    Misconfigured(String),
}

/// All bindings of the process.
pub struct Sandbox {
    engine: Arc<Engine>,
    egress: Arc<Egress>,
    observer: Arc<dyn Observer>,
    tasks: Tasks,
    bindings: Mutex<HashMap<Lane, Entry>>,
    /// How many bindings have faults on record: mostly none, and then nobody needs to look.
    troubled: Arc<AtomicUsize>,
}

struct Entry {
    binding: Arc<Binding>,
    /// The generation that it was last compared with.
    generation: u64,
}

/// What a binding is made from, in one generation.
struct Parts<'a> {
    tenant: &'a Tenant,
    channel: &'a Arc<Channel>,
    config: &'a Plugin,
    plugin: &'a Arc<LoadedPlugin>,
}

impl Sandbox {
    /// An empty sandbox.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        egress: Arc<Egress>,
        observer: Arc<dyn Observer>,
        tasks: Tasks,
    ) -> Arc<Self> {
        let sandbox = Arc::new(Self {
            engine,
            egress,
            observer,
            tasks: tasks.clone(),
            bindings: Mutex::default(),
            troubled: Arc::default(),
        });
        let reaped = Arc::downgrade(&sandbox);
        let every = sandbox.engine.bounds().idle_max / 4;
        tasks.spawn("reaper", async move {
            loop {
                tokio::time::sleep(every).await;
                let Some(sandbox) = reaped.upgrade() else { return };
                sandbox.reap_idle();
            }
        });
        sandbox
    }

    /// The engine.
    #[must_use]
    pub const fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Lane, Entry>> {
        self.bindings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The binding of a lane in `generation`, made if need be.
    ///
    /// # Errors
    /// Says why there is none.
    pub fn binding(
        &self,
        generation: &Generation,
        lane: &Lane,
    ) -> Result<Arc<Binding>, Unavailable> {
        let mut bindings = self.lock();
        if let Some(entry) = bindings.get(lane)
            && entry.generation == generation.number
        {
            return Ok(Arc::clone(&entry.binding));
        }
        let parts = parts(generation, lane)?;
        let (kv, before) = match bindings.get_mut(lane) {
            Some(entry) if same(&entry.binding, &parts) => {
                entry.generation = generation.number;
                return Ok(Arc::clone(&entry.binding));
            }
            Some(entry) if entry.binding.spec.plugin.name() == parts.plugin.name() => {
                (Arc::clone(&entry.binding.spec.kv), Some(Arc::clone(&entry.binding)))
            }
            _ => (Arc::default(), None),
        };
        let spec = self.spec(&parts, kv).map_err(Unavailable::Misconfigured)?;
        let binding = Binding::new(
            spec,
            Arc::clone(&self.engine),
            Arc::clone(&self.observer),
            self.tasks.clone(),
            Arc::clone(&self.troubled),
        );
        binding.connect(before);
        let entry = Entry { binding: Arc::clone(&binding), generation: generation.number };
        if let Some(old) = bindings.insert(lane.clone(), entry) {
            let_go(&old.binding);
        }
        Ok(binding)
    }

    fn spec(&self, parts: &Parts<'_>, kv: Arc<Kv>) -> Result<super::binding::Spec, String> {
        let memory = self.engine.memory.of_channel(parts.config.limits.memory_bytes);
        spec::build(
            &self.egress,
            parts.tenant,
            parts.channel,
            parts.config,
            Arc::clone(parts.plugin),
            spec::Own { kv, memory },
        )
    }

    /// Retires every binding that `generation` changes or no longer has. Their running calls end
    /// as they would have. What changes is made anew at once, so that it takes over what the plugin
    /// keeps in its `state`.
    pub fn adopt(&self, generation: &Generation) {
        let mut retired = 0_usize;
        let mut changed = Vec::new();
        self.lock().retain(|lane, entry| {
            let of_lane = parts(generation, lane).ok();
            if of_lane.as_ref().is_some_and(|parts| same(&entry.binding, parts)) {
                entry.generation = generation.number;
                return true;
            }
            retired += 1;
            let name = entry.binding.spec.plugin.name();
            if of_lane.is_some_and(|parts| parts.plugin.name() == name) {
                changed.push(lane.clone());
                return true;
            }
            let_go(&entry.binding);
            false
        });
        for lane in changed {
            if self.binding(generation, &lane).is_err()
                && let Some(old) = self.lock().remove(&lane)
            {
                // Its next message tells why there is no new one.
                let_go(&old.binding);
            }
        }
        // A connection lives without messages, so it does not wait for the first.
        for lane in connected(generation) {
            if let Err(why) = self.binding(generation, &lane) {
                tracing::warn!(tenant = %lane.tenant, channel = %lane.channel, "not connected: {why}");
            }
        }
        if retired > 0 {
            tracing::debug!(retired, generation = generation.number, "bindings changed");
        }
    }

    /// Whether a lane may take a turn, as far as its crashes are concerned.
    #[must_use]
    pub fn gate(&self, lane: &Lane) -> Gate {
        if self.troubled.load(Ordering::Relaxed) == 0 {
            return Gate::Open;
        }
        let binding = self.lock().get(lane).map(|entry| Arc::clone(&entry.binding));
        binding.map_or(Gate::Open, |binding| binding.gate(Instant::now()))
    }

    /// Ends a lane's quarantine: the operator says so. False when it is in none.
    pub fn release(&self, lane: &Lane) -> bool {
        let binding = self.lock().get(lane).map(|entry| Arc::clone(&entry.binding));
        binding.is_some_and(|binding| binding.forgive("the operator has cleared it"))
    }

    /// Ends the instances that have been idle for as long as they may, and connections to mail
    /// servers that have been for [`limits::EGRESS_IDLE_TIMEOUT`].
    fn reap_idle(&self) {
        let idle_max = self.engine.bounds().idle_max;
        let Some(cutoff) = Instant::now().checked_sub(idle_max) else { return };
        let bindings: Vec<_> =
            self.lock().values().map(|entry| Arc::clone(&entry.binding)).collect();
        for binding in bindings {
            binding.spec.egress.close_idle_mail();
            while binding.idle_since().is_some_and(|since| since < cutoff) && binding.evict_one() {}
        }
    }

    /// Makes room for `wanting`, which was refused an instance. Closes idle ones of others only when
    /// the process has as many as it may, and of the same tenant when that one has: who is busy up
    /// to its own limit costs nobody else a warm instance.
    pub fn evict_idle(&self, wanting: &Binding) -> usize {
        let tenant = wanting.spec.lane.tenant;
        let Some(shortage) = self.engine.room.shortage(tenant, wanting.spec.plugin.slots()) else {
            return 0;
        };
        let mut idle: Vec<_> = self
            .lock()
            .iter()
            .filter(|(lane, _)| shortage == Shortage::Process || lane.tenant == tenant)
            .filter_map(|(_, entry)| {
                Some((entry.binding.idle_since()?, Arc::clone(&entry.binding)))
            })
            .collect();
        idle.sort_by_key(|(since, _)| *since);
        idle.iter().take(EVICT_AT_ONCE).filter(|(_, binding)| binding.evict_one()).count()
    }

    /// Counts the fault of a plugin that has no binding: while it described itself, or was tried.
    pub fn count_fault(&self, plugin: &PluginName, fault: &Fault) {
        self.observer.fault(plugin, fault.kind);
    }

    /// Tries a channel in an instance of its own, under its real grants: starts it, asks how it
    /// is, shuts it down.
    ///
    /// # Errors
    /// When the plugin misbehaves or refuses to start for good.
    pub async fn canary(&self, generation: &Generation, lane: &Lane) -> Result<Health, String> {
        let spec = {
            let parts = parts(generation, lane).map_err(|error| error.to_string())?;
            self.spec(&parts, Arc::new(Kv::default()))?
        };
        let failed = |what: &str, fault: &Fault| {
            self.count_fault(spec.plugin.name(), fault);
            format!("`{what}` failed: {fault}")
        };
        let trial = match Trial::start(&self.engine, &spec, &self.observer).await {
            Ok((trial, _took)) => trial,
            Err(StartError::Fault(fault)) => return Err(failed("initialize", &fault)),
            Err(StartError::Refused { problem, .. }) => {
                return Err(format!("`initialize` says {}: {}", problem.code, problem.detail));
            }
        };
        let (health, trial) = trial.health().await.map_err(|fault| failed("health", &fault))?;
        trial.shutdown().await.map_err(|fault| failed("shutdown", &fault))?;
        Ok(health)
    }

    /// Starts an instance of its own for a channel and shuts it down: how long the start took. For
    /// measurements; it leaves nothing behind.
    ///
    /// # Errors
    /// Says why there was no instance.
    pub async fn probe_start(
        &self,
        generation: &Generation,
        lane: &Lane,
    ) -> Result<Duration, String> {
        let spec = {
            let parts = parts(generation, lane).map_err(|error| error.to_string())?;
            self.spec(&parts, Arc::new(Kv::default()))?
        };
        match Trial::start(&self.engine, &spec, &self.observer).await {
            Ok((trial, took)) => {
                trial.shutdown().await.map_err(|fault| fault.to_string())?;
                Ok(took)
            }
            Err(StartError::Fault(fault)) => Err(fault.to_string()),
            Err(StartError::Refused { problem, .. }) => Err(problem.detail),
        }
    }

    /// How every live binding is.
    #[must_use]
    pub fn status(&self) -> Vec<BindingStatus> {
        self.lock().values().map(|entry| entry.binding.status()).collect()
    }

    /// Ends all instances, within `grace`. True when all of them ended by themselves.
    pub async fn shutdown(&self, grace: Duration) -> bool {
        let bindings: Vec<_> = self.lock().drain().map(|(_, entry)| entry.binding).collect();
        for binding in &bindings {
            binding.retire();
        }
        let all = async {
            for binding in &bindings {
                binding.drained().await;
            }
        };
        tokio::time::timeout(grace, all).await.is_ok()
    }
}

/// What it was made from has changed.
fn let_go(binding: &Binding) {
    binding.forgive(CHANGED);
    binding.release_connection(CHANGED);
    binding.retire();
}

/// The channels whose plugins hold a connection.
fn connected(generation: &Generation) -> Vec<Lane> {
    if !generation.plugins.values().any(|plugin| plugin.is_connected()) {
        return Vec::new();
    }
    let channels = generation
        .config
        .tenants
        .values()
        .flat_map(|tenant| tenant.channels.values().map(move |channel| (tenant.id, channel)));
    channels
        .filter(|(_, channel)| {
            generation.plugins.get(&channel.plugin).is_some_and(|plugin| plugin.is_connected())
        })
        .map(|(tenant, channel)| Lane { tenant, channel: channel.name.clone() })
        .collect()
}

fn parts<'a>(generation: &'a Generation, lane: &Lane) -> Result<Parts<'a>, Unavailable> {
    let config = &generation.config;
    let tenant = config.tenants.get(&lane.tenant).ok_or(Unavailable::NoChannel)?;
    let channel = tenant.channels.get(&lane.channel).ok_or(Unavailable::NoChannel)?;
    let no_plugin = |why: &str| Unavailable::NoPlugin {
        plugin: channel.plugin.to_string(),
        why: why.to_owned(),
    };
    let plugin_config = config
        .plugins
        .get(&channel.plugin)
        .ok_or_else(|| no_plugin("it is not in plugins.toml, or not enabled"))?;
    let plugin = generation.plugins.get(&channel.plugin).ok_or_else(|| {
        let why = generation.plugin_failures.get(&channel.plugin);
        no_plugin(why.map_or("it has not been loaded yet", String::as_str))
    })?;
    Ok(Parts { tenant, channel, config: plugin_config, plugin })
}

/// Whether a binding would be made just like it is.
fn same(binding: &Binding, parts: &Parts<'_>) -> bool {
    let spec = &binding.spec;
    let same_plugin =
        Arc::ptr_eq(&spec.plugin, parts.plugin) || spec.plugin.digest() == parts.plugin.digest();
    let same_channel =
        Arc::ptr_eq(&spec.channel, parts.channel) || channels_equal(&spec.channel, parts.channel);
    same_plugin
        && same_channel
        && spec.plugin.name() == parts.plugin.name()
        && spec.grants == parts.config.grants
        && spec.limits == parts.config.limits
        && spec.tenant_name == *parts.tenant.name
}

/// Equal in what an instance is made from; where it stands in the file does not matter.
fn channels_equal(one: &Channel, other: &Channel) -> bool {
    one.plugin == other.plugin && one.options == other.options && one.secrets == other.secrets
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sandbox").finish_non_exhaustive()
    }
}
