//! One instance of the async flavour. Like a plain one it is taken by value at every call and given
//! back only if all went well.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use wasmtime::Store;

use super::{
    binding::Spec,
    bindings::{
        v0_1_0,
        v0_1_0_async::{Answer, Event, PluginAsync},
    },
    door::Contact,
    engine::Engine,
    instance::{StartError, arm, classify, context, new_state, new_store, run},
    meter::Metered,
    observer::Observer,
    operations::{Operations, Order},
    outcome::{Fault, FaultKind},
    plugin::Runs,
    state::InstanceState,
};
use crate::limits;

/// How often an instance may write [`limits::LOG_CALL_BYTES_MAX`]: it has no calls of its own by
/// which to count.
const LOG_WINDOW: Duration = Duration::from_secs(1);

/// A live instance of the async flavour, initialized.
pub(super) struct AsyncInstance {
    store: Store<InstanceState>,
    plugin: PluginAsync,
    wall: Duration,
    allowance: Allowance,
    /// Used since the last call that was answered.
    cpu_unbilled: Duration,
    log_since: Instant,
}

impl AsyncInstance {
    /// Instantiates and initializes.
    pub(super) async fn start(
        engine: &Engine,
        spec: &Spec,
        observer: &Arc<dyn Observer>,
    ) -> Result<Box<Self>, StartError> {
        let Runs::Async(pre) = spec.plugin.runs() else {
            return Err(StartError::Fault(Fault {
                kind: FaultKind::Start,
                detail: String::from("it is of the plain flavour"),
            }));
        };
        let mut state = new_state(spec, observer);
        state.operations = Some(Box::new(Operations::new(&spec.limits)));
        let mut store = new_store(engine, state);
        let wall = limits::INITIALIZE_WALL;
        // A language runtime starts up in here: it may compute as long as it may take.
        arm(&mut store, wall, wall, "");
        let started = run!(store, wall, pre.instantiate_async(&mut store));
        let plugin = started.map_err(StartError::Fault)?;
        let channel = plugin.conductor_channel_channel_async();
        let context = context(spec);
        let answer = run!(store, wall, channel.call_initialize(&mut store, &context));
        match answer.map_err(StartError::Fault)? {
            Ok(()) => {
                let now = Instant::now();
                Ok(Box::new(Self {
                    store,
                    plugin,
                    wall: spec.limits.wall,
                    allowance: Allowance::new(spec.limits.cpu, now),
                    cpu_unbilled: Duration::ZERO,
                    log_since: now,
                }))
            }
            Err(failure) => {
                let (problem, temporary) = v0_1_0::failure(failure);
                Err(StartError::Refused { problem, temporary })
            }
        }
    }

    /// One turn, with so many operations running. The instance comes back unless it failed.
    pub(super) async fn turn(
        mut self: Box<Self>,
        events: Vec<Event>,
        running: usize,
    ) -> Result<(Vec<Answer>, Box<Self>), Fault> {
        let now = Instant::now();
        let calls = events.iter().filter(|event| matches!(event, Event::Send(_))).count();
        let budget = self.allowance.begin_turn(now, calls);
        let state = self.store.data_mut();
        state.begin_turn(self.wall, budget);
        if now.duration_since(self.log_since) >= LOG_WINDOW {
            self.log_since = now;
            state.log.begin("");
        } else {
            state.log.speak_of("");
        }
        if let Some(operations) = &mut state.operations {
            operations.begin_turn(running);
        }
        self.store.set_epoch_deadline(1);
        let channel = self.plugin.conductor_channel_channel_async();
        let answers = run!(self.store, self.wall, channel.call_turn(&mut self.store, &events));
        let used = self.store.data().cpu.used();
        self.cpu_unbilled += used;
        self.allowance.spend(used);
        match answers {
            Ok(answers) => Ok((answers, self)),
            Err(fault) if fault.kind == FaultKind::Cpu => Err(self.allowance.explain(fault)),
            Err(fault) => Err(fault),
        }
    }

    /// What the last turn started and cancelled.
    pub(super) fn take_orders(&mut self) -> Vec<Order> {
        let operations = &mut self.store.data_mut().operations;
        operations.as_deref_mut().map(Operations::take_orders).unwrap_or_default()
    }

    /// A call begins.
    pub(super) fn begin_call(
        &mut self,
        call: u32,
        deadline: tokio::time::Instant,
        notification: String,
    ) {
        self.store.data_mut().begin_call(call, deadline, notification);
    }

    /// A call is over: whom it has spoken to last.
    pub(super) fn end_call(&mut self, call: u32) -> Option<Contact> {
        self.store.data_mut().end_call(call)
    }

    /// What is billed to the call that is over: the CPU time since the last one, so that the sum is
    /// right.
    pub(super) fn take_usage(&mut self) -> super::Usage {
        let state = self.store.data();
        super::Usage {
            cpu: std::mem::take(&mut self.cpu_unbilled),
            memory_bytes_peak: state.memory.bytes_peak(),
            log_lines_dropped: state.log.take_dropped(),
            contact: None,
        }
    }
}

/// What an instance may compute: `cpu_ms` to begin with and for each send, and a part of the time
/// that passes. What spins from turn to turn has used it up at some point.
#[derive(Debug)]
struct Allowance {
    /// `cpu_ms`, and what one turn may use.
    grain: Duration,
    left: Duration,
    refilled: Instant,
    /// What the running turn may use.
    budget: Duration,
}

impl Allowance {
    const fn new(grain: Duration, now: Instant) -> Self {
        Self { grain, left: grain, refilled: now, budget: grain }
    }

    /// What the turn may use that begins now and takes so many sends.
    fn begin_turn(&mut self, now: Instant, calls: usize) -> Duration {
        let passed = now.duration_since(self.refilled);
        self.refilled = now;
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        let more = passed
            .mul_f64(limits::CPU_ALLOWANCE_PER_WALL)
            .saturating_add(self.grain.saturating_mul(calls));
        let most = self.grain.saturating_mul(limits::CPU_ALLOWANCE_MAX);
        self.left = self.left.saturating_add(more).min(most);
        self.budget = self.left.min(self.grain);
        self.budget
    }

    const fn spend(&mut self, used: Duration) {
        self.left = self.left.saturating_sub(used);
    }

    /// A CPU fault in the words of what was used up: one turn's time, or all of them.
    fn explain(&self, fault: Fault) -> Fault {
        if self.budget >= self.grain {
            return fault;
        }
        let detail = format!(
            "it computes without a message to send: more than {} % of the time that passes",
            limits::CPU_ALLOWANCE_PER_WALL * 100.0
        );
        Fault { detail, ..fault }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Duration = Duration::from_millis(100);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn each_send_brings_its_time_and_idle_time_a_tenth() {
        let now = Instant::now();
        let mut allowance = Allowance::new(CPU, now);
        assert_eq!(allowance.begin_turn(now, 0), CPU);
        allowance.spend(ms(90));
        assert_eq!(allowance.begin_turn(now, 0), ms(10));
        assert_eq!(allowance.begin_turn(now + ms(200), 0), ms(30));
        allowance.spend(ms(30));
        assert_eq!(allowance.begin_turn(now + ms(200), 0), Duration::ZERO);
        assert_eq!(allowance.begin_turn(now + ms(200), 3), CPU, "a turn has one share at most");
        allowance.spend(CPU);
        assert_eq!(allowance.begin_turn(now + ms(200), 0), CPU, "the others are left");
    }

    #[test]
    fn what_is_saved_up_has_an_end() {
        let now = Instant::now();
        let mut allowance = Allowance::new(CPU, now);
        allowance.begin_turn(now + Duration::from_hours(10), 1_000);
        for _ in 0..limits::CPU_ALLOWANCE_MAX {
            assert_eq!(allowance.begin_turn(now + Duration::from_hours(10), 0), CPU);
            allowance.spend(CPU);
        }
        assert_eq!(allowance.begin_turn(now + Duration::from_hours(10), 0), Duration::ZERO);
    }
}
