//! What the host keeps for one instance: the data of its store.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::{
    door::Door,
    kv::Kv,
    limiter::MemoryLimiter,
    log::{Level, LineStream, LogSink},
    meter::CpuMeter,
    operations::Operations,
    wasi_http::Hooks,
};
use crate::limits;

/// The data of one store.
pub(super) struct InstanceState {
    pub(super) log: LogSink,
    pub(super) kv: Arc<Kv>,
    /// None: nothing can be reached (`describe`).
    pub(super) door: Option<Door>,
    pub(super) memory: MemoryLimiter,
    pub(super) cpu: Arc<CpuMeter>,
    /// What the running call may compute.
    pub(super) cpu_budget: Duration,
    /// When the running call ends, whatever it is doing.
    pub(super) deadline: Instant,
    /// Set when the CPU budget ended the call.
    pub(super) cpu_exhausted: bool,
    /// What was started in a turn. None: the plain flavour, or `describe`.
    pub(super) operations: Option<Box<Operations>>,
    wasi: WasiCtx,
    wasi_http: WasiHttpCtx,
    hooks: Hooks,
    table: ResourceTable,
}

impl InstanceState {
    pub(super) fn new(
        log: LogSink,
        kv: Arc<Kv>,
        door: Option<Door>,
        memory_bytes_max: usize,
    ) -> Self {
        // The builder's own documentation is of two minds about some defaults: say everything.
        let wasi = WasiCtx::builder()
            .stdout(LineStream::new(log.clone(), Level::Info, "stdout"))
            .stderr(LineStream::new(log.clone(), Level::Warn, "stderr"))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .socket_addr_check(|_, _| Box::pin(async { false }))
            .allow_blocking_current_thread(false)
            .max_random_size(limits::RANDOM_BYTES_MAX)
            .build();
        let mut wasi_http = WasiHttpCtx::new();
        wasi_http.set_field_size_limit(limits::EGRESS_HEADER_BYTES_MAX);
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits::RESOURCES_MAX);
        let deadline = Instant::now();
        Self {
            log,
            kv,
            hooks: Hooks::new(door.clone(), deadline),
            door,
            memory: MemoryLimiter::new(memory_bytes_max),
            cpu: Arc::default(),
            cpu_budget: Duration::ZERO,
            deadline,
            cpu_exhausted: false,
            operations: None,
            wasi,
            wasi_http,
            table,
        }
    }

    /// `text` without the channel's secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        match &self.door {
            Some(door) => door.egress.vault().scrub(text),
            None => text.to_owned(),
        }
    }

    /// A call begins that may take `wall` and compute for `cpu`.
    pub(super) fn begin(&mut self, wall: Duration, cpu: Duration, notification: &str) {
        self.begin_turn(wall, cpu);
        self.log.begin(notification);
    }

    /// The same without a new budget of log lines.
    pub(super) fn begin_turn(&mut self, wall: Duration, cpu: Duration) {
        self.deadline = Instant::now() + wall;
        self.hooks.deadline = self.deadline;
        self.cpu_budget = cpu;
        self.cpu_exhausted = false;
        self.cpu.reset();
    }
}

impl WasiView for InstanceState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for InstanceState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.wasi_http }
    }
}
