//! One instance: a store with all its limits set, and the only code that calls into it.
//!
//! After a fault the store is finished: it is dropped and never called again. That is why every
//! call takes the instance by value and gives it back only if all went well.

use std::{sync::Arc, time::Duration};

use wasmtime::{Store, Trap, UpdateDeadline, component::ResourceTableError};

use super::{
    binding::Spec,
    bindings::v0_1_0::{self, channel_types},
    door::Door,
    engine::Engine,
    limiter::MemoryLimiter,
    log::LogSink,
    meter::{CpuMeter, Metered},
    observer::Observer,
    outcome::{Fault, FaultKind, Health, Outcome, Problem},
    plugin::Runs,
    state::InstanceState,
    usage::Usage,
};
use crate::{
    envelope::{Attachment, Envelope},
    ids::{Digest, NotificationId},
    limits,
    store::Priority,
};

/// One `send` to make.
#[derive(Debug)]
pub struct SendCall {
    /// Which notification.
    pub id: NotificationId,
    /// 0, and one more with every replay.
    pub generation: u32,
    /// From 1.
    pub attempt: u32,
    /// How urgent.
    pub priority: Priority,
    /// When it was accepted (RFC 3339).
    pub created_at: String,
    /// After this moment nobody wants it (RFC 3339).
    pub expires_at: Option<String>,
    /// What is to be delivered.
    pub envelope: Envelope,
}

/// A live instance of a plugin, initialized. Boxed wherever it is held: it is large, and is handed
/// on with every call.
pub(super) struct Instance {
    store: Store<InstanceState>,
    plugin: v0_1_0::Plugin,
    wall: Duration,
    cpu: Duration,
}

/// Why there is no instance.
#[derive(Debug)]
pub(super) enum StartError {
    /// The plugin misbehaved.
    Fault(Fault),
    /// It says that it cannot work like this.
    Refused { problem: Problem, temporary: bool },
}

pub(super) fn new_store(engine: &Engine, state: InstanceState) -> Store<InstanceState> {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that makes a store")]
    let mut store = Store::new(engine.wasmtime(), state);
    store.limiter(|state| &mut state.memory);
    store.set_hostcall_fuel(limits::HOST_CALL_COPY_BYTES);
    store.set_max_component_handles(limits::RESOURCES_MAX);
    store.epoch_deadline_callback(|mut context| {
        let state = context.data_mut();
        let used = state.cpu.used_while_polled();
        if used >= state.cpu_budget {
            state.cpu_exhausted = true;
            return Ok(UpdateDeadline::Interrupt);
        }
        Ok(UpdateDeadline::YieldCustom(1, CpuMeter::next_slice(used)))
    });
    store
}

/// Makes ready for one call: resets what is counted per call.
pub(super) fn arm(
    store: &mut Store<InstanceState>,
    wall: Duration,
    cpu: Duration,
    notification: &str,
) {
    store.data_mut().begin(wall, cpu, notification);
    store.set_epoch_deadline(1);
}

/// Runs one call inside its wall time, billing its CPU time.
macro_rules! run {
    ($store:expr, $wall:expr, $call:expr) => {{
        let meter = Arc::clone(&$store.data().cpu);
        let answer = {
            let call = std::pin::pin!($call);
            Metered::new(meter, $wall, call).await
        };
        match answer {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(classify($store.data(), &error)),
            Err(_) => Err(Fault {
                kind: FaultKind::Timeout,
                detail: format!("no answer within {} ms", $wall.as_millis()),
            }),
        }
    }};
}
pub(super) use run;

pub(super) fn classify(state: &InstanceState, error: &wasmtime::Error) -> Fault {
    let (kind, detail) = if state.cpu_exhausted {
        let budget_ms = state.cpu_budget.as_millis();
        (FaultKind::Cpu, format!("it computed for more than {budget_ms} ms"))
    } else if state.memory.refused() {
        (FaultKind::Memory, String::from("it wanted more memory than it may have"))
    } else if state.memory.starved() {
        let detail = "all plugins together have the memory that they may have; it is tried again";
        (FaultKind::HostMemory, String::from(detail))
    } else {
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => (FaultKind::Stack, String::from("it recursed too deeply")),
            Some(Trap::UnreachableCodeReached) => {
                (FaultKind::Trap, String::from("it panicked or aborted (see its log)"))
            }
            Some(trap) => (FaultKind::Trap, trap.to_string()),
            None => {
                let text = format!("{error:#}");
                let kind = if is_host_call_limit(error, &text) {
                    FaultKind::HostCall
                } else {
                    FaultKind::Trap
                };
                let text = state.scrub(&text);
                (kind, super::log::cut(&text, limits::ERROR_BYTES_MAX).to_owned())
            }
        }
    };
    Fault { kind, detail }
}

/// What `initialize` gets.
pub(super) fn context(spec: &Spec) -> channel_types::Context {
    channel_types::Context {
        tenant_id: spec.tenant_id.clone(),
        tenant_name: spec.tenant_name.clone(),
        channel: spec.speaker.channel.clone(),
        options: spec.options.clone(),
        secrets: spec.secret_names.clone(),
    }
}

/// The state of a new instance of `spec`.
pub(super) fn new_state(
    engine: &Engine,
    spec: &Spec,
    observer: &Arc<dyn Observer>,
) -> InstanceState {
    let log = LogSink::new(Arc::clone(&spec.speaker), Some(Arc::clone(&spec.egress)));
    InstanceState::new(
        log,
        Arc::clone(&spec.kv),
        Some(Door::new(
            Arc::clone(&spec.egress),
            Arc::clone(observer),
            spec.plugin.name().clone(),
            spec.lane.clone(),
        )),
        MemoryLimiter::new(spec.limits.memory_bytes, Arc::clone(&spec.memory)),
        engine.cpu_meter(),
    )
}

/// Whether the guest gave the host more, or wanted more of it, than one call or one instance may.
/// Of these only the first has a type of its own in wasmtime; the others are known by their words,
/// which the tests hold.
fn is_host_call_limit(error: &wasmtime::Error, text: &str) -> bool {
    const WORDS: [&str; 5] = [
        // Store::set_hostcall_fuel
        "fuel allocated for hostcalls",
        // Store::set_max_component_handles
        "store handle limit exceeded",
        // WasiCtxBuilder::max_random_size: "requested len 7 exceeds limit 6"
        "exceeds limit",
        "too large",
        super::operations::TOO_MANY,
    ];
    matches!(error.downcast_ref(), Some(ResourceTableError::Full))
        || WORDS.iter().any(|words| text.contains(words))
}

/// The part of a digest that people compare.
pub(super) fn short(digest: Digest) -> String {
    let mut text = digest.to_string();
    text.truncate("sha256:".len() + 12);
    text
}

impl Instance {
    /// Instantiates and initializes.
    pub(super) async fn start(
        engine: &Engine,
        spec: &Spec,
        observer: &Arc<dyn Observer>,
    ) -> Result<Box<Self>, StartError> {
        let mut store = new_store(engine, new_state(engine, spec, observer));
        let wall = limits::INITIALIZE_WALL;
        // A language runtime starts up in here: it may compute as long as it may take.
        arm(&mut store, wall, wall, "");
        let Runs::Plain(pre) = spec.plugin.runs() else {
            return Err(StartError::Fault(Fault {
                kind: FaultKind::Start,
                detail: String::from("it is of the async flavour"),
            }));
        };
        let started = run!(store, wall, pre.instantiate_async(&mut store));
        let plugin = started.map_err(StartError::Fault)?;
        let context = context(spec);
        let channel = plugin.conductor_channel_channel();
        let answer = run!(store, wall, channel.call_initialize(&mut store, &context));
        match answer.map_err(StartError::Fault)? {
            Ok(()) => {
                Ok(Box::new(Self { store, plugin, wall: spec.limits.wall, cpu: spec.limits.cpu }))
            }
            Err(failure) => {
                let (problem, temporary) = v0_1_0::failure(failure);
                let Problem { code, detail } = problem;
                let problem = Problem { code: spec.clean(&code), detail: spec.clean(&detail) };
                Err(StartError::Refused { problem, temporary })
            }
        }
    }

    /// One `send`. The instance comes back unless it failed.
    pub(super) async fn send(
        mut self: Box<Self>,
        call: SendCall,
    ) -> (Outcome, Usage, Option<Box<Self>>) {
        let wall = self.wall;
        let id = call.id.to_string();
        arm(&mut self.store, wall, self.cpu, &id);
        let message = match message(call, id, wall) {
            Ok(message) => message,
            Err(problem) => return (Outcome::Rejected(problem), Usage::default(), Some(self)),
        };
        let channel = self.plugin.conductor_channel_channel();
        let answer = run!(self.store, wall, channel.call_send(&mut self.store, &message));
        let usage = self.usage();
        match answer {
            Ok(result) => (v0_1_0::outcome(result), usage, Some(self)),
            Err(fault) => (Outcome::Fault(fault), usage, None),
        }
    }

    /// Asks the plugin how it is.
    pub(super) async fn health(mut self: Box<Self>) -> Result<(Health, Box<Self>), Fault> {
        let wall = limits::HEALTH_WALL;
        arm(&mut self.store, wall, self.cpu, "");
        let channel = self.plugin.conductor_channel_channel();
        let report = run!(self.store, wall, channel.call_health(&mut self.store))?;
        let mut health = v0_1_0::health(report);
        health.detail = health.detail.map(|detail| self.store.data().scrub(&detail));
        Ok((health, self))
    }

    /// The last call, and the end.
    pub(super) async fn shutdown(mut self: Box<Self>) -> Result<(), Fault> {
        let wall = limits::SHUTDOWN_WALL;
        arm(&mut self.store, wall, self.cpu, "");
        let channel = self.plugin.conductor_channel_channel();
        run!(self.store, wall, channel.call_shutdown(&mut self.store))
    }

    fn usage(&mut self) -> Usage {
        let state = self.store.data_mut();
        let logged = state.log.take_logged();
        let sent = state.door.as_ref().map(Door::take_traffic).unwrap_or_default();
        Usage {
            cpu: state.cpu.used(),
            memory_bytes_peak: state.memory.bytes_peak(),
            host_calls: std::mem::take(state.host_calls.get_mut()) + logged.lines + sent.requests,
            bytes_out: sent.bytes_out,
            bytes_in: sent.bytes_in,
            log_bytes: logged.bytes,
            log_lines_dropped: logged.dropped,
            starved: state.memory.take_starved(),
            contact: state.door.as_ref().and_then(Door::take_contact),
        }
    }
}

pub(super) fn message(
    call: SendCall,
    id: String,
    wall: Duration,
) -> Result<channel_types::Message, Problem> {
    let envelope = call.envelope;
    let attachments: Result<Vec<_>, Problem> =
        envelope.attachments.into_iter().map(attachment).collect();
    Ok(channel_types::Message {
        delivery_key: format!("{id}:{}", call.generation),
        id,
        attempt: call.attempt,
        target: envelope.target_id,
        title: envelope.title,
        body: envelope.message,
        format: v0_1_0::format(envelope.format),
        priority: v0_1_0::priority(call.priority),
        data: if envelope.data.is_empty() {
            String::from("{}")
        } else {
            serde_json::Value::Object(envelope.data).to_string()
        },
        attachments: attachments?,
        created_at: call.created_at,
        expires_at: call.expires_at,
        deadline_ms: u32::try_from(wall.as_millis()).unwrap_or(u32::MAX),
    })
}

fn attachment(attachment: Attachment) -> Result<channel_types::Attachment, Problem> {
    use base64::Engine as _;
    let content =
        base64::engine::general_purpose::STANDARD.decode(&attachment.content).map_err(|error| {
            Problem {
                code: String::from("invalid_attachment"),
                detail: format!("attachment \"{}\" is not base64: {error}", attachment.name),
            }
        })?;
    Ok(channel_types::Attachment {
        name: attachment.name,
        content_type: attachment.content_type,
        content,
    })
}
