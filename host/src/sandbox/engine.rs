//! The engine: how guests are compiled and run, the same for all of them.
//!
//! Instances come from the pooling allocator (a slot is reserved address space; creating one costs
//! tens of microseconds) where the address space for it can be reserved, and from the ordinary one
//! where a container or `ulimit -v` forbids that.

use std::{sync::Arc, thread, time::Duration};

use tokio::sync::Semaphore;
use wasmtime::{
    Config, InstanceAllocationStrategy, PoolingAllocationConfig,
    component::{HasSelf, Linker},
};

use super::{
    bindings::{
        v0_1_0,
        v0_1_0_async::{http_async, operations, websocket},
    },
    state::InstanceState,
};
use crate::limits;

/// The engine, the linkers and what all plugins share.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    linker: Linker<InstanceState>,
    pooling: bool,
    /// One permit for each live instance of the process.
    pub(super) instances: Arc<Semaphore>,
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
    pub fn new() -> wasmtime::Result<Arc<Self>> {
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
        start_epoch_clock(&wasmtime)?;
        Ok(Arc::new(Self {
            wasmtime,
            linker,
            pooling,
            instances: Arc::new(Semaphore::new(limits::INSTANCES_MAX)),
            compiles: Semaphore::new(limits::COMPILES_AT_ONCE),
            connections_starting: Semaphore::new(limits::CONNECTIONS_STARTING_MAX),
        }))
    }

    pub(super) const fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    pub(super) const fn linker(&self) -> &Linker<InstanceState> {
        &self.linker
    }

    /// How many instances live now, in the whole process.
    #[must_use]
    pub fn instances_live(&self) -> usize {
        limits::INSTANCES_MAX - self.instances.available_permits()
    }
}

fn config(pool: Option<PoolingAllocationConfig>) -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.max_wasm_stack(limits::WASM_STACK_BYTES);
    config.async_stack_size(limits::FIBER_STACK_BYTES);
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
    // usual toolchains is one main module and a few small adapters around one memory.
    let instances = u32::try_from(limits::INSTANCES_MAX).unwrap_or(u32::MAX);
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances);
    pool.total_core_instances(instances.saturating_mul(5));
    pool.total_memories(instances.saturating_add(instances / 4));
    pool.total_tables(instances.saturating_mul(3));
    pool.total_stacks(instances);
    pool.max_core_instances_per_component(small(limits::CORE_INSTANCES_MAX));
    pool.max_memories_per_component(small(limits::MEMORIES_MAX));
    pool.max_tables_per_component(small(limits::TABLES_MAX));
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
fn start_epoch_clock(engine: &wasmtime::Engine) -> std::io::Result<()> {
    let engine = engine.weak();
    thread::Builder::new().name(String::from("epoch")).spawn(move || {
        const TICK: Duration = limits::EPOCH_TICK;
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(TICK);
        }
    })?;
    Ok(())
}
