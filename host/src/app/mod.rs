//! The host: puts the parts together, runs them, and takes them down in order. The only joint
//! between the modules.

mod listen;
mod observers;
mod operate;
pub mod report;
mod security;
mod signals;
mod trail;

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::sync::mpsc;

use crate::{
    api::{self, ApiState},
    clock::Clock,
    config::{self, Environment, Problem},
    dispatch::{BreakerScope, BreakerStatus, Dispatch, Running},
    egress::Egress,
    generation::Current,
    ids::Digest,
    limits,
    observe::{
        BindingReport, BreakerReport, BreakersReport, GuestsReport, HealthBoard, Metrics,
        QuarantineReport, ResourcesReport,
    },
    outcomes::Outcomes,
    plugin_files::LastGood,
    reload::{self, Reloader, Trigger},
    retention::{self, Retention},
    sandbox::{self, CompileCache, Engine, GuestBounds, Sandbox},
    stopping::Stopping,
    store::{Store, memory::MemoryStore, sqlite::SqliteStore},
    tasks::Tasks,
};

pub use listen::Listen;
use security::SecurityDesk;
use signals::{Signals, Told};
use trail::Trail;

/// How to run the host.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the three files.
    pub config_dir: PathBuf,
    /// Where the queue and the compiled plugins are kept.
    pub data_dir: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Start with what is valid.
    pub degraded: bool,
    /// Queue in memory only.
    pub in_memory: bool,
    /// More root certificates for outbound TLS.
    pub extra_roots_pem: Vec<u8>,
    /// For how long notifications and events are kept.
    pub retention: Retention,
    /// What all guests may take together.
    pub guests: GuestBounds,
}

/// Why the host did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong: all of it.
    #[error("the configuration has {} error(s)", .0.len())]
    Config(Vec<Problem>),
    /// The address cannot be listened on.
    #[error("{0}")]
    Listen(String),
    /// Something that the host needs is not to be had.
    #[error("{0}")]
    Start(String),
    /// The store failed while running: what is on disk cannot be believed any more.
    #[error("the store failed: {0}")]
    StoreFailed(String),
}

fn start_error(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Error {
    move |error| Error::Start(format!("{what}: {error}"))
}

/// The store, and how to learn that it failed.
struct Storage {
    store: Arc<dyn Store>,
    failed: Option<tokio::sync::watch::Receiver<Option<String>>>,
}

/// Runs until a signal, or until the store fails. `started` is called when the host listens.
///
/// # Errors
/// Why it did not start, or why it had to end.
pub async fn run(options: Options, started: impl FnOnce(SocketAddr)) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(|error| start_error("signals")(&error))?;
    let clock = Clock::system();
    let health = Arc::new(HealthBoard::default());
    let tasks = Tasks::new(Arc::clone(&health), clock.clone());
    let metrics = Arc::new(Metrics::new());
    let listener = options.listen.bind().await.map_err(Error::Listen)?;
    let (triggers, triggered) = mpsc::channel(64);
    let (trail, events) = Trail::new();
    let security = SecurityDesk::new(clock.clone(), trail.clone(), Arc::clone(&health));
    let observers = observers::Observers::new(
        Arc::clone(&metrics),
        Arc::clone(&health),
        triggers.clone(),
        trail.clone(),
        security.clone(),
    );

    let engine = Engine::new(options.guests)
        .map_err(|error| start_error("the sandbox")(&format!("{error:#}")))?;
    let egress = Egress::new(&options.extra_roots_pem)
        .map_err(|error| start_error("outbound TLS")(&error))?;
    let sandbox = Sandbox::new(
        Arc::clone(&engine),
        Arc::clone(&egress),
        Arc::new(observers.clone()),
        tasks.clone(),
    );
    let mut reloader = Reloader::new(reload::Parts {
        config_dir: options.config_dir.clone(),
        sandbox: Arc::clone(&sandbox),
        cache: compile_cache(&options, &engine),
        last_good: LastGood::open(options.data_dir.join("plugins"))
            .map_err(|error| start_error("the data folder")(&error))?,
        clock: clock.clone(),
        degraded: options.degraded,
    });
    let first = tokio::select! {
        first = reloader.first() => first.map_err(Error::Config)?,
        // Compiling can take a while; nothing has begun yet that would have to be finished.
        () = signals.end() => return Ok(()),
    };
    let storage = open_store(&options, &clock)?;
    let current = Arc::new(Current::new(Arc::new(first)));
    observers.published(&current.load());
    observers.unenforced(&current.load());
    tasks.spawn("security", security::run(security));
    trail::host(&*storage.store, format!("started, version {}", env!("CARGO_PKG_VERSION"))).await;
    tasks.spawn("trail", trail::write(Arc::clone(&storage.store), events));

    let stopping = Stopping::new();
    let outcomes = Arc::new(Outcomes::default());
    let dispatching = Dispatch {
        store: Arc::clone(&storage.store),
        current: Arc::clone(&current),
        sandbox: Arc::clone(&sandbox),
        egress,
        outcomes: Arc::clone(&outcomes),
        observer: Arc::new(observers.clone()),
        clock: clock.clone(),
    }
    .start(&tasks);
    let dispatching = Arc::new(dispatching);
    observers.nudge_on_reload(&dispatching);
    // Connections live without messages: they are opened now.
    sandbox.adopt(&current.load());

    tasks.spawn(
        "reload",
        reloader.run(Arc::clone(&current), Arc::new(observers.clone()), triggered),
    );
    tasks.spawn(
        "watch",
        reload::watch(
            options.config_dir.clone(),
            Arc::clone(&current),
            triggers.clone(),
            stopping.token(),
        ),
    );

    tasks.spawn(
        "retention",
        retention::run(
            Arc::clone(&storage.store),
            clock.clone(),
            options.retention,
            stopping.token(),
        ),
    );

    let state = ApiState {
        current: Arc::clone(&current),
        store: Arc::clone(&storage.store),
        outcomes: Arc::clone(&outcomes),
        metrics,
        health,
        clock,
        stopping: stopping.clone(),
        admin_key_hash: admin_key_hash(&options),
        bindings: bindings(&sandbox),
        guests: guests(&engine),
        tasks: tasks.clone(),
        breakers: breakers(&dispatching),
        operate: Arc::new(operate::Operations {
            sandbox: Arc::clone(&sandbox),
            dispatching: Arc::clone(&dispatching),
            current: Arc::clone(&current),
            triggers: triggers.clone(),
        }),
    };
    let address = listener.local_addr().map_err(|error| start_error("the listener")(&error))?;
    report::started(&current.load(), address);
    report::guests(&current.load(), options.guests);
    started(address);
    let surface = api::Surface::new(state);
    let server = api::server::serve(
        listener,
        surface,
        stopping.token(),
        tasks.tracker(),
        api::server::ServerLimits::default(),
    );
    let mut server = std::pin::pin!(server);
    let ended = tokio::select! {
        ended = wait(&mut signals, &storage, &triggers) => ended,
        () = &mut server => Err(Error::Start(String::from("the listener ended"))),
    };

    tracing::info!("stopping: nothing new is accepted, running deliveries are finished");
    stopping.cancel();
    outcomes.stop();
    let down = async {
        // The listener answers what it has begun while deliveries drain beside it.
        let grace = limits::SHUTDOWN_GRACE;
        let ((), drained) = tokio::join!(server, dispatching.stop(grace));
        let closed = sandbox.shutdown(limits::SHUTDOWN_WALL).await;
        trail::host(&*storage.store, String::from("stopped")).await;
        storage.store.close().await;
        tracing::info!(drained, closed, "stopped");
    };
    tokio::select! {
        () = down => {}
        () = signals.end() => tracing::warn!("stopped at once, on a second signal"),
    }
    ended
}

fn open_store(options: &Options, clock: &Clock) -> Result<Storage, Error> {
    if options.in_memory {
        tracing::warn!("the queue is in memory: it is lost when the process ends");
        return Ok(Storage { store: MemoryStore::new(clock.clone()), failed: None });
    }
    let path = options.data_dir.join("queue.db");
    let store =
        SqliteStore::open(&path, clock.clone()).map_err(|error| Error::Start(error.to_string()))?;
    let failed = Some(store.failed());
    Ok(Storage { store, failed })
}

/// Without a cache everything works, slower.
fn compile_cache(options: &Options, engine: &Engine) -> Option<CompileCache> {
    match CompileCache::open(&options.data_dir.join("compiled"), engine) {
        Ok(cache) => Some(cache),
        Err(error) => {
            tracing::warn!("compiled plugins are not kept: {error}");
            None
        }
    }
}

/// The operator's key: SHA-256 of the variable's value.
fn admin_key_hash(options: &Options) -> Option<[u8; 32]> {
    let dotenv = options.config_dir.join(config::DOTENV_FILE);
    let environment = Environment::of_process(Some(&dotenv)).ok()?;
    let key = environment.get(config::ADMIN_KEY_VARIABLE).filter(|key| !key.is_empty())?;
    Some(Digest::of(key.as_bytes()).0)
}

fn bindings(sandbox: &Arc<Sandbox>) -> Arc<dyn Fn() -> Vec<BindingReport> + Send + Sync> {
    let sandbox = Arc::clone(sandbox);
    Arc::new(move || {
        sandbox
            .status()
            .into_iter()
            .map(|status| BindingReport {
                tenant: status.lane.tenant,
                channel: status.lane.channel,
                plugin: status.plugin,
                state: status.state,
                detail: status.detail,
                connection: status.connection,
                strikes: status.strikes,
                quarantine: status.quarantine.map(|quarantine| QuarantineReport {
                    held_for: quarantine.held_for,
                    opens_in: quarantine.opens_in,
                    failed_probes: quarantine.failed_probes,
                }),
                resources: resources(&status.resources),
                instances: status.instances,
                in_flight: status.in_flight,
            })
            .collect()
    })
}

const fn resources(used: &sandbox::Resources) -> ResourcesReport {
    ResourcesReport {
        calls: used.calls,
        cpu: used.cpu,
        memory_bytes_peak: used.memory_bytes_peak,
        host_calls: used.host_calls,
        bytes_out: used.bytes_out,
        bytes_in: used.bytes_in,
        log_bytes: used.log_bytes,
        log_lines_dropped: used.log_lines_dropped,
    }
}

fn guests(engine: &Arc<Engine>) -> Arc<dyn Fn() -> GuestsReport + Send + Sync> {
    let engine = Arc::clone(engine);
    Arc::new(move || {
        let (memory_bytes, memory_bytes_max) = engine.memory();
        GuestsReport {
            instances: engine.instances_live(),
            instances_max: engine.bounds().instances_max,
            memory_bytes,
            memory_bytes_max,
        }
    })
}

fn breakers(dispatching: &Arc<Running>) -> Arc<dyn Fn() -> BreakersReport + Send + Sync> {
    let dispatching = Arc::clone(dispatching);
    Arc::new(move || {
        let found = dispatching.breakers();
        let scopes = BreakerScope::ALL.iter().map(|scope| scope.as_str());
        let report = |one: BreakerStatus| BreakerReport {
            scope: one.scope.as_str(),
            plugin: one.plugin,
            channel: one.lane.map(|lane| (lane.tenant, lane.channel)),
            target: one.target.map(|target| target.to_string()),
            state: one.state,
            since: one.since,
            until: one.until,
            code: one.code,
            detail: one.detail,
        };
        BreakersReport {
            counts: scopes.zip(found.counts).collect(),
            shown: found.shown.into_iter().map(report).collect(),
        }
    })
}

/// Waits for the reason to end.
async fn wait(
    signals: &mut Signals,
    storage: &Storage,
    triggers: &mpsc::Sender<Trigger>,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::End => return Ok(()),
                Told::Reload if triggers.try_send(Trigger::Signal).is_err() => {
                    tracing::warn!("a reload is waiting already");
                }
                Told::Reload => {}
            },
            why = store_failed(storage) => return Err(Error::StoreFailed(why)),
        }
    }
}

async fn store_failed(storage: &Storage) -> String {
    let Some(mut failed) = storage.failed.clone() else { return std::future::pending().await };
    match failed.wait_for(Option::is_some).await {
        Ok(why) => why.clone().unwrap_or_default(),
        // The store was closed in order.
        Err(_) => std::future::pending().await,
    }
}

/// A configuration that was checked.
#[derive(Debug)]
pub struct Checked {
    /// What would be in force.
    pub generation: crate::generation::Generation,
}

/// Checks everything that a start would, without starting.
///
/// # Errors
/// All that is wrong.
pub async fn check(
    config_dir: PathBuf,
    data_dir: PathBuf,
    guests: GuestBounds,
) -> Result<Checked, Error> {
    let clock = Clock::system();
    let health = Arc::new(HealthBoard::default());
    let tasks = Tasks::new(Arc::clone(&health), clock.clone());
    let (triggers, _unused) = mpsc::channel(1);
    let trail = Trail::new().0;
    let security = SecurityDesk::new(clock.clone(), trail.clone(), Arc::clone(&health));
    let metrics = Arc::new(Metrics::new());
    let observers = observers::Observers::new(metrics, health, triggers, trail, security);
    let engine =
        Engine::new(guests).map_err(|error| start_error("the sandbox")(&format!("{error:#}")))?;
    let egress = Egress::new(&[]).map_err(|error| start_error("outbound TLS")(&error))?;
    let sandbox = Sandbox::new(Arc::clone(&engine), egress, Arc::new(observers), tasks);
    let mut reloader = Reloader::new(reload::Parts {
        config_dir,
        sandbox,
        // Checking leaves nothing behind where nothing has run yet.
        cache: data_dir
            .exists()
            .then(|| CompileCache::open(&data_dir.join("compiled"), &engine).ok())
            .flatten(),
        last_good: LastGood::at(data_dir.join("plugins")),
        clock,
        degraded: false,
    });
    let generation = reloader.first().await.map_err(Error::Config)?;
    Ok(Checked { generation })
}
