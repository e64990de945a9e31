//! From a file's bytes to a plugin that can be instantiated: checked, compiled (once for each
//! digest), linked, and asked what it is.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use wasmtime::component::Component;

use super::{
    bindings::{v0_1_0, v0_1_0_async},
    cache::CompileCache,
    describe,
    engine::Engine,
    manifest::Manifest,
    outcome::Fault,
    room, schema,
    state::InstanceState,
    version::{self, Flavour, VersionError},
};
use crate::{
    config::PluginLimits,
    ids::{Digest, PluginName},
    limits,
};

/// A plugin that is ready to be instantiated.
pub struct LoadedPlugin {
    name: PluginName,
    digest: Digest,
    /// The same as text, for every attempt.
    digest_text: Arc<str>,
    manifest: Manifest,
    interface: String,
    code: Code,
    /// How many slots of the pool one instance takes.
    slots: u32,
    /// Whether it was compiled just now, and how long that took.
    compiled_in: Option<Duration>,
    probation: Probation,
}

/// What is instantiated.
enum Code {
    Linked(v0_1_0::PluginPre<InstanceState>),
    /// The same of the async flavour.
    LinkedAsync {
        pre: v0_1_0_async::PluginAsyncPre<InstanceState>,
        is_connected: bool,
    },
    /// Tests of what is said about plugins need none that runs.
    #[cfg(test)]
    Absent,
}

/// [`Code`] that can be instantiated.
pub(super) enum Runs<'a> {
    Plain(&'a v0_1_0::PluginPre<InstanceState>),
    Async(&'a v0_1_0_async::PluginAsyncPre<InstanceState>),
}

/// Whether a plugin has shown yet that it works.
#[derive(Debug, Default)]
struct Probation {
    proven: AtomicBool,
    strikes: AtomicU32,
    last_fault: Mutex<Option<(Instant, String)>>,
}

/// What a plugin has done wrong since it was loaded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// How often.
    pub count: u32,
    /// The last time: how long ago, and what.
    pub last: Option<(Duration, String)>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    /// Larger than a plugin may be.
    #[error("it has {bytes} bytes, more than the {max} that a plugin may have")]
    TooLarge {
        /// How large it is.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Not the file that plugins.toml names.
    #[error(
        "its digest is {found}, and plugins.toml pins {expected}: put the pinned file back, or the \
         new digest into plugins.toml"
    )]
    Digest {
        /// The file's.
        found: Digest,
        /// plugins.toml's.
        expected: Digest,
    },
    /// Not a plugin, or one for another host.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// The compiler refuses it.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// It imports what this host does not offer.
    #[error("it does not fit this host: {0}")]
    Link(String),
    /// It could not say what it is.
    #[error("its `describe` failed: {0}")]
    Describe(Fault),
    /// What it says of itself cannot be right.
    #[error("{0}")]
    Manifest(String),
}

impl LoadedPlugin {
    /// Loads a component. Compiling happens off the async threads, one component at a time.
    ///
    /// # Errors
    /// Says what is wrong with the file and how to mend it.
    pub async fn load(
        engine: &Arc<Engine>,
        cache: Option<&CompileCache>,
        name: PluginName,
        bytes: Arc<[u8]>,
        pinned: Option<Digest>,
    ) -> Result<Self, LoadError> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > limits::WASM_FILE_BYTES_MAX {
            return Err(LoadError::TooLarge { bytes: size, max: limits::WASM_FILE_BYTES_MAX });
        }
        let permit = engine.compiles.acquire().await;
        let prepared = tokio::task::spawn_blocking({
            let engine = Arc::clone(engine);
            let cache = cache.cloned();
            move || prepare(&engine, cache.as_ref(), &bytes, pinned)
        })
        .await;
        drop(permit);
        let prepared = prepared.map_err(|error| {
            LoadError::Compile(format!("the compiler itself failed: {error}"))
        })??;
        let link = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
        let pre = engine.linker().instantiate_pre(&prepared.component).map_err(link)?;
        let asked = (&**engine, &name, prepared.digest);
        let (manifest, code) = match prepared.flavour {
            Flavour::Plain => {
                let pre = v0_1_0::PluginPre::new(pre).map_err(link)?;
                let manifest = describe::plain(asked, &pre).await.map_err(LoadError::Describe)?;
                (manifest, Code::Linked(pre))
            }
            Flavour::Async => {
                let pre = v0_1_0_async::PluginAsyncPre::new(pre).map_err(link)?;
                let (manifest, is_connected) =
                    describe::of_async(asked, &pre).await.map_err(LoadError::Describe)?;
                (manifest, Code::LinkedAsync { pre, is_connected })
            }
        };
        let manifest = v0_1_0::manifest(manifest).map_err(LoadError::Manifest)?;
        manifest.check().map_err(LoadError::Manifest)?;
        jsonschema::meta::validate(&manifest.options_schema).map_err(|error| {
            LoadError::Manifest(format!("its options-schema is no JSON Schema: {error}"))
        })?;
        // It is built again for each channel; that it can be built is known from here on.
        schema::validator(&manifest.options_schema).map_err(LoadError::Manifest)?;
        Ok(Self {
            name,
            digest: prepared.digest,
            digest_text: Arc::from(prepared.digest.to_string()),
            manifest,
            interface: prepared.interface,
            code,
            slots: room::slots(&prepared.component),
            compiled_in: prepared.compiled_in,
            probation: Probation::default(),
        })
    }

    /// Its name in plugins.toml.
    #[must_use]
    pub const fn name(&self) -> &PluginName {
        &self.name
    }

    /// The digest of its file.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The digest of its file as text ("sha256:…").
    #[must_use]
    pub const fn digest_text(&self) -> &Arc<str> {
        &self.digest_text
    }

    /// What it says of itself.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The version of the WIT package that it was built for.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// How long it was compiled, when it was not in the cache.
    #[must_use]
    pub const fn compiled_in(&self) -> Option<Duration> {
        self.compiled_in
    }

    /// How many slots of the pool one instance takes.
    pub(super) const fn slots(&self) -> u32 {
        self.slots
    }

    /// What is instantiated, by flavour.
    pub(super) fn runs(&self) -> Runs<'_> {
        match &self.code {
            Code::Linked(pre) => Runs::Plain(pre),
            Code::LinkedAsync { pre, .. } => Runs::Async(pre),
            #[cfg(test)]
            Code::Absent => panic!("this plugin is only a description"),
        }
    }

    /// Whether many sends run in one instance.
    pub(super) const fn is_async(&self) -> bool {
        matches!(self.code, Code::LinkedAsync { .. })
    }

    /// Whether it holds a connection that lives on: it has one instance for each channel, from the
    /// start.
    #[must_use]
    pub const fn is_connected(&self) -> bool {
        matches!(self.code, Code::LinkedAsync { is_connected: true, .. })
    }

    /// How many sends of one channel may run at the same time, under `limits`.
    #[must_use]
    pub const fn in_flight_max(&self, limits: &PluginLimits) -> usize {
        match self.code {
            Code::LinkedAsync { is_connected: true, .. } => limits.in_flight_max,
            Code::LinkedAsync { .. } => limits.instances_max.saturating_mul(limits.in_flight_max),
            _ => limits.instances_max,
        }
    }

    /// A plugin that can be described and not run.
    #[cfg(test)]
    pub(crate) fn described(name: PluginName, digest: Digest, manifest: Manifest) -> Self {
        Self {
            name,
            digest,
            digest_text: Arc::from(digest.to_string()),
            manifest,
            interface: String::from("0.1.0"),
            code: Code::Absent,
            slots: 1,
            compiled_in: None,
            probation: Probation::default(),
        }
    }

    /// A call ended well. True when it is the first.
    pub(super) fn prove(&self) -> bool {
        // Asked at every call: read before writing, so that the line stays shared between cores.
        !self.probation.proven.load(Ordering::Relaxed)
            && !self.probation.proven.swap(true, Ordering::AcqRel)
    }

    /// Whether a call has ever ended well.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.probation.proven.load(Ordering::Acquire)
    }

    /// A call ended with a fault. True when the plugin has failed its probation just now.
    pub(super) fn strike(&self, fault: &Fault) -> bool {
        *self.last_fault() = Some((Instant::now(), fault.to_string()));
        let strikes = self.probation.strikes.fetch_add(1, Ordering::AcqRel) + 1;
        !self.is_proven() && strikes == limits::PROBATION_STRIKES
    }

    fn last_fault(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        self.probation.last_fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it has done wrong.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let last = self.last_fault().as_ref().map(|(at, what)| (at.elapsed(), what.clone()));
        Faults { count: self.probation.strikes.load(Ordering::Acquire), last }
    }
}

impl fmt::Debug for LoadedPlugin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LoadedPlugin")
            .field("name", &self.name)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

struct Prepared {
    digest: Digest,
    interface: String,
    flavour: Flavour,
    component: Component,
    compiled_in: Option<Duration>,
}

fn prepare(
    engine: &Engine,
    cache: Option<&CompileCache>,
    bytes: &[u8],
    pinned: Option<Digest>,
) -> Result<Prepared, LoadError> {
    let digest = Digest::of(bytes);
    if let Some(expected) = pinned
        && expected != digest
    {
        return Err(LoadError::Digest { found: digest, expected });
    }
    let (interface, flavour) = version::check(bytes)?;
    if let Some(component) = cache.and_then(|cache| cache.load(engine.wasmtime(), &digest)) {
        return Ok(Prepared { digest, interface, flavour, component, compiled_in: None });
    }
    let began = Instant::now();
    let component = Component::from_binary(engine.wasmtime(), bytes)
        .map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let compiled_in = Some(began.elapsed());
    if let Some(cache) = cache {
        cache.store(&component, &digest);
    }
    Ok(Prepared { digest, interface, flavour, component, compiled_in })
}
