//! One delivery: from a leased job to a call of the plugin, or to the reason why there was none.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Dispatch,
    callbacks::Postman,
    follow,
    guards::{Guards, Ticket},
};
use crate::{
    clock::UnixMs,
    config::{Channel, RetryPolicy},
    envelope::Envelope,
    generation::Generation,
    ids::PluginName,
    sandbox::{Answer, Refused, Report, SendCall, Unavailable},
    store::Leased,
};

/// How long a lane waits whose channel or plugin is not there: long enough to cost nothing, short
/// enough that a mended configuration is soon seen (a reload looks again at once).
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(30);
/// How long a lane waits that has no free instance, although the ring thought it had: its last ones
/// are still shutting down, or the process has as many instances as it may.
const SATURATED_PAUSE: Duration = Duration::from_millis(50);

/// A delivery that is over, for the settler.
pub(super) struct Completed {
    pub(super) leased: Leased,
    /// From when on its retries are counted: its acceptance, or the moment it was put off to.
    pub(super) since: UnixMs,
    pub(super) started: UnixMs,
    pub(super) plugin: Option<PluginName>,
    pub(super) policy: RetryPolicy,
    pub(super) deduplicates: bool,
    /// Whether another channel takes over when this one gives up.
    pub(super) has_next: bool,
    /// When another channel takes over, though this one may still have attempts.
    pub(super) budget_end: Option<UnixMs>,
    /// Whether its payload names other channels, or somebody to tell, so that what follows from its
    /// end cannot be known without reading it again.
    pub(super) asks_for_more: bool,
    pub(super) end: End,
    /// Counts the running attempt until it is settled.
    pub(super) running: Option<Box<dyn Send>>,
    /// The right to the call that was made.
    pub(super) ticket: Option<Ticket>,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// The plugin was called.
    Called(Report),
    /// Nothing was tried. It stays due: when the lane takes a turn again is for the scheduler to
    /// say, and a reload that mends the reason must find it waiting.
    NotTried,
    /// Something holds it back. The other messages of its lane may pass.
    Waits { until: UnixMs },
    /// Its channel could not even be called. `probe`: that was known, and this was the message that
    /// looked whether it is mended.
    Misconfigured { code: String, detail: String, probe: bool },
    /// It cannot be delivered any more, whatever the plugin would say.
    Hopeless { word: &'static str, code: &'static str, detail: String },
}

/// What a delivery begins with.
pub(super) struct Starter {
    pub(super) dispatch: Dispatch,
    pub(super) guards: Arc<Guards>,
    pub(super) postman: Arc<Postman>,
    pub(super) completed: mpsc::Sender<Completed>,
}

fn hopeless(word: &'static str, code: &'static str, detail: String) -> End {
    End::Hopeless { word, code, detail }
}

/// Begins a delivery. `completed` gets its end, always. Says for how long the lane should pause.
pub(super) fn begin(
    starter: &Starter,
    generation: &Arc<Generation>,
    leased: Leased,
) -> Option<Duration> {
    let Starter { dispatch, completed, .. } = starter;
    let now = dispatch.clock.now();
    let channel = starter.postman.channel_of(generation, &leased.lane);
    let mut base = Completed {
        since: leased.created,
        started: now,
        plugin: channel.map(|channel| channel.plugin.clone()),
        policy: channel.map(|channel| channel.retry).unwrap_or_default(),
        deduplicates: false,
        has_next: false,
        budget_end: None,
        asks_for_more: false,
        end: End::NotTried,
        running: None,
        ticket: None,
        leased,
    };
    if let Some(expires) = base.leased.expires
        && expires <= now
    {
        let detail = format!("it was to be delivered before {}", expires.rfc3339());
        base.end = hopeless("expired", "expired", detail);
        give(completed, base);
        return None;
    }
    let envelope = match Envelope::decode(&base.leased.payload) {
        Ok(envelope) => envelope,
        Err(error) => {
            let detail = format!("the stored notification cannot be read: {error}");
            base.end = hopeless("rejected", "unreadable", detail);
            give(completed, base);
            return None;
        }
    };
    base.asks_for_more = !envelope.fallback.is_empty() || envelope.callback_url.is_some();
    if let Some(send_at) = envelope.send_at.as_deref().and_then(|at| UnixMs::parse_rfc3339(at).ok())
    {
        base.since = base.since.max(send_at);
    }
    base.has_next = channel.is_some_and(|channel| follow::has_next(channel, &envelope));
    base.budget_end = follow::budget_end(&envelope, base.since);
    if base.budget_end.is_some_and(|end| end <= now) {
        let detail = String::from("its time for this channel is over; the next one takes over");
        base.end = hopeless("unavailable", "time_budget", detail);
        give(completed, base);
        return None;
    }
    if base.leased.lane.channel.is_callbacks() {
        return starter.postman.begin(starter, generation, base, envelope);
    }
    let binding = match dispatch.sandbox.binding(generation, &base.leased.lane) {
        Ok(binding) => binding,
        Err(why) => return unavailable(starter, generation, base, &why),
    };
    base.deduplicates = binding.plugin().manifest().deduplication_key_max.is_some();
    if let Some(channel) = channel
        && !starter.admit(generation, channel, &envelope, &mut base)
    {
        give(completed, base);
        return None;
    }
    base.running = Some(dispatch.observer.begun(binding.plugin().name()));
    let leased = &base.leased;
    let call = SendCall {
        id: leased.id,
        generation: leased.generation,
        attempt: leased.token.attempt,
        priority: leased.token.priority,
        created_at: leased.created.rfc3339(),
        expires_at: leased.expires.map(UnixMs::rfc3339),
        envelope,
    };
    let answer = Box::new(Pending { base, completed: completed.clone() });
    match binding.submit(call, answer).err()? {
        Refused::Paused(until) => Some(until.saturating_duration_since(Instant::now())),
        Refused::Crowded => {
            dispatch.sandbox.evict_idle();
            Some(SATURATED_PAUSE)
        }
        Refused::Saturated | Refused::Probing => Some(SATURATED_PAUSE),
        Refused::Retired => Some(Duration::ZERO),
    }
}

/// The end of a delivery whose channel cannot be called now.
fn unavailable(
    starter: &Starter,
    generation: &Generation,
    mut base: Completed,
    why: &Unavailable,
) -> Option<Duration> {
    let dispatch = &starter.dispatch;
    let now = base.started;
    let over = base.leased.created.after(base.policy.span) <= now;
    let pause = match why {
        Unavailable::Misconfigured(detail) => {
            let probe = base.plugin.as_ref().is_some_and(|plugin| {
                starter.guards.stop(generation, plugin, &base.leased.lane, detail, now)
            });
            let code = String::from("configuration");
            base.end = End::Misconfigured { code, detail: detail.clone(), probe };
            None
        }
        _ if over => {
            base.end = hopeless("unavailable", "no_channel", why.to_string());
            None
        }
        Unavailable::NoPlugin { .. } => {
            if let Some(plugin) = &base.plugin {
                dispatch.observer.wanted(plugin);
            }
            Some(UNAVAILABLE_PAUSE)
        }
        Unavailable::NoChannel => Some(UNAVAILABLE_PAUSE),
    };
    give(&starter.completed, base);
    pause
}

impl Starter {
    /// Gets the ticket for the call. Or says in `base` why there will be none now.
    pub(super) fn admit(
        &self,
        generation: &Arc<Generation>,
        channel: &Channel,
        envelope: &Envelope,
        base: &mut Completed,
    ) -> bool {
        match self.ticket(generation, channel, envelope, base) {
            Ok(ticket) => base.ticket = Some(ticket),
            Err(end) => base.end = *end,
        }
        base.ticket.is_some()
    }

    fn ticket(
        &self,
        generation: &Arc<Generation>,
        channel: &Channel,
        envelope: &Envelope,
        base: &Completed,
    ) -> Result<Ticket, Box<End>> {
        let (now, lane) = (base.started, &base.leased.lane);
        if base.has_next {
            self.guards.has_fallback(lane);
            // Waiting for somebody to mend the channel is for those who have no other.
            if let Some((code, detail)) = self.guards.stopped(lane, now) {
                return Err(Box::new(End::Misconfigured { code, detail, probe: false }));
            }
        }
        let target = envelope.target_id.as_deref();
        self.guards.admit(generation, channel, lane, target, now).map_err(|until| {
            // Not later than it expires or changes channels: it is to be said then.
            let ends = [base.leased.expires, base.budget_end];
            let until = ends.into_iter().flatten().fold(until, UnixMs::min);
            Box::new(End::Waits { until })
        })
    }
}

/// A delivery whose end the sandbox will tell.
struct Pending {
    base: Completed,
    completed: mpsc::Sender<Completed>,
}

impl Answer for Pending {
    fn called(self: Box<Self>, report: Report) {
        let Self { base, completed } = *self;
        give(&completed, Completed { end: End::Called(report), ..base });
    }

    fn refused(self: Box<Self>) {
        // It stays as it was begun: not tried. Its ticket goes back.
        give(&self.completed, self.base);
    }
}

pub(super) fn give(completed: &mpsc::Sender<Completed>, end: Completed) {
    // There is room for every delivery that can be in flight; the settler outlives them all.
    if let Err(error) = completed.try_send(end) {
        tracing::error!(
            "a finished delivery could not be settled; its lease will run out: {error}"
        );
    }
}
