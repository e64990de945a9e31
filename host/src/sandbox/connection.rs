//! A connected plugin has one instance for each channel from the moment that the channel is there,
//! and a new one, after a pause, when that ends.
//!
//! When a binding takes over from another, its instance starts at once and takes messages, but opens
//! its connection only when every instance of the one before has ended: there is never a second one,
//! and what the plugin keeps in `state` to go on with (a session) is complete.
//!
//! One that says that only the operator can mend it is stopped: its instance goes on for messages, and
//! no instance of the binding opens the connection again. What may have been mended is another
//! binding.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use super::{
    binding::{Binding, Live},
    crash::Gate,
    crew::Place,
    outcome::{Health, HealthStatus, Problem},
    worker_async::{self, End},
};
use crate::limits;

/// What a binding knows of its connection.
#[derive(Default)]
pub(super) struct Connection {
    /// Set when somebody keeps it; cancelled when the binding retires.
    kept: Option<CancellationToken>,
    /// Cancelled when the binding before has let go of its connection.
    free: CancellationToken,
    /// What `health` said last, or why there is no instance.
    says: Option<Health>,
    /// The plugin cannot work like this.
    refused: Option<Problem>,
    /// Why it is not opened any more, to the end of the binding.
    stopped: Option<Problem>,
    /// Counts that as long as it is somebody's channel.
    alarm: Option<Box<dyn Send>>,
    next_start: Option<Instant>,
}

impl Connection {
    pub(super) const fn is_wanted(&self) -> bool {
        self.kept.is_some()
    }

    pub(super) fn retire(&mut self) {
        self.alarm = None;
        if let Some(kept) = &self.kept {
            kept.cancel();
        }
    }

    pub(super) fn refused(&self) -> Option<Problem> {
        self.refused.clone()
    }

    pub(super) const fn next_start(&self) -> Option<Instant> {
        self.next_start
    }

    /// Tells when the connection may be opened.
    pub(super) fn free(&self) -> CancellationToken {
        self.free.clone()
    }

    /// What the plugin says of its connection, or the host if there is no instance or it is stopped.
    pub(super) fn says(&self) -> Option<&str> {
        let says = self.says.as_ref().and_then(|says| says.detail.as_deref());
        says.or(self.stopped.as_ref().map(|problem| problem.detail.as_str()))
    }

    /// The word for what is wrong with it, and why.
    pub(super) fn unwell(&self) -> Option<(&'static str, &str)> {
        if let Some(problem) = &self.stopped {
            return Some(("misconfigured", &problem.detail));
        }
        let said = self.says.as_ref()?;
        let (state, otherwise) = match said.status {
            HealthStatus::Healthy => return None,
            HealthStatus::Degraded => ("degraded", "the plugin says that it is degraded"),
            HealthStatus::Unhealthy => ("unhealthy", "the plugin says that it is unhealthy"),
        };
        Some((state, said.detail.as_deref().unwrap_or(otherwise)))
    }

    /// What the plugin has said of itself.
    pub(super) fn report(&mut self, health: Health) {
        self.says = Some(health);
    }
}

impl Binding {
    /// Whether its connection is not opened any more.
    pub(super) fn is_stopped(&self) -> bool {
        self.lock().crew.connection.stopped.is_some()
    }

    /// Only the operator can mend what its connection needs, says the plugin.
    pub(super) fn stop_connection(&self, problem: &Problem) {
        let clean = |text: &str| self.spec.clean(text);
        let problem = Problem { code: clean(&problem.code), detail: clean(&problem.detail) };
        let mut pool = self.lock();
        // A binding that is retired is nobody's channel any more.
        if !pool.retired {
            let (lane, plugin) = (&self.spec.lane, self.spec.plugin.name());
            pool.crew.connection.alarm =
                Some(self.observer.connection_stopped(lane, plugin, &problem));
            pool.crew.connection.stopped = Some(problem);
        }
    }

    /// Another binding takes its place, or none: a connection that is stopped is no alarm any more.
    pub(super) fn release_connection(&self, why: &str) {
        let alarm = self.lock().crew.connection.alarm.take();
        if alarm.is_some() {
            self.observer.connection_released(&self.spec.lane, self.spec.plugin.name(), why);
        }
    }

    /// Keeps an instance, if the plugin holds a connection and nobody does so already. `before` is
    /// the binding that this one takes over from.
    pub(super) fn connect(self: &Arc<Self>, before: Option<Arc<Self>>) {
        if !self.spec.plugin.is_connected() {
            return;
        }
        let (stop, free) = {
            let mut pool = self.lock();
            if pool.retired || pool.crew.connection.is_wanted() {
                return;
            }
            let stop = CancellationToken::new();
            pool.crew.connection.kept = Some(stop.clone());
            (stop, pool.crew.connection.free())
        };
        let binding = Arc::clone(self);
        let token = self.workers.token();
        self.spawn("connection", async move {
            let let_go = async {
                if let Some(before) = before {
                    before.drained().await;
                }
                free.cancel();
            };
            // Told so, it has ended by itself by then: see `serve`. Whoever waits for this binding
            // waits for the one before as well.
            tokio::join!(keep(&binding, &stop), let_go);
            drop(token);
        });
    }
}

async fn keep(binding: &Arc<Binding>, stop: &CancellationToken) {
    let mut pause = limits::RECONNECT_BACKOFF_FIRST;
    while !stop.is_cancelled() {
        let began = Instant::now();
        let Some(end) = serve(binding, stop).await else { return };
        if stop.is_cancelled() {
            return;
        }
        if began.elapsed() >= limits::RECONNECT_PROVEN {
            pause = limits::RECONNECT_BACKOFF_FIRST;
        }
        let wait = note(binding, end, pause);
        pause = pause.saturating_mul(2).min(limits::RECONNECT_BACKOFF_MAX);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// One instance, from its start to its end. None: the binding has retired before.
async fn serve(binding: &Arc<Binding>, stop: &CancellationToken) -> Option<End> {
    let room = tokio::select! {
        room = binding.engine.room.wait(binding.spec.lane.tenant, binding.spec.plugin.slots()) => room?,
        () = stop.cancelled() => return None,
    };
    let (place, queue) = {
        let mut pool = binding.lock();
        if pool.retired {
            return None;
        }
        pool.live += 1;
        pool.crew.connection.refused = None;
        pool.crew.connection.next_start = None;
        Place::take(binding, &mut pool, None)
    };
    let live = Live(Arc::clone(binding));
    let end = worker_async::run(&place, queue).await;
    drop(place);
    drop(live);
    drop(room);
    Some(end)
}

/// Writes down how an instance ended, and says how long to wait for the next.
fn note(binding: &Binding, end: End, pause: Duration) -> Duration {
    let mut refused = None;
    let (why, wait) = match end {
        // Nobody told it to, but it may have been closed after a call that never ended.
        End::Stopped => (None, pause),
        End::Interrupted { problem, after } => {
            let asked = after.unwrap_or_default().min(limits::RECONNECT_ASKED_MAX);
            let why = format!("its connection ended: {} ({})", problem.detail, problem.code);
            (Some(why), pause.max(asked))
        }
        End::Fault(fault) => (Some(fault.to_string()), pause),
        End::Refused { problem, temporary: true } => {
            (Some(format!("it does not start: {} ({})", problem.detail, problem.code)), pause)
        }
        End::Refused { problem, temporary: false } => {
            let why = format!("it does not start: {} ({})", problem.detail, problem.code);
            refused = Some(problem);
            (Some(why), limits::RECONNECT_BACKOFF_MAX)
        }
    };
    // What a plugin says is kept and shown: no secret may be in it.
    let why = why.map(|why| binding.spec.egress.vault().scrub_owned(why));
    if let Some(why) = &why {
        tracing::warn!(
            tenant = binding.spec.tenant_id,
            channel = %binding.spec.lane.channel,
            plugin = %binding.spec.plugin.name(),
            "a connected plugin will be started again in {} ms: {why}",
            wait.as_millis()
        );
    }
    let now = Instant::now();
    let mut pool = binding.lock();
    // A crash may cost more than a connection that ended.
    let wait = match pool.crashes.gate(now) {
        Gate::Closed(until) | Gate::Quarantined(until) => {
            wait.max(until.saturating_duration_since(now))
        }
        Gate::Open | Gate::Probe | Gate::Probing => wait,
    };
    pool.crew.connection.says =
        why.map(|why| Health { status: HealthStatus::Unhealthy, detail: Some(why) });
    pool.crew.connection.refused = refused;
    pool.crew.connection.next_start = now.checked_add(wait);
    wait
}
