//! The worker of the async flavour: the task that owns one instance with all its sends in flight.
//!
//! Everything that happens, a new message, the end of a request, a timer, becomes an event; as long
//! as the guest is in a turn the events gather, so that under load one turn serves many.

use std::{
    collections::{HashMap, VecDeque},
    pin::pin,
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    binding::{Job, Reply},
    bindings::{
        v0_1_0,
        v0_1_0_async::{self, Answer, Event},
    },
    crew::Place,
    instance::{SendCall, StartError, message},
    instance_async::AsyncInstance,
    outcome::{Fault, FaultKind, Health, HealthStatus, Outcome, Problem, RetryScope, RunEnd},
    reactor::Reactor,
    usage::Usage,
    worker::{Ended, Message},
};
use crate::{ids::NotificationId, limits};

/// Kept back from the time of a call's requests.
const REQUEST_RESERVE: Duration = Duration::from_millis(100);

/// How an instance ended.
#[derive(Debug)]
pub(super) enum End {
    /// It was told to.
    Stopped,
    /// Its connection is over, and a new instance may do better: not before so long.
    Interrupted { problem: Problem, after: Option<Duration> },
    /// It misbehaved.
    Fault(Fault),
    /// It cannot work like this.
    Refused { problem: Problem, temporary: bool },
}

/// Starts an instance and serves what comes, until it is told to stop or the instance fails.
pub(super) async fn run(place: &Place, mut queue: mpsc::Receiver<Message>) -> End {
    let binding = &place.binding;
    let starting = match binding.spec.plugin.is_connected() {
        true => binding.engine.connections_starting.acquire().await.ok(),
        false => None,
    };
    binding.habit.begin().await;
    let started = AsyncInstance::start(&binding.engine, &binding.spec, &binding.observer).await;
    drop(starting);
    let instance = match started {
        Ok(instance) => instance,
        Err(error) => {
            let (outcome, end) = not_started(error);
            queue.close();
            let mut replies = Vec::new();
            while let Ok(message) = queue.try_recv() {
                if let Message::Job(job) = message {
                    replies.push(job.reply);
                }
            }
            if let End::Fault(fault) = &end {
                binding.struck(fault, None, replies.iter().any(|reply| reply.probe));
            }
            for reply in replies {
                reply.give(outcome.clone(), Usage::default());
            }
            return end;
        }
    };
    binding.observer.instance_started(binding.spec.plugin.name());
    let _ended = Ended::new(binding);
    let age_max = limits::INSTANCE_AGE_MAX.mul_f64(0.9 + 0.2 * fastrand::f64());
    let mut worker = Worker {
        place,
        queue,
        reactor: Reactor::new(instance),
        sends: HashMap::new(),
        deadlines: VecDeque::new(),
        next_call: 0,
        taken: 0,
        worn_at: Instant::now() + age_max,
        health: None,
        waits_for: None,
        runs: false,
        is_struck: false,
        phase: Phase::Serving,
    };
    worker.serve().await
}

fn not_started(error: StartError) -> (Outcome, End) {
    match error {
        StartError::Fault(fault) => (Outcome::Fault(fault.clone()), End::Fault(fault)),
        StartError::Refused { problem, temporary } => {
            let outcome = match temporary {
                true => Outcome::Retry {
                    problem: problem.clone(),
                    after: None,
                    scope: RetryScope::Credential,
                },
                false => Outcome::Misconfigured(problem.clone()),
            };
            (outcome, End::Refused { problem, temporary })
        }
    }
}

/// Waits for `token`; for ever if there is none.
async fn is_free(token: Option<&CancellationToken>) {
    match token {
        Some(token) => token.cancelled().await,
        None => std::future::pending().await,
    }
}

/// What a worker is about.
enum Phase {
    Serving,
    /// Takes nothing new; goes when its sends are over.
    Draining(End),
}

impl Phase {
    const fn is_open(&self) -> bool {
        matches!(self, Self::Serving)
    }
}

/// A send has used up its time. Its instance is not trusted with more, unless it holds a connection,
/// which must not break for one message.
fn give_up(place: &Place, is_open: bool, id: NotificationId, reply: Reply) {
    let binding = &place.binding;
    let detail = format!("no answer within {} ms", binding.spec.limits.wall.as_millis());
    let fault = Fault { kind: FaultKind::Timeout, detail };
    // One strike for an instance: what hangs, hangs for all sends that wait for it.
    if is_open {
        binding.struck(&fault, Some(id), reply.probe);
        if !binding.spec.plugin.is_connected() {
            place.close();
        }
    }
    place.freed();
    reply.give(Outcome::Fault(fault), Usage::default());
}

/// The question how a connected plugin is.
struct Asked {
    /// None: it has answered, and this is when it is asked again.
    call: Option<u32>,
    until: Instant,
}

struct Worker<'a> {
    place: &'a Place,
    queue: mpsc::Receiver<Message>,
    reactor: Reactor,
    /// Who waits for each message that the guest is delivering.
    sends: HashMap<u32, (NotificationId, Reply)>,
    /// When each send is over, whatever it does: they all have the same time, so these are in order.
    deadlines: VecDeque<(Instant, u32)>,
    next_call: u32,
    taken: u32,
    worn_at: Instant,
    /// None: not a connected plugin.
    health: Option<Asked>,
    /// Set until its connection may be opened.
    waits_for: Option<CancellationToken>,
    /// It was told to hold its connection, and has not said that it does so no longer.
    runs: bool,
    /// A send has run out of time in the turn that is running: the strike for that turn is given.
    is_struck: bool,
    phase: Phase,
}

/// What has woken a worker up.
enum Woken {
    Message(Option<Message>),
    Operation,
    Timer,
    /// The connection is free.
    Free,
}

impl Worker<'_> {
    async fn serve(&mut self) -> End {
        let is_connected = self.place.binding.spec.plugin.is_connected();
        if is_connected {
            self.waits_for = Some(self.place.binding.lock().crew.connection.free());
            self.health = Some(Asked { call: None, until: Instant::now() });
        }
        let mut timer = pin!(tokio::time::sleep_until(self.worn_at));
        loop {
            if !self.reactor.has_events() {
                if let Phase::Draining(_) = &self.phase
                    && self.sends.is_empty()
                {
                    return self.end().await;
                }
                let wake = self.next_timer();
                if timer.deadline() != wake {
                    timer.as_mut().reset(wake);
                }
                let woken = tokio::select! {
                    message = self.queue.recv(), if self.is_open() => Woken::Message(message),
                    () = self.reactor.ended() => Woken::Operation,
                    () = &mut timer => Woken::Timer,
                    () = is_free(self.waits_for.as_ref()) => Woken::Free,
                };
                match woken {
                    Woken::Message(Some(message)) => self.take(message),
                    Woken::Message(None) => self.drain(End::Stopped),
                    Woken::Free => {
                        self.waits_for = None;
                        // One that ends opens none.
                        if self.is_open() && !self.place.binding.is_stopped() {
                            self.runs = true;
                            self.reactor.push(Event::Run);
                        }
                    }
                    Woken::Operation | Woken::Timer => {}
                }
                // Whatever else is ready comes first and makes one turn of many.
                tokio::task::yield_now().await;
            }
            self.gather();
            self.look_at_the_clock();
            if self.reactor.has_events() {
                self.place.binding.habit.begin().await;
                if let Err(fault) = self.turn().await {
                    return self.fail(fault);
                }
            }
        }
    }

    /// Whether it still listens for messages.
    const fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    fn gather(&mut self) {
        self.reactor.gather();
        while self.is_open() && !self.reactor.is_full() {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => return,
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.begin(*job),
            // It is the last message: nothing is put behind it.
            Message::Stop => self.drain(End::Stopped),
        }
    }

    fn drain(&mut self, end: End) {
        if let Phase::Serving = self.phase {
            self.phase = Phase::Draining(end);
        }
    }

    fn number(&mut self) -> u32 {
        self.next_call = self.next_call.wrapping_add(1);
        self.next_call
    }

    fn begin(&mut self, job: Job) {
        let Job { call, reply } = job;
        let wall = self.place.binding.spec.limits.wall;
        let SendCall { id, .. } = call;
        let id_text = id.to_string();
        match message(call, id_text.clone(), wall) {
            Ok(message) => {
                let number = self.number();
                let deadline = Instant::now() + wall;
                if let Some(instance) = &mut self.reactor.instance {
                    // Its requests end a little sooner, so that it can still say what happened.
                    let reserve = REQUEST_RESERVE.min(wall / 10);
                    instance.begin_call(number, deadline - reserve, id_text);
                }
                self.sends.insert(number, (id, reply));
                self.deadlines.push_back((deadline, number));
                self.reactor.push(Event::Send((number, message)));
                self.taken = self.taken.saturating_add(1);
            }
            Err(problem) => {
                self.place.freed();
                reply.give(Outcome::Rejected(problem), Usage::default());
            }
        }
    }

    /// When something is to be done though nothing has happened.
    fn next_timer(&mut self) -> Instant {
        while let Some((_, number)) = self.deadlines.front()
            && !self.sends.contains_key(number)
        {
            self.deadlines.pop_front();
        }
        let send = self.deadlines.front().map(|(deadline, _)| *deadline);
        let health = self.health.as_ref().map(|asked| asked.until);
        [send, health].into_iter().flatten().fold(self.worn_at, Instant::min)
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        while let Some(number) = self.next_overdue(now) {
            if let Some((id, reply)) = self.sends.remove(&number) {
                give_up(self.place, self.phase.is_open(), id, reply);
                self.forget(number);
            }
        }
        self.ask_how_it_is(now);
        let is_connected = self.health.is_some();
        if self.is_open()
            && !is_connected
            && (now >= self.worn_at || self.taken >= limits::ASYNC_INSTANCE_CALLS_MAX)
        {
            self.place.close();
        }
        if now >= self.worn_at {
            self.worn_at = now + limits::INSTANCE_AGE_MAX;
        }
    }

    /// The oldest send that has used up its time.
    fn next_overdue(&mut self, now: Instant) -> Option<u32> {
        self.deadlines.pop_front_if(|(deadline, _)| *deadline <= now).map(|(_, number)| number)
    }

    /// Nobody waits for this call any more, and the guest is told so.
    fn forget(&mut self, number: u32) {
        if let Some(instance) = &mut self.reactor.instance {
            instance.end_call(number);
        }
        self.reactor.push(Event::Abandoned(number));
    }

    fn ask_how_it_is(&mut self, now: Instant) {
        let Some(asked) = &self.health else { return };
        if asked.until > now {
            return;
        }
        if asked.call.is_some() {
            let status = HealthStatus::Unhealthy;
            let detail = Some(String::from("it does not answer when it is asked how it is"));
            self.place.binding.report(Health { status, detail });
            self.health = Some(Asked { call: None, until: now + limits::CONNECTION_HEALTH_EVERY });
            return;
        }
        let call = self.number();
        self.health = Some(Asked { call: Some(call), until: now + limits::HEALTH_WALL });
        self.reactor.push(Event::Health(call));
    }

    /// One turn, in which sends may run out of time.
    async fn turn(&mut self) -> Result<(), Fault> {
        let mut overdue = Vec::new();
        self.is_struck = false;
        let answers = {
            let is_open = self.is_open();
            let mut turn = pin!(self.reactor.turn());
            loop {
                let next = self.deadlines.front().map(|(deadline, _)| *deadline);
                tokio::select! {
                    biased;
                    answers = &mut turn => break answers?,
                    () = tokio::time::sleep_until(next.unwrap_or(self.worn_at)), if next.is_some() => {}
                }
                // It is in the guest's hands, but nobody waits longer for it than was said.
                if let Some((_, number)) = self.deadlines.pop_front()
                    && let Some((id, reply)) = self.sends.remove(&number)
                {
                    give_up(self.place, is_open && overdue.is_empty(), id, reply);
                    overdue.push(number);
                    self.is_struck |= is_open;
                }
            }
        };
        for number in overdue {
            self.forget(number);
        }
        for answer in answers {
            self.answer(answer);
        }
        Ok(())
    }

    fn answer(&mut self, answer: Answer) {
        match answer {
            Answer::Sent((number, result)) => {
                let Some((_, reply)) = self.sends.remove(&number) else { return };
                let mut usage = Usage::default();
                if let Some(instance) = &mut self.reactor.instance {
                    usage = instance.end_call(number);
                }
                let binding = &self.place.binding;
                let clean = |text: &str| binding.spec.clean(text);
                let outcome = v0_1_0::outcome(result).map_texts(clean);
                binding.charge(&usage);
                binding.succeeded();
                self.place.freed();
                reply.give(outcome, usage);
            }
            Answer::Health((number, report)) => {
                if self.health.as_ref().is_some_and(|asked| asked.call == Some(number)) {
                    let report = v0_1_0::health(report);
                    let every = match report.status {
                        HealthStatus::Healthy => limits::CONNECTION_HEALTH_EVERY,
                        _ => limits::CONNECTION_UNWELL_EVERY,
                    };
                    self.health = Some(Asked { call: None, until: Instant::now() + every });
                    self.place.binding.report(report);
                }
            }
            Answer::RunEnded(end) => {
                if std::mem::take(&mut self.runs) && self.is_open() {
                    self.run_ended(v0_1_0_async::run_end(end));
                }
            }
            // Only the last turns ask for it.
            Answer::ShutDown => {}
        }
    }

    /// It holds its connection no longer.
    fn run_ended(&mut self, end: RunEnd) {
        match end {
            // It goes on, and says by itself what becomes of messages.
            RunEnd::Over => {}
            RunEnd::Misconfigured(problem) => self.place.binding.stop_connection(&problem),
            RunEnd::Temporary { problem, after } => {
                self.health = None;
                // Its binding hands over no more; what it has handed over is served.
                self.place.close();
                while let Ok(Message::Job(job)) = self.queue.try_recv() {
                    self.begin(*job);
                }
                self.drain(End::Interrupted { problem, after });
            }
        }
    }

    /// The guest failed and took all its sends with it: one strike.
    fn fail(&mut self, fault: Fault) -> End {
        let binding = &self.place.binding;
        // Before anybody is told, so that nothing is put into the queue of an instance that is gone.
        self.place.close();
        // With several under way nobody knows whose fault it was. The next call is a probe, and alone.
        let mut under_way = self.sends.values();
        let cause = under_way.next().map(|(id, _)| *id).filter(|_| under_way.next().is_none());
        let probe = self.sends.values().any(|(_, reply)| reply.probe);
        // A turn that holds up its own send for too long has failed once and not twice.
        if !(self.is_struck && fault.kind == FaultKind::Timeout) {
            binding.struck(&fault, cause, probe);
        }
        for (_, (_, reply)) in self.sends.drain() {
            self.place.freed();
            reply.give(Outcome::Fault(fault.clone()), Usage::default());
        }
        while let Ok(message) = self.queue.try_recv() {
            if let Message::Job(job) = message {
                // The guest has never seen it.
                self.place.freed();
                job.reply.refuse();
            }
        }
        End::Fault(fault)
    }

    /// The last turns of an instance that has nothing to do any more.
    async fn end(&mut self) -> End {
        let binding = &self.place.binding;
        if let Err(fault) = self.reactor.shut_down().await {
            // It is gone either way; the record is for the plugin's author.
            binding.observer.fault(binding.spec.plugin.name(), fault.kind);
            tracing::warn!(
                tenant = binding.spec.tenant_id,
                channel = %binding.spec.lane.channel,
                plugin = %binding.spec.plugin.name(),
                "`shutdown` failed: {fault}"
            );
        }
        match std::mem::replace(&mut self.phase, Phase::Serving) {
            Phase::Draining(end) => end,
            Phase::Serving => End::Stopped,
        }
    }
}
