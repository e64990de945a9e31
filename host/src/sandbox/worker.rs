//! A worker: the task that owns one instance, from its first call to its last.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    binding::{Binding, Job},
    instance::{Instance, StartError},
    observer::Observer,
    outcome::{Outcome, RetryScope},
    usage::Usage,
};
use crate::{ids::PluginName, limits};

/// What a worker is told.
pub(super) enum Message {
    /// Do this.
    Job(Box<Job>),
    /// Shut the instance down and end.
    Stop,
}

/// Serves `first` and then whatever comes, until it is told to stop or its instance fails.
pub(super) async fn run(binding: &Binding, first: Job) {
    let (sender, mut messages) = mpsc::channel(1);
    let mut next = Some(first);
    let mut held: Option<Held> = None;
    loop {
        let job = match next.take() {
            Some(job) => job,
            None => {
                if !binding.park(sender.clone()) {
                    break;
                }
                // The registry ends workers that are idle for too long: one clock for all of them,
                // where a timer each would be set and unset at every call.
                match messages.recv().await {
                    Some(Message::Job(job)) => *job,
                    Some(Message::Stop) | None => break,
                }
            }
        };
        let Job { call, reply } = job;
        binding.habit.begin().await;
        let instance = match held.take() {
            Some(held) => held,
            None => {
                // Boxed, like the end: the task keeps room for what it holds at the same time, and
                // would keep this room as long as it lives.
                let start = Instance::start(&binding.engine, &binding.spec, &binding.observer);
                match Box::pin(start).await {
                    Ok(instance) => {
                        binding.observer.instance_started(binding.spec.plugin.name());
                        Held::new(instance, binding)
                    }
                    Err(StartError::Fault(fault)) => {
                        binding.struck(&fault, None, reply.probe);
                        reply.give(Outcome::Fault(fault), Usage::default());
                        return;
                    }
                    Err(StartError::Refused { problem, temporary: true }) => {
                        let scope = RetryScope::Credential;
                        let outcome = Outcome::Retry { problem, after: None, scope };
                        reply.give(outcome, Usage::default());
                        return;
                    }
                    Err(StartError::Refused { problem, temporary: false }) => {
                        reply.give(Outcome::Misconfigured(problem), Usage::default());
                        return;
                    }
                }
            }
        };
        let Held { instance, born, age_max, calls, ended } = instance;
        let id = call.id;
        let (outcome, usage, back) = instance.send(call).await;
        let outcome = outcome.map_texts(|text| binding.spec.clean(text));
        binding.charge(&usage);
        match back {
            Some(instance) => {
                binding.succeeded();
                reply.give(outcome, usage);
                let calls = calls + 1;
                let spent = Held { instance, born, age_max, calls, ended };
                if spent.is_worn() {
                    Box::pin(spent.end(binding)).await;
                } else {
                    held = Some(spent);
                }
            }
            None => {
                if let Outcome::Fault(fault) = &outcome {
                    binding.struck(fault, Some(id), reply.probe);
                }
                reply.give(outcome, usage);
                return;
            }
        }
    }
    if let Some(held) = held {
        Box::pin(held.end(binding)).await;
    }
}

/// An instance with its age.
struct Held {
    instance: Box<Instance>,
    born: Instant,
    age_max: Duration,
    calls: u32,
    ended: Ended,
}

/// Tells, by being dropped, that an instance is gone, by whatever way.
pub(super) struct Ended(Arc<dyn Observer>, PluginName);

impl Ended {
    pub(super) fn new(binding: &Binding) -> Self {
        Self(Arc::clone(&binding.observer), binding.spec.plugin.name().clone())
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.instance_ended(&self.1);
    }
}

impl Held {
    fn new(instance: Box<Instance>, binding: &Binding) -> Self {
        let age_max = limits::INSTANCE_AGE_MAX.mul_f64(0.9 + 0.2 * fastrand::f64());
        let ended = Ended::new(binding);
        Self { instance, born: Instant::now(), age_max, calls: 0, ended }
    }

    fn is_worn(&self) -> bool {
        self.calls >= limits::INSTANCE_CALLS_MAX || self.born.elapsed() >= self.age_max
    }

    async fn end(self, binding: &Binding) {
        if let Err(fault) = self.instance.shutdown().await {
            // It is gone either way; the record is for the plugin's author.
            binding.observer.fault(binding.spec.plugin.name(), fault.kind);
            tracing::warn!(
                tenant = binding.spec.tenant_id,
                channel = %binding.spec.lane.channel,
                plugin = %binding.spec.plugin.name(),
                "`shutdown` failed: {fault}"
            );
        }
    }
}
