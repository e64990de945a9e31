//! A binding: one tenant's channel with its plugin, options, secrets and grants, and the pool of
//! instances that work for it and for nobody else.
//!
//! Work is handed to *workers*. A worker is a task that owns one instance; an idle one waits on a
//! stack, so that the instance used last is used next and the others can age and go. The pool never
//! queues: a job is taken at once or given back with the reason, and the queue stays where it is
//! durable.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{
    crash::{CrashRecord, Gate},
    engine::Engine,
    instance::SendCall,
    instance::Usage,
    kv::Kv,
    log::Speaker,
    observer::Observer,
    outcome::{Fault, FaultKind, Outcome},
    plugin::LoadedPlugin,
    worker::{self, Message},
};
use crate::{
    config::{Channel, PluginLimits},
    egress::BindingEgress,
    ids::Digest,
    limits,
    store::Lane,
    tasks::Tasks,
};

/// Everything that an instance of this binding is made from.
pub(super) struct Spec {
    pub(super) lane: Lane,
    pub(super) tenant_id: String,
    pub(super) tenant_name: String,
    pub(super) speaker: Arc<Speaker>,
    pub(super) options: String,
    pub(super) secret_names: Vec<String>,
    pub(super) egress: Arc<BindingEgress>,
    pub(super) kv: Arc<Kv>,
    pub(super) limits: Arc<PluginLimits>,
    pub(super) plugin: Arc<LoadedPlugin>,
    /// What it was made from, to tell whether a new configuration changes it.
    pub(super) channel: Arc<Channel>,
    pub(super) grants: Arc<crate::config::Grants>,
}

impl Spec {
    /// What the plugin or the provider says, as it may be kept and shown: without secrets, and no
    /// longer than anybody reads. In this order, or half a secret would stay.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut text = self.egress.vault().scrub(text);
        text.truncate(text.floor_char_boundary(limits::ERROR_BYTES_MAX));
        text
    }
}

/// What came of one call.
#[derive(Debug)]
pub struct Report {
    /// The outcome.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// How long it took, from the hand-over to the answer.
    pub took: std::time::Duration,
    /// Which file ran.
    pub digest: Digest,
}

/// Who is told how a call went: one of the two, exactly once, whatever happens to the worker.
pub trait Answer: Send {
    /// The call was made.
    fn called(self: Box<Self>, report: Report);
    /// The call was not taken, and nothing was done.
    fn refused(self: Box<Self>);
}

/// Where the report goes.
pub(super) struct Reply {
    to: Option<Box<dyn Answer>>,
    handed_over: Instant,
    digest: Digest,
}

/// A call and where its report goes.
pub(super) struct Job {
    pub(super) call: SendCall,
    pub(super) reply: Reply,
}

/// Why a call was not taken. Nothing was done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// All the instances it may have are busy.
    Saturated,
    /// After crashes: not before this moment.
    Paused {
        /// When to come back.
        until: Instant,
        /// Whether it is a quarantine.
        quarantined: bool,
    },
    /// The configuration has changed: ask for the binding again.
    Retired,
}

/// How a binding is, for reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BindingStatus {
    /// Which channel.
    pub lane: Lane,
    /// Which plugin.
    pub plugin: crate::ids::PluginName,
    /// "idle", "running", "backoff" or "quarantined".
    pub state: &'static str,
    /// The last fault, while it counts.
    pub detail: Option<String>,
    /// Live instances.
    pub instances: usize,
    /// Calls running.
    pub in_flight: usize,
}

/// See the module's text.
pub struct Binding {
    pub(super) spec: Spec,
    pub(super) engine: Arc<Engine>,
    pub(super) observer: Arc<dyn Observer>,
    tasks: Tasks,
    workers: TaskTracker,
    pool: Mutex<Pool>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Idle>,
    live: usize,
    crashes: CrashRecord,
    retired: bool,
}

struct Idle {
    messages: mpsc::Sender<Message>,
    since: Instant,
}

impl Binding {
    pub(super) fn new(
        spec: Spec,
        engine: Arc<Engine>,
        observer: Arc<dyn Observer>,
        tasks: Tasks,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec,
            engine,
            observer,
            tasks,
            workers: TaskTracker::new(),
            pool: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin behind it.
    #[must_use]
    pub const fn plugin(&self) -> &Arc<LoadedPlugin> {
        &self.spec.plugin
    }

    /// Hands a call to an instance. `answer` is told how it went, or that it was refused.
    ///
    /// # Errors
    /// Says why the call was not taken.
    pub fn submit(
        self: &Arc<Self>,
        call: SendCall,
        answer: Box<dyn Answer>,
    ) -> Result<(), Refused> {
        let now = Instant::now();
        let digest = self.spec.plugin.digest();
        let reply = Reply { to: Some(answer), handed_over: now, digest };
        self.hand_over(Box::new(Job { call, reply }), now).map_err(|(refused, job)| {
            job.reply.refuse();
            refused
        })
    }

    fn hand_over(
        self: &Arc<Self>,
        mut job: Box<Job>,
        now: Instant,
    ) -> Result<(), (Refused, Box<Job>)> {
        let mut pool = self.lock();
        if pool.retired {
            return Err((Refused::Retired, job));
        }
        if let Gate::Closed { until, quarantined } = pool.crashes.gate(now) {
            return Err((Refused::Paused { until, quarantined }, job));
        }
        // After a crash the first call is a probe: the others wait for its result.
        if pool.crashes.last().is_some() && pool.live > pool.idle.len() {
            return Err((Refused::Saturated, job));
        }
        while let Some(idle) = pool.idle.pop() {
            match idle.messages.try_send(Message::Job(job)) {
                Ok(()) => return Ok(()),
                // Its task is gone (it panicked); take the next.
                Err(
                    mpsc::error::TrySendError::Closed(message)
                    | mpsc::error::TrySendError::Full(message),
                ) => match message {
                    Message::Job(back) => job = back,
                    // It gives back what it was given, which was a job.
                    Message::Stop => return Ok(()),
                },
            }
        }
        if pool.live >= self.spec.limits.instances_max {
            return Err((Refused::Saturated, job));
        }
        let slots = self.spec.plugin.slots();
        let Some(place) = self.engine.room.take(self.spec.lane.tenant, slots) else {
            return Err((Refused::Saturated, job));
        };
        pool.live += 1;
        drop(pool);
        let token = self.workers.token();
        let binding = Arc::clone(self);
        self.tasks.spawn("worker", async move {
            let live = Live(Arc::clone(&binding));
            worker::run(&binding, *job).await;
            drop(live);
            drop(place);
            drop(token);
        });
        Ok(())
    }

    /// A worker has nothing to do. False when it should end instead.
    pub(super) fn park(&self, messages: mpsc::Sender<Message>) -> bool {
        let mut pool = self.lock();
        if pool.retired {
            return false;
        }
        pool.idle.push(Idle { messages, since: Instant::now() });
        true
    }

    pub(super) fn succeeded(&self) {
        self.lock().crashes.success();
        if self.spec.plugin.prove() {
            self.observer.proven(&self.spec.plugin);
        }
    }

    pub(super) fn struck(&self, fault: &Fault) {
        self.lock().crashes.strike(Instant::now(), fault.to_string());
        self.observer.fault(self.spec.plugin.name(), fault.kind);
        tracing::warn!(
            tenant = self.spec.tenant_id,
            channel = %self.spec.lane.channel,
            plugin = %self.spec.plugin.name(),
            digest = %self.spec.plugin.digest(),
            "an instance was stopped: {fault}"
        );
        if self.spec.plugin.strike() {
            self.observer.probation_failed(&self.spec.plugin, fault);
        }
    }

    /// When the longest idle worker became idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        self.lock().idle.first().map(|idle| idle.since)
    }

    /// Ends the worker that has been idle longest.
    pub(super) fn evict_one(&self) -> bool {
        let mut pool = self.lock();
        if pool.idle.is_empty() {
            return false;
        }
        let oldest = pool.idle.remove(0);
        // A full or closed channel means that the worker is ending already.
        oldest.messages.try_send(Message::Stop).is_ok()
    }

    /// Takes no more calls; instances shut down when their calls are over.
    pub(super) fn retire(&self) {
        let idle = {
            let mut pool = self.lock();
            pool.retired = true;
            std::mem::take(&mut pool.idle)
        };
        for idle in idle {
            drop(idle.messages.try_send(Message::Stop));
        }
        self.workers.close();
    }

    /// Waits until all instances are gone.
    pub(super) async fn drained(&self) {
        self.workers.wait().await;
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> BindingStatus {
        let pool = self.lock();
        let in_flight = pool.live.saturating_sub(pool.idle.len());
        let state = match pool.crashes.gate(Instant::now()) {
            Gate::Closed { quarantined: true, .. } => "quarantined",
            Gate::Closed { .. } => "backoff",
            Gate::Open if in_flight > 0 => "running",
            Gate::Open => "idle",
        };
        BindingStatus {
            lane: self.spec.lane.clone(),
            plugin: self.spec.plugin.name().clone(),
            state,
            detail: pool.crashes.last().map(str::to_owned),
            instances: pool.live,
            in_flight,
        }
    }
}

/// Counts a worker as live until it is dropped, by whatever way.
struct Live(Arc<Binding>);

impl Drop for Live {
    fn drop(&mut self) {
        let mut pool = self.0.lock();
        pool.live = pool.live.saturating_sub(1);
    }
}

impl Reply {
    /// Gives the report.
    pub(super) fn give(mut self, outcome: Outcome, usage: Usage) {
        self.send(outcome, usage);
    }

    fn send(&mut self, outcome: Outcome, usage: Usage) {
        if let Some(to) = self.to.take() {
            let took = self.handed_over.elapsed();
            to.called(Report { outcome, usage, took, digest: self.digest });
        }
    }

    /// The call was not taken: there is no report.
    fn refuse(mut self) {
        if let Some(to) = self.to.take() {
            to.refused();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.send(
            Outcome::Fault(Fault {
                kind: FaultKind::Trap,
                detail: String::from("the worker ended before the call did"),
            }),
            Usage::default(),
        );
    }
}

impl fmt::Debug for Binding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Binding").field("lane", &self.spec.lane).finish_non_exhaustive()
    }
}
