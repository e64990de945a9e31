//! The end of a call on its way to the breakers, and what is said about a breaker that changes: to
//! the log, to the trail of events, and to the alarm that reports show.

use super::super::{
    alarms::{Alarm, Basis, BreakerScope, Reason},
    breaker::{Breaker, Change, Signal},
    short,
    signals::Signals,
};
use super::{
    Guards, Ticket,
    entries::{Destination, DestinationGuard, LaneGuard, Provider, ProviderGuard},
};
use crate::{
    bounded::Bounded,
    clock::UnixMs,
    ids::PluginName,
    sandbox::Outcome,
    store::{EventKind, Lane, NewEvent},
};

/// The end of one call, on its way to the breakers.
pub(super) struct News<'a> {
    pub(super) ticket: &'a Ticket,
    pub(super) outcome: &'a Outcome,
    pub(super) now: UnixMs,
    pub(super) guards: &'a Guards,
}

impl News<'_> {
    pub(super) fn lane(&self, guard: &mut LaneGuard, told: Signals) {
        let Some(signal) = told.credential else { return };
        let lane = &self.ticket.destination.0;
        let was_stopped = guard.breaker.is_stopped();
        let change = guard.breaker.signal(signal, self.ticket.probes.lane, self.now);
        let scope = match was_stopped || guard.breaker.is_stopped() {
            true => BreakerScope::Configuration,
            false => BreakerScope::Credential,
        };
        let what = What { scope, plugin: &self.ticket.plugin, lane: Some(lane), target: None };
        self.note(&what, change, self.ticket.probes.lane, &guard.breaker, &mut guard.alarm);
    }

    pub(super) fn destination(
        &self,
        destinations: &mut Bounded<Destination, DestinationGuard>,
        told: Signals,
    ) {
        let key = &self.ticket.destination;
        let guard = match told.destination {
            None => return,
            // Nothing is kept of one that works, so there is mostly nothing to tell.
            Some(Signal::Good) if destinations.is_empty() => return,
            Some(Signal::Good) => match destinations.get_mut(key) {
                Some(guard) => guard,
                None => return,
            },
            Some(_) => destinations.get_or_insert(key, DestinationGuard::default),
        };
        let Some(signal) = told.destination else { return };
        let probe = self.ticket.probes.destination;
        let change = guard.breaker.signal(signal, probe, self.now);
        let what = What {
            scope: BreakerScope::Destination,
            plugin: &self.ticket.plugin,
            lane: Some(&key.0),
            target: key.1.as_deref(),
        };
        self.note(&what, change, probe, &guard.breaker, &mut guard.alarm);
        if guard.breaker.is_clean() && guard.buckets.is_full(self.now) {
            destinations.remove(key);
        }
    }

    pub(super) fn provider(
        &self,
        providers: &mut Bounded<Provider, ProviderGuard>,
        key: &Provider,
        signal: Option<Signal>,
    ) {
        let guard = match signal {
            None => return,
            Some(Signal::Good) if providers.is_empty() => return,
            Some(Signal::Good) => match providers.get_mut(key) {
                Some(guard) => guard,
                None => return,
            },
            Some(_) => providers.get_or_insert(key, ProviderGuard::default),
        };
        let Some(signal) = signal else { return };
        let tenant = self.ticket.destination.0.tenant;
        let probe = self.ticket.probes.provider.is_some();
        let counts = probe || guard.breaker.is_closed();
        if signal == Signal::Failed && counts && guard.is_own_trouble(tenant, probe, self.now) {
            return;
        }
        let change = guard.breaker.signal(signal, probe, self.now);
        let what = What {
            scope: BreakerScope::Provider,
            plugin: &self.ticket.plugin,
            lane: None,
            target: Some(&key.1),
        };
        self.note(&what, change, probe, &guard.breaker, &mut guard.alarm);
        if guard.breaker.is_clean() {
            providers.remove(key);
        }
    }

    /// Keeps the alarm in step with the breaker, and tells the log.
    fn note(
        &self,
        what: &What<'_>,
        change: Option<Change>,
        probe: bool,
        breaker: &Breaker,
        alarm: &mut Option<Alarm>,
    ) {
        let Some(mut change) = change else { return };
        let reason = reason(self.outcome);
        if change == Change::StaysOpen
            && alarm.as_ref().is_some_and(|alarm| alarm.scope != what.scope)
        {
            // It waited for one reason and now waits for a worse one.
            change = Change::Opened;
        }
        what.tell(Some(change), probe, breaker, &reason);
        self.guards.write_down(what, change, &reason);
        let observer = &*self.guards.observer;
        match (change, alarm.as_mut()) {
            (Change::Closed, _) => *alarm = None,
            (Change::StaysOpen, Some(known)) => known.reason = reason,
            _ => {
                let lane = what.lane;
                let basis = lane.map(|lane| Basis::of(&self.ticket.generation, lane));
                let new = Alarm::new(observer, what.scope, what.plugin, reason, basis, self.now);
                *alarm = Some(new);
            }
        }
    }
}

/// What a breaker is about, for the log.
pub(super) struct What<'a> {
    pub(super) scope: BreakerScope,
    pub(super) plugin: &'a PluginName,
    pub(super) lane: Option<&'a Lane>,
    pub(super) target: Option<&'a str>,
}

impl What<'_> {
    /// One line for each change; a longer wait that was asked for meanwhile is none.
    pub(super) fn tell(
        &self,
        change: Option<Change>,
        probe: bool,
        breaker: &Breaker,
        reason: &Reason,
    ) {
        let Some(change) = change else { return };
        let scope = self.scope.as_str();
        let (plugin, target) = (self.plugin, self.target.unwrap_or("-"));
        let tenant = self.lane.map_or_else(|| String::from("-"), |lane| lane.tenant.to_string());
        let channel = self.lane.map_or("-", |lane| lane.channel.as_str());
        let next = breaker.until().map_or_else(String::new, UnixMs::rfc3339);
        let Reason { code, detail } = reason;
        match change {
            Change::Closed => tracing::info!(
                scope, %plugin, tenant, channel, target, "breaker closed: it works again"
            ),
            Change::Opened if self.scope == BreakerScope::Configuration => tracing::error!(
                scope, %plugin, tenant, channel, target, next, code,
                "channel stopped: it is misconfigured, and its messages wait until that is mended: \
                 {detail}"
            ),
            Change::Opened => tracing::warn!(
                scope, %plugin, tenant, channel, target, next, code,
                "breaker opened: messages wait, one will be tried then: {detail}"
            ),
            Change::StaysOpen if probe => tracing::warn!(
                scope, %plugin, tenant, channel, target, next, code,
                "breaker stays open: the message that was tried failed: {detail}"
            ),
            Change::StaysOpen => {}
        }
    }
}

pub(super) fn reason(outcome: &Outcome) -> Reason {
    let problem = match outcome {
        Outcome::Delivered { .. } => return Reason { code: String::new(), detail: String::new() },
        Outcome::Fault(fault) => {
            return Reason { code: fault.kind.as_str().to_owned(), detail: fault.detail.clone() };
        }
        Outcome::Rejected(problem)
        | Outcome::Misconfigured(problem)
        | Outcome::Unknown(problem)
        | Outcome::Moved { problem, .. }
        | Outcome::Retry { problem, .. } => problem,
    };
    Reason { code: problem.code.clone(), detail: short(&problem.detail) }
}

impl Guards {
    /// Alarms are events too: a channel that stops, a provider that is away, and their ends.
    pub(super) fn write_down(&self, what: &What<'_>, change: Change, reason: &Reason) {
        let ends = match change {
            Change::Opened => false,
            Change::Closed => true,
            Change::StaysOpen => return,
        };
        let subject = match what.scope {
            BreakerScope::Configuration => what.lane.map_or("-", |lane| lane.channel.as_str()),
            BreakerScope::Provider => what.target.unwrap_or("-"),
            BreakerScope::Destination | BreakerScope::Credential => return,
        };
        let scope = what.scope.as_str();
        let detail = match ends {
            true => format!("breaker closed: {scope} {subject}"),
            false => format!("breaker opened: {scope} {subject}: {}", reason.code),
        };
        let event = NewEvent {
            kind: EventKind::Host,
            tenant: what.lane.map(|lane| lane.tenant),
            notification: None,
            detail: Some(detail),
        };
        if let Err(error) = self.events.try_send(event) {
            tracing::warn!("an alarm was not written down as an event: {error}");
        }
    }
}
