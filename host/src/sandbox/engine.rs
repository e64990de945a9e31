//! The engine: how guests are compiled and run, the same for all of them.
//!
//! Instances come from the pooling allocator (a slot is reserved address space; creating one costs
//! tens of microseconds) where the address space for it can be reserved, and from the ordinary one
//! where a container or `ulimit -v` forbids that.

use std::{sync::Arc, thread};

use tokio::sync::Semaphore;
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{
    background::Background,
    bindings::{
        v0_1_0,
        v0_1_0_async::{http_async, operations, websocket},
    },
    budget::{GuestBounds, MemoryBudget},
    meter::{Activity, CpuMeter},
    room::{Room, TABLES_PER_SLOT},
    state::InstanceState,
};
use crate::limits;

/// The engine, the linkers and what all plugins share.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<InstanceState>,
    pooling: bool,
    /// For live instances.
    pub(super) room: Room,
    /// Where guests go on that compute for long.
    pub(super) background: Background,
    activity: Arc<Activity>,
    bounds: GuestBounds,
    /// The memory of all guests.
    pub(super) memory: Arc<MemoryBudget>,
    /// One permit for each component that may be compiling.
    pub(super) compiles: Semaphore,
    /// One permit for each connected plugin that may be starting.
    pub(super) connections_starting: Semaphore,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").field("pooling", &self.pooling).finish_non_exhaustive()
    }
}

impl Engine {
    /// Makes the engine and starts its clock.
    ///
    /// # Errors
    /// When wasmtime does not support this machine.
    pub fn new(bounds: GuestBounds) -> wasmtime::Result<Arc<Self>> {
        let (wasmtime, pooling) = match wasmtime::Engine::new(&config(Some(pool()))) {
            Ok(engine) => (engine, true),
            Err(error) => {
                tracing::warn!(
                    "address space for the instance pool cannot be reserved, so instances are \
                     created on demand, which is slower: {error:#}"
                );
                (wasmtime::Engine::new(&config(None))?, false)
            }
        };
        let linker = linker(&wasmtime)?;
        let activity = Arc::new(Activity::default());
        start_epoch_clock(&wasmtime, Arc::clone(&activity))?;
        Ok(Arc::new(Self {
            wasmtime,
            linker,
            pooling,
            background: Background::start()?,
            activity,
            room: Room::new(bounds.instances_max),
            bounds,
            memory: MemoryBudget::new(bounds.memory_bytes_max),
            compiles: Semaphore::new(limits::COMPILES_AT_ONCE),
            connections_starting: Semaphore::new(limits::CONNECTIONS_STARTING_MAX),
        }))
    }

    pub(super) const fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// The meter of a new store.
    pub(super) fn cpu_meter(&self) -> CpuMeter {
        CpuMeter::new(Arc::clone(&self.activity))
    }

    pub(super) const fn linker(&self) -> &Linker<InstanceState> {
        &self.linker
    }

    /// How many slots of the pool are taken, in the whole process: one for each instance of an
    /// ordinary plugin.
    #[must_use]
    pub fn instances_live(&self) -> usize {
        self.room.taken()
    }

    /// What all guests may take together.
    #[must_use]
    pub const fn bounds(&self) -> GuestBounds {
        self.bounds
    }

    /// The memory that all guests have now, in bytes, and what they may have.
    #[must_use]
    pub fn memory(&self) -> (usize, usize) {
        (self.memory.used(), self.memory.max())
    }
}

/// How much of a stack is overwritten with zeros, when its instance ends, and stays in memory; what
/// lies deeper is given back to the system. Few calls go deeper.
const STACK_BYTES_KEPT: usize = 16 * 1024;

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::WASM_STACK_BYTES);
    config.async_stack_size(limits::FIBER_STACK_BYTES);
    // A stack goes from one tenant's guest to another's, and after a deep recursion half a megabyte
    // of it would stay in memory for good. It is paid for once in the life of an instance.
    config.async_stack_zeroing(true);
    // A smaller surface: nothing that the supported toolchains emit needs these.
    config.wasm_memory64(false);
    config.wasm_relaxed_simd(false);
    config.memory_init_cow(true);
    if let Some(pool) = pool {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    config
}

fn pool() -> PoolingAllocationConfig {
    // Every number follows from how many component instances may live: a component from one of the
    // usual toolchains is one main module and a few small adapters around one memory. What has more
    // takes more slots.
    let instances = u32::try_from(limits::INSTANCES_MAX).unwrap_or(u32::MAX);
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    // Only counted, nothing is reserved for them.
    pool.total_core_instances(instances.saturating_mul(small(limits::CORE_INSTANCES_MAX)));
    pool.total_memories(instances.saturating_add(instances / 4));
    pool.total_tables(instances.saturating_mul(TABLES_PER_SLOT));
    pool.total_stacks(instances);
    pool.max_core_instances_per_component(small(limits::CORE_INSTANCES_MAX));
    pool.max_memories_per_component(small(limits::MEMORIES_MAX));
    pool.max_tables_per_component(small(limits::TABLES_MAX));
    pool.async_stack_keep_resident(STACK_BYTES_KEPT);
    pool.table_elements(limits::TABLE_ELEMENTS_MAX);
    pool.max_memory_size(limits::MEMORY_BYTES_MAX);
    pool
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<InstanceState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    v0_1_0::Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    // What the async flavour has beside these. A plain plugin that imports them is ended when it
    // calls them.
    operations::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    http_async::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    websocket::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
    Ok(linker)
}

/// Epochs tick from a thread of the operating system: a runtime whose threads are all held by
/// spinning guests could not tick its own clock.
fn start_epoch_clock(engine: &wasmtime::Engine, activity: Arc<Activity>) -> std::io::Result<()> {
    /// So many ticks without a guest, and the clock slows down.
    const QUIET_TICKS: u32 = 50;
    let engine = engine.weak();
    thread::Builder::new().name(String::from("epoch")).spawn(move || {
        let mut quiet = 0_u32;
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            quiet = if activity.has_run() { 0 } else { quiet.saturating_add(1) };
            let is_quiet = quiet > QUIET_TICKS;
            thread::sleep(if is_quiet { limits::EPOCH_TICK_IDLE } else { limits::EPOCH_TICK });
        }
    })?;
    Ok(())
}
