//! One delivery: from a leased job to a call of the plugin, or to the reason why there was none.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::Dispatch;
use crate::{
    clock::UnixMs,
    config::RetryPolicy,
    envelope::Envelope,
    generation::Generation,
    ids::{NotificationId, PluginName},
    sandbox::{Answer, Refused, Report, SendCall, Unavailable},
    store::{Lane, LeaseToken, Leased},
};

/// How long a lane waits whose channel or plugin is not there: long enough to cost nothing, short
/// enough that a mended configuration is soon seen (a reload looks again at once).
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(30);
/// How long a lane waits that has no free instance, although the ring thought it had: the process
/// has as many instances as it may.
const SATURATED_PAUSE: Duration = Duration::from_millis(50);

/// A delivery that is over, for the settler.
pub(super) struct Completed {
    pub(super) token: LeaseToken,
    pub(super) id: NotificationId,
    pub(super) lane: Lane,
    /// From when on its retries are counted: its acceptance, or the moment it was put off to.
    pub(super) since: UnixMs,
    pub(super) expires: Option<UnixMs>,
    pub(super) started: UnixMs,
    pub(super) plugin: Option<PluginName>,
    pub(super) policy: RetryPolicy,
    pub(super) deduplicates: bool,
    pub(super) end: End,
    /// Counts the running attempt until it is settled.
    pub(super) running: Option<Box<dyn Send>>,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum End {
    /// The plugin was called.
    Called(Report),
    /// Nothing was tried. It stays due: when the lane takes a turn again is for the scheduler to
    /// say, and a reload that mends the reason must find it waiting.
    NotTried,
    /// It cannot be delivered any more, whatever the plugin would say.
    Hopeless { word: &'static str, code: &'static str, detail: String },
}

/// Begins a delivery. `completed` gets its end, always. Says for how long the lane should pause.
pub(super) fn begin(
    dispatch: &Dispatch,
    generation: &Arc<Generation>,
    completed: &mpsc::Sender<Completed>,
    leased: Leased,
) -> Option<Duration> {
    let now = dispatch.clock.now();
    let channel = generation.channel(leased.lane.tenant, &leased.lane.channel);
    let policy = channel.map(|channel| channel.retry).unwrap_or_default();
    let mut base = Completed {
        token: leased.token.clone(),
        id: leased.id,
        lane: leased.lane.clone(),
        since: leased.created,
        expires: leased.expires,
        started: now,
        plugin: channel.map(|channel| channel.plugin.clone()),
        policy,
        deduplicates: false,
        end: End::NotTried,
        running: None,
    };
    let hopeless = |word, code, detail| End::Hopeless { word, code, detail };
    if let Some(expires) = leased.expires
        && expires <= now
    {
        let detail = format!("it was to be delivered before {}", expires.rfc3339());
        base.end = hopeless("expired", "expired", detail);
        give(completed, base);
        return None;
    }
    let binding = match dispatch.sandbox.binding(generation, &leased.lane) {
        Ok(binding) => binding,
        Err(why) => {
            let over = leased.created.after(policy.span) <= now;
            let pause = match &why {
                Unavailable::Misconfigured(detail) => {
                    base.end = hopeless("misconfigured", "configuration", detail.clone());
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
            give(completed, base);
            return pause;
        }
    };
    base.deduplicates = binding.plugin().manifest().deduplication_key_max.is_some();
    let envelope = match Envelope::decode(&leased.payload) {
        Ok(envelope) => envelope,
        Err(error) => {
            let detail = format!("the stored notification cannot be read: {error}");
            base.end = hopeless("rejected", "unreadable", detail);
            give(completed, base);
            return None;
        }
    };
    if let Some(send_at) = envelope.send_at.as_deref().and_then(|at| UnixMs::parse_rfc3339(at).ok())
    {
        base.since = base.since.max(send_at);
    }
    base.running = Some(dispatch.observer.begun(binding.plugin().name()));
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
        Refused::Paused { until, .. } => Some(until.saturating_duration_since(Instant::now())),
        Refused::Saturated => {
            dispatch.sandbox.evict_idle();
            Some(SATURATED_PAUSE)
        }
        Refused::Retired => Some(Duration::ZERO),
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
        // It stays as it was begun: not tried.
        give(&self.completed, self.base);
    }
}

fn give(completed: &mpsc::Sender<Completed>, end: Completed) {
    // There is room for every delivery that can be in flight; the settler outlives them all.
    if let Err(error) = completed.try_send(end) {
        tracing::error!(
            "a finished delivery could not be settled; its lease will run out: {error}"
        );
    }
}
