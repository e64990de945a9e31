//! A binding: one tenant's channel with its plugin, options, secrets and grants, and the pool of
//! instances that work for it and for nobody else.
//!
//! Work is handed to *workers*. A worker is a task that owns one instance; an idle one waits on a
//! stack, so that the instance used last is used next and the others can age and go. The pool never
//! queues: a job is taken at once or given back with the reason, and the queue stays where it is
//! durable.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::{
    background::Habit,
    budget::MemoryBudget,
    crash::{Blame, CrashRecord, Gate, QuarantineStatus},
    crew::Crew,
    engine::Engine,
    instance::SendCall,
    kv::Kv,
    log::Speaker,
    observer::Observer,
    outcome::{Fault, FaultKind, Health, Outcome},
    plugin::LoadedPlugin,
    room,
    usage::{Account, Resources, Usage},
    worker::{self, Message},
};
use crate::{
    config::{Channel, PluginLimits},
    egress::BindingEgress,
    ids::NotificationId,
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
    pub(super) memory: Arc<MemoryBudget>,
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
    pub took: Duration,
    /// Which file ran ("sha256:…").
    pub digest: Arc<str>,
    /// How many calls of this channel have ended well since its binding was made.
    pub successes: u64,
    /// The call was the probe of a channel in quarantine and has failed: how long the quarantine
    /// goes on.
    pub quarantined_for: Option<Duration>,
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
    binding: Arc<Binding>,
    /// Whether the call finds out if the channel works again.
    pub(super) probe: bool,
    /// Whether that channel was in quarantine.
    quarantined: bool,
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
    /// The process has as many instances, or as much memory in them, as it may.
    Crowded,
    /// After crashes: not before this moment.
    Paused(Instant),
    /// After crashes: not before the result of the call that tries whether it works again.
    Probing,
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
    /// "idle", "running", "degraded", "unhealthy" or "misconfigured" (by the plugin's own account),
    /// "backoff" or "quarantined".
    pub state: &'static str,
    /// The last fault, while it counts, or what a connected plugin says of itself.
    pub detail: Option<String>,
    /// Faults by different messages that count.
    pub strikes: usize,
    /// What a connected plugin says of its connection.
    pub connection: Option<String>,
    /// Its quarantine, if it is in one.
    pub quarantine: Option<QuarantineStatus>,
    /// What it has used.
    pub resources: Resources,
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
    pub(super) tasks: Tasks,
    pub(super) workers: TaskTracker,
    pool: Mutex<Pool>,
    /// Calls that ended well.
    successes: AtomicU64,
    account: Account,
    /// Where its calls begin.
    pub(super) habit: Habit,
    /// How many bindings of the process have faults on record.
    troubled: Arc<AtomicUsize>,
}

#[derive(Default)]
pub(super) struct Pool {
    idle: Vec<Idle>,
    pub(super) live: usize,
    pub(super) crashes: CrashRecord,
    /// Counts the quarantine as long as it lasts.
    quarantined: Option<Box<dyn Send>>,
    pub(super) retired: bool,
    /// The instances of an async plugin; then there are none in `idle`.
    pub(super) crew: Crew,
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
        troubled: Arc<AtomicUsize>,
    ) -> Arc<Self> {
        Arc::new(Self {
            spec,
            engine,
            observer,
            tasks,
            workers: TaskTracker::new(),
            pool: Mutex::default(),
            successes: AtomicU64::new(0),
            account: Account::default(),
            habit: Habit::default(),
            troubled,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Pool> {
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
        let binding = Arc::clone(self);
        let reply =
            Reply { to: Some(answer), handed_over: now, binding, probe: false, quarantined: false };
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
        if self.spec.plugin.is_async() {
            return self.hand_over_async(job, now);
        }
        let mut pool = self.lock();
        if pool.retired {
            return Err((Refused::Retired, job));
        }
        let probe = match pool.crashes.gate(now) {
            Gate::Open => false,
            Gate::Probe => true,
            Gate::Probing => return Err((Refused::Probing, job)),
            Gate::Closed(until) | Gate::Quarantined(until) => {
                return Err((Refused::Paused(until), job));
            }
        };
        job.reply.probe = probe;
        job.reply.quarantined = probe && pool.crashes.is_quarantined();
        while let Some(idle) = pool.idle.pop() {
            match idle.messages.try_send(Message::Job(job)) {
                Ok(()) => {
                    pool.handed_over(probe);
                    return Ok(());
                }
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
        let place = match self.place_beside(pool.live) {
            Ok(place) => place,
            Err(refused) => return Err((refused, job)),
        };
        pool.handed_over(probe);
        pool.live += 1;
        drop(pool);
        let token = self.workers.token();
        let binding = Arc::clone(self);
        self.spawn("worker", async move {
            let live = Live(Arc::clone(&binding));
            worker::run(&binding, *job).await;
            drop(live);
            drop(place);
            drop(token);
        });
        Ok(())
    }

    /// Room for one more instance beside the `live` ones, or why there is none.
    pub(super) fn place_beside(&self, live: usize) -> Result<room::Place, Refused> {
        if live >= self.spec.limits.instances_max {
            return Err(Refused::Saturated);
        }
        // The first one always may: what it takes is bounded by its own cap.
        if live > 0 && !self.spec.memory.has_room() {
            return Err(Refused::Saturated);
        }
        if !self.engine.memory.has_room() {
            return Err(Refused::Crowded);
        }
        let slots = self.spec.plugin.slots();
        self.engine.room.take(self.spec.lane.tenant, slots).ok_or(Refused::Crowded)
    }

    /// Starts a task that runs guests.
    pub(super) fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        self.tasks.spawn_as(name, task, |task| self.engine.background.movable(task));
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

    /// A call has used so much.
    pub(super) fn charge(&self, usage: &Usage) {
        self.account.charge(usage);
        self.habit.note(usage.cpu);
        self.observer.call(self.spec.plugin.name(), usage);
    }

    /// A call ended well.
    pub(super) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.forgive("a call has ended well");
        if self.spec.plugin.prove() {
            self.observer.proven(&self.spec.plugin);
        }
    }

    /// Forgets all faults. True when that ends a quarantine.
    pub(super) fn forgive(&self, why: &str) -> bool {
        let mut pool = self.lock();
        if pool.crashes.is_clean() {
            return false;
        }
        let released = pool.crashes.success();
        pool.quarantined = None;
        drop(pool);
        self.troubled.fetch_sub(1, Ordering::Relaxed);
        if released {
            self.observer.released(&self.spec.lane, self.spec.plugin.name(), why);
        }
        released
    }

    /// A call, or a start, ended with a fault.
    pub(super) fn struck(&self, fault: &Fault, cause: Option<NotificationId>, probe: bool) {
        let (lane, plugin) = (&self.spec.lane, &self.spec.plugin);
        if fault.kind == FaultKind::HostMemory {
            tracing::warn!(channel = %lane.channel, plugin = %plugin.name(), "{fault}");
            return;
        }
        // Whatever it did: a new instance has to be started for it, and it may do so again.
        self.habit.note(limits::BACKGROUND_AFTER);
        let blame = Blame { cause, what: fault.to_string(), probe };
        let mut pool = self.lock();
        if pool.crashes.is_clean() {
            self.troubled.fetch_add(1, Ordering::Relaxed);
        }
        let quarantined = pool.crashes.strike(Instant::now(), blame);
        // A binding that is retired is nobody's channel any more.
        if quarantined && !pool.retired {
            pool.quarantined = Some(self.observer.quarantined(lane, plugin.name(), fault));
        }
        drop(pool);
        self.observer.fault(plugin.name(), fault.kind);
        tracing::warn!(
            tenant = self.spec.tenant_id,
            channel = %lane.channel,
            plugin = %plugin.name(),
            digest = %plugin.digest(),
            notification = cause.map(tracing::field::display),
            "an instance was stopped: {fault}"
        );
        if plugin.strike(fault) {
            self.observer.probation_failed(plugin, fault);
        }
    }

    /// A call is over. If it was the probe of a quarantine that goes on: for how long.
    fn end_probe(&self, probe: bool, of_quarantine: bool) -> Option<Duration> {
        if !probe {
            return None;
        }
        let mut pool = self.lock();
        pool.crashes.end_probe();
        let goes_on = of_quarantine && pool.crashes.is_quarantined();
        goes_on.then(|| pool.crashes.closed_for(Instant::now()))
    }

    /// Whether a call may go ahead.
    pub(super) fn gate(&self, now: Instant) -> Gate {
        self.lock().crashes.gate(now)
    }

    /// When the longest idle worker became idle.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let pool = self.lock();
        pool.idle.first().map(|idle| idle.since).or_else(|| pool.crew.idle_since())
    }

    /// Ends the worker that has been idle longest.
    pub(super) fn evict_one(&self) -> bool {
        let mut pool = self.lock();
        if pool.idle.is_empty() {
            return pool.crew.evict_one();
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
            pool.quarantined = None;
            pool.crew.retire();
            std::mem::take(&mut pool.idle)
        };
        for idle in idle {
            drop(idle.messages.try_send(Message::Stop));
        }
        self.workers.close();
        self.spec.egress.retire();
    }

    /// Waits until all instances are gone.
    pub(super) async fn drained(&self) {
        self.workers.wait().await;
    }

    /// What a connected plugin says of itself.
    pub(super) fn report(&self, mut health: Health) {
        health.detail = health.detail.map(|text| self.spec.egress.vault().scrub_owned(text));
        self.lock().crew.connection.report(health);
    }

    /// How it is.
    #[must_use]
    pub fn status(&self) -> BindingStatus {
        let pool = self.lock();
        let now = Instant::now();
        let in_flight = match self.spec.plugin.is_async() {
            true => pool.crew.in_flight(),
            false => pool.live.saturating_sub(pool.idle.len()),
        };
        let unwell = pool.crew.connection.unwell();
        let state = match (pool.crashes.gate(now), unwell) {
            _ if pool.crashes.is_quarantined() => "quarantined",
            (Gate::Closed(_), _) => "backoff",
            (_, Some((state, _))) => state,
            _ if in_flight > 0 => "running",
            _ => "idle",
        };
        BindingStatus {
            lane: self.spec.lane.clone(),
            plugin: self.spec.plugin.name().clone(),
            state,
            detail: pool.crashes.last().or(unwell.map(|(_, why)| why)).map(str::to_owned),
            connection: pool.crew.connection.says().map(str::to_owned),
            strikes: pool.crashes.strikes(),
            quarantine: pool.crashes.quarantine(now),
            resources: self.account.read(),
            instances: pool.live,
            in_flight,
        }
    }
}

impl Pool {
    /// A call was taken.
    pub(super) const fn handed_over(&mut self, probe: bool) {
        if probe {
            self.crashes.begin_probe();
        }
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if !self.lock().crashes.is_clean() {
            self.troubled.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Counts a worker as live until it is dropped, by whatever way.
pub(super) struct Live(pub(super) Arc<Binding>);

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
            let quarantined_for = self.binding.end_probe(self.probe, self.quarantined);
            to.called(Report {
                outcome,
                usage,
                took,
                digest: Arc::clone(self.binding.spec.plugin.digest_text()),
                successes: self.binding.successes.load(Ordering::Relaxed),
                quarantined_for,
            });
        }
    }

    /// The call was not taken: there is no report.
    pub(super) fn refuse(mut self) {
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
