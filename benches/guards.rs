//! What the guards around a guest cost: one `send` of the shipped `log` channel in a store with all
//! of them, and in one with none. The limiter and the meter are the host's own code; what it does
//! with them around a call is repeated here, in [`Guest::send`], with a switch for each.

use std::{path::Path, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::time::{ClockId, clock_gettime};
use wasmtime::{
    Config, Engine, Store, UpdateDeadline,
    component::{Component, HasSelf, Linker, ResourceTable},
};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use self::{
    budget::MemoryBudget,
    conductor::channel::{channel_types, http, log, secrets, smtp, state},
    limiter::MemoryLimiter,
    meter::{CpuMeter, Metered},
};
use crate::{
    figures::{Figure, Goal, Report, median},
    limits,
};

#[allow(dead_code, unused_imports, reason = "the host's own file, of which this needs a part")]
#[path = "../host/src/sandbox/background.rs"]
mod background;
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the host's own file, of which this needs a part"
)]
#[path = "../host/src/sandbox/budget.rs"]
mod budget;
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "the host's own file, of which this needs a part"
)]
#[path = "../host/src/cli/json_lines.rs"]
mod json_lines;
#[allow(dead_code, unused_imports, reason = "the host's own file, of which this needs a part")]
#[path = "../host/src/sandbox/limiter.rs"]
mod limiter;
#[allow(dead_code, unused_imports, reason = "the host's own file, of which this needs a part")]
#[path = "../host/src/sandbox/meter.rs"]
mod meter;

wasmtime::component::bindgen!({
    path: "../wit/channel-0.1.0",
    world: "plugin",
    imports: {
        "conductor:channel/http.fetch": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

const MESSAGE_ID: &str = "01a20100-df98-7b2d-b525-f6e6d8e7023d";
/// Sends in one look at the clock.
const BATCH: u32 = 500;
/// All stores in turn, so often.
const ROUNDS: usize = 15;

/// Which guards are up.
#[derive(Clone, Copy, Default)]
struct Guards {
    /// The epoch's checks in the compiled code, and the callback that yields or ends.
    epoch: bool,
    /// Who is asked when memory or tables grow.
    limiter: bool,
    /// Bounds on what one host call copies, and on handles.
    host_calls: bool,
    /// The CPU time of the thread, in front of each poll and behind it.
    meter: bool,
    /// The wall time.
    wall: bool,
}

impl Guards {
    const NONE: Self =
        Self { epoch: false, limiter: false, host_calls: false, meter: false, wall: false };
    const ALL: Self =
        Self { epoch: true, limiter: true, host_calls: true, meter: true, wall: true };
}

/// Guests of each kind, started in turn: where a guest lies in memory makes a difference of some
/// percent.
const COPIES: usize = 4;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let none = Guards::NONE;
    let cases = [
        ("none", none),
        ("all", Guards::ALL),
        ("the epoch alone", Guards { epoch: true, ..none }),
        ("the limiter alone", Guards { limiter: true, ..none }),
        ("the bounds of host calls alone", Guards { host_calls: true, ..none }),
        ("the meter alone", Guards { meter: true, ..none }),
        ("the wall time alone", Guards { wall: true, ..none }),
    ];
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/log.wasm");
    let bytes = std::fs::read(&file).with_context(|| format!("reading {}", file.display()))?;
    let computing = measure(&bytes, &cases.map(|(_, guards)| guards), Line::Nowhere)?;
    let [none, all, ..] = computing.as_slice() else { return Ok(()) };
    for ((name, _), took_ns) in cases.iter().zip(&computing).skip(2) {
        report.note(&format!("{name}: {took_ns:.0} ns, {:.3} of none", took_ns / none));
    }
    report.add(Figure {
        name: "a send of log without its line, all guards",
        unit: "us of CPU",
        value: all / 1e3,
        baseline: Some(("with none", none / 1e3)),
        goal: Goal::None,
    });
    let whole = measure(&bytes, &[Guards::NONE, Guards::ALL], Line::Written)?;
    let [none, all] = whole.as_slice() else { return Ok(()) };
    report.add(Figure {
        name: "a send of log with all guards",
        unit: "us of CPU",
        value: all / 1e3,
        baseline: Some(("with none", none / 1e3)),
        goal: Goal::RatioAtMost(1.1),
    });
    Ok(())
}

/// What the import `log` does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Nothing: what is left is what the guest computes, and its guards.
    Nowhere,
    /// It writes the line as the host does, as JSON to a file that keeps nothing.
    Written,
}

/// Nanoseconds of one send for each of `cases`: medians.
fn measure(bytes: &[u8], cases: &[Guards], line: Line) -> Result<Vec<f64>> {
    let runtime = crate::load::runtime()?;
    let mut guests = Vec::new();
    for _ in 0..COPIES {
        for (case, guards) in cases.iter().enumerate() {
            guests.push((case, runtime.block_on(Guest::new(bytes, *guards, line))?));
        }
    }
    let sink = std::fs::File::options().write(true).open("/dev/null")?;
    let lines = tracing_subscriber::fmt()
        .event_format(json_lines::JsonLines)
        .with_writer(std::sync::Mutex::new(sink))
        .finish();
    let mut took_ns = vec![Vec::new(); cases.len()];
    tracing::subscriber::with_default(lines, || -> Result<()> {
        for _ in 0..ROUNDS {
            for (case, guest) in &mut guests {
                let began = thread_cpu();
                runtime.block_on(guest.send_many(BATCH))?;
                let took = (thread_cpu() - began).as_nanos() as f64 / f64::from(BATCH);
                took_ns.get_mut(*case).context("no such case")?.push(took);
            }
        }
        Ok(())
    })?;
    Ok(took_ns.iter_mut().map(|values| median(values)).collect())
}

/// What this thread has computed: others on the machine do not count.
fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

struct Guest {
    guards: Guards,
    store: Store<State>,
    plugin: Plugin,
    message: channel_types::Message,
}

impl Guest {
    async fn new(bytes: &[u8], guards: Guards, line: Line) -> Result<Self> {
        let mut config = Config::new();
        config.epoch_interruption(guards.epoch);
        config.max_wasm_stack(limits::WASM_STACK_BYTES);
        config.async_stack_size(limits::FIBER_STACK_BYTES);
        let engine = Engine::new(&config)?;
        if guards.epoch {
            tick(&engine);
        }
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        Plugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |state| state)?;
        let mut store = Store::new(&engine, State::new(line));
        if guards.limiter {
            store.limiter(|state| &mut state.memory);
        }
        if guards.host_calls {
            store.set_hostcall_fuel(limits::HOST_CALL_COPY_BYTES);
            store.set_max_component_handles(limits::RESOURCES_MAX);
        }
        if guards.epoch {
            store.epoch_deadline_callback(move |mut context| {
                let state = context.data_mut();
                if !guards.meter {
                    // Turns are given back by the meter.
                    return Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())));
                }
                let used = state.cpu.used_while_polled();
                if used >= limits::SEND_CPU_DEFAULT {
                    return Ok(UpdateDeadline::Interrupt);
                }
                Ok(UpdateDeadline::YieldCustom(1, CpuMeter::next_slice(used)))
            });
            // Not while it starts, which is not metered here.
            store.set_epoch_deadline(1_000_000);
        }
        let component = Component::new(&engine, bytes)?;
        let plugin = Plugin::instantiate_async(&mut store, &component, &linker).await?;
        let context = channel_types::Context {
            tenant_id: String::from("019aa7c4-5e00-7c3a-9b51-000000000000"),
            tenant_name: String::from("bench"),
            channel: String::from("log"),
            options: String::from("{}"),
            secrets: Vec::new(),
        };
        let channel = plugin.conductor_channel_channel();
        let started = channel.call_initialize(&mut store, &context).await?;
        ensure!(started.is_ok(), "the guest log does not start");
        Ok(Self { guards, store, plugin, message: message() })
    }

    async fn send_many(&mut self, times: u32) -> Result<()> {
        for _ in 0..times {
            self.send().await?;
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let Guards { epoch, meter, wall, .. } = self.guards;
        let cpu = Arc::clone(&self.store.data().cpu);
        if epoch {
            self.store.set_epoch_deadline(1);
        }
        let call = self.plugin.conductor_channel_channel();
        let call = call.call_send(&mut self.store, &self.message);
        let answer = match (meter, wall) {
            (false, false) => call.await?,
            (false, true) => tokio::time::timeout(limits::SEND_WALL_DEFAULT, call).await??,
            (true, wall) => {
                cpu.reset();
                // Without the wall time it is one that never comes.
                let day = Duration::from_secs(24 * 60 * 60);
                let wall = if wall { limits::SEND_WALL_DEFAULT } else { day };
                let call = std::pin::pin!(call);
                let answer = Metered::new(Arc::clone(&cpu), wall, call).await;
                let answer = answer.map_err(|_| anyhow!("the guest log takes too long"))??;
                std::hint::black_box(cpu.used());
                answer
            }
        };
        ensure!(answer.is_ok(), "the guest log does not deliver");
        Ok(())
    }
}

/// The epoch's clock, as the host has it; it ends with the engine.
fn tick(engine: &Engine) {
    let engine = engine.weak();
    thread::spawn(move || {
        while let Some(engine) = engine.upgrade() {
            engine.increment_epoch();
            drop(engine);
            thread::sleep(limits::EPOCH_TICK);
        }
    });
}

fn message() -> channel_types::Message {
    channel_types::Message {
        id: String::from(MESSAGE_ID),
        delivery_key: String::from("01a20100-df98-7b2d-b525-f6e6d8e7023d:0"),
        attempt: 1,
        target: None,
        title: Some(String::from("disk almost full")),
        body: String::from("The disk of the database has less than ten percent left."),
        format: channel_types::Format::Plain,
        priority: channel_types::Priority::Normal,
        data: String::from("{}"),
        attachments: Vec::new(),
        created_at: String::from("2026-01-01T00:00:00Z"),
        expires_at: None,
        deadline_ms: 10_000,
    }
}

/// The data of a store. All imports but `log` do nothing.
struct State {
    line: Line,
    memory: MemoryLimiter,
    cpu: Arc<CpuMeter>,
    wasi: WasiCtx,
    table: ResourceTable,
}

impl State {
    fn new(line: Line) -> Self {
        Self {
            line,
            memory: MemoryLimiter::new(
                limits::MEMORY_BYTES_DEFAULT,
                MemoryBudget::new(limits::MEMORY_BYTES_MAX),
            ),
            cpu: Arc::new(CpuMeter::new(Arc::new(meter::Activity::default()))),
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl channel_types::Host for State {}

impl log::Host for State {
    fn write(
        &mut self,
        _level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if self.line == Line::Written {
            let mut text = message;
            for (name, value) in &fields {
                text.push_str(&format!(" {name}={value}"));
            }
            tracing::info!(
                tenant = "019aa7c4-5e00-7c3a-9b51-000000000000",
                channel = "log",
                plugin = "log",
                digest = "sha256:0123456789ab",
                notification = MESSAGE_ID,
                source = "log",
                "{text}"
            );
        } else {
            std::hint::black_box((message, fields));
        }
        Ok(())
    }
}

impl http::Host for State {
    async fn fetch(
        &mut self,
        _request: http::Request,
    ) -> wasmtime::Result<Result<http::Response, http::HttpError>> {
        Ok(Err(http::HttpError::Denied(String::new())))
    }
}

impl secrets::Host for State {
    fn placeholder(
        &mut self,
        _name: String,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }

    fn basic_auth(
        &mut self,
        _username: String,
        _password_secret: String,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }

    fn sign(
        &mut self,
        _name: String,
        _encoding: secrets::KeyEncoding,
        _algorithm: secrets::SignatureAlgorithm,
        _data: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }

    fn jwt(
        &mut self,
        _name: String,
        _request: secrets::JwtRequest,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }

    fn keep(
        &mut self,
        _name: String,
        _value: String,
        _ttl_ms: u32,
    ) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }

    fn forget(&mut self, _name: String) -> wasmtime::Result<()> {
        Ok(())
    }

    fn reveal(&mut self, _name: String) -> wasmtime::Result<Result<String, secrets::SecretError>> {
        Ok(Err(secrets::SecretError::Unknown))
    }
}

impl smtp::Host for State {
    fn submit(
        &mut self,
        _submission: smtp::Submission,
    ) -> wasmtime::Result<Result<smtp::Acceptance, smtp::SmtpError>> {
        Ok(Err(smtp::SmtpError::Denied(String::new())))
    }

    fn check(
        &mut self,
        _server: smtp::Server,
        _timeout_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), smtp::SmtpError>> {
        Ok(Err(smtp::SmtpError::Denied(String::new())))
    }
}

impl state::Host for State {
    fn get(&mut self, _key: String) -> wasmtime::Result<Option<Vec<u8>>> {
        Ok(None)
    }

    fn set(
        &mut self,
        _key: String,
        _value: Vec<u8>,
        _ttl_ms: Option<u32>,
    ) -> wasmtime::Result<Result<(), state::StateError>> {
        Ok(Ok(()))
    }

    fn remove(&mut self, _key: String) -> wasmtime::Result<()> {
        Ok(())
    }
}
