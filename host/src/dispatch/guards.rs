//! What holds messages back although they are due: breakers and throttles, and the tables of them.
//!
//! Before a lane takes a turn the scheduler asks [`Guards::gate`], so a lane that is held back costs
//! no lease. A message that was leased passes [`Guards::admit`], which knows its target, and gets a
//! [`Ticket`]; what came of the call is told to [`Guards::record`].

mod entries;
mod news;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::mpsc;

use entries::{Destination, DestinationGuard, LaneGuard, Provider, Tables, probe_of};
use news::{News, What};

use super::{
    Observer,
    alarms::{Alarm, Basis, BreakerScope, BreakerStatus, Breakers, Reason},
    breaker::{Breaker, Change, Pass, Signal},
    bucket::Fill,
    signals::{self, Signals},
};
use crate::{
    bounded::Bounded,
    clock::UnixMs,
    config::{Channel, ThrottleScope},
    generation::Generation,
    ids::PluginName,
    limits,
    sandbox::{Contact, Outcome, Rate},
    store::{Lane, NewEvent},
};

/// Whether a lane may take a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    /// With so many deliveries at once. None: one that is running will change that.
    Room(usize),
    /// Not before this moment.
    Until(UnixMs),
}

/// All breakers and throttles of the process.
pub(super) struct Guards {
    tables: Mutex<Tables>,
    observer: Arc<dyn Observer>,
    /// Where alarms are written down.
    events: mpsc::Sender<NewEvent>,
}

/// The right to make one call. Dropped without [`Guards::record`], it was not made.
pub(super) struct Ticket {
    guards: Arc<Guards>,
    generation: Arc<Generation>,
    plugin: PluginName,
    destination: Destination,
    probes: Probes,
    made: bool,
}

#[derive(Clone, Default)]
struct Probes {
    lane: bool,
    destination: bool,
    provider: Option<Provider>,
}

impl Ticket {
    /// Whether this call is to find out if its channel (or endpoint of callbacks) works again.
    pub(super) fn is_probe(&self) -> bool {
        let endpoint = self.destination.0.channel.is_callbacks();
        self.probes.lane || (endpoint && self.probes.destination)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.made {
            self.guards.give_back(&self.destination, &self.probes);
        }
    }
}

fn rates_of<'a>(generation: &'a Generation, channel: &Channel) -> &'a [Rate] {
    generation.plugins.get(&channel.plugin).map_or(&[], |plugin| &plugin.manifest().rates)
}

impl Guards {
    /// `events`: takes alarms, for the trail.
    pub(super) fn new(observer: Arc<dyn Observer>, events: mpsc::Sender<NewEvent>) -> Arc<Self> {
        let tables = Tables {
            lanes: Bounded::new(limits::GUARDED_LANES_MAX),
            destinations: Bounded::new(limits::GUARDED_DESTINATIONS_MAX),
            providers: Bounded::new(limits::GUARDED_PROVIDERS_MAX),
        };
        Arc::new(Self { tables: Mutex::new(tables), observer, events })
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a lane of `channel` may take a turn now.
    pub(super) fn gate(
        &self,
        generation: &Generation,
        channel: &Channel,
        lane: &Lane,
        now: UnixMs,
    ) -> Gate {
        let mut tables = self.lock();
        let Tables { lanes, providers, .. } = &mut *tables;
        let rates = rates_of(generation, channel);
        let guard = if channel.throttle.is_some() || !rates.is_empty() {
            lanes.get_or_insert(lane, LaneGuard::default)
        } else {
            let Some(guard) = lanes.get_mut(lane) else { return Gate::Room(usize::MAX) };
            guard
        };
        let mut room = usize::MAX;
        // Messages that have another channel do not wait with the others: they are leased for a look
        // at how long they may, once each while the breaker is open.
        let held = match guard.has_fallback || !channel.fallback.is_empty() {
            true => |_| Gate::Room(limits::FALLBACK_SWEEP),
            false => Gate::Until,
        };
        match guard.breaker.pass(now) {
            Pass::Free => {}
            Pass::Probe => room = 1,
            // The probe is this lane's own: its end brings the lane back.
            Pass::Probing => return Gate::Room(0),
            Pass::Not(until) => return held(until),
        }
        if let Some(host) = guard.host.as_ref().filter(|_| !providers.is_empty())
            && let Some(provider) = providers.get_mut(&(channel.plugin.clone(), Arc::clone(host)))
        {
            match provider.probe(lane.tenant, now) {
                Ok(false) => {}
                Ok(true) => room = 1,
                Err(until) => return held(until),
            }
        }
        if guard.rates_of != generation.number {
            guard.rates_of = generation.number;
            let scope = ThrottleScope::Channel;
            guard.buckets.adopt(&Fill::all(channel.throttle.as_ref(), rates, scope), now);
        }
        if !guard.buckets.is_empty() {
            let tokens = guard.buckets.room(now);
            if tokens == 0 {
                self.observer.throttled(&channel.plugin, ThrottleScope::Channel);
                return Gate::Until(guard.buckets.ready_at(limits::THROTTLE_TURN, now));
            }
            room = room.min(tokens);
        }
        Gate::Room(room)
    }

    /// Lets one leased message pass, or says when it should come back.
    pub(super) fn admit(
        self: &Arc<Self>,
        generation: &Arc<Generation>,
        channel: &Channel,
        lane: &Lane,
        target: Option<&str>,
        now: UnixMs,
    ) -> Result<Ticket, UnixMs> {
        let mut tables = self.lock();
        let Tables { lanes, destinations, providers } = &mut *tables;
        let destination: Destination = (lane.clone(), target.map(Arc::from));
        let mut probes = Probes::default();
        let mut lane_guard = lanes.get_mut(lane);
        let mut provider_guard = None;
        if let Some(guard) = &lane_guard {
            probes.lane = probe_of(guard.breaker.pass(now), now)?;
            if let Some(host) = guard.host.as_ref().filter(|_| !providers.is_empty()) {
                let key = (channel.plugin.clone(), Arc::clone(host));
                provider_guard = providers.get_mut(&key);
                if let Some(provider) = &provider_guard
                    && provider.probe(lane.tenant, now)?
                {
                    probes.provider = Some(key);
                }
            }
        }
        let rates = rates_of(generation, channel);
        let fills = Fill::all(channel.throttle.as_ref(), rates, ThrottleScope::Destination);
        let destination_guard = if fills.is_empty() {
            destinations.get_mut(&destination)
        } else {
            let guard = destinations.get_or_insert(&destination, DestinationGuard::default);
            guard.buckets.adopt(&fills, now);
            Some(guard)
        };
        if let Some(guard) = destination_guard {
            probes.destination = probe_of(guard.breaker.pass(now), now)?;
            if guard.buckets.room(now) == 0 {
                self.observer.throttled(&channel.plugin, ThrottleScope::Destination);
                let slot = guard.line.max(guard.buckets.ready_at(Duration::ZERO, now));
                guard.line = slot.after(guard.buckets.interval());
                return Err(slot);
            }
            guard.buckets.take(now);
            if probes.destination {
                guard.breaker.probe();
            }
        }
        if let Some(guard) = &mut lane_guard {
            guard.buckets.take(now);
            if probes.lane {
                guard.breaker.probe();
            }
        }
        if let (Some(provider), Some(_)) = (provider_guard, &probes.provider) {
            provider.breaker.probe();
        }
        drop(tables);
        Ok(Ticket {
            guards: Arc::clone(self),
            generation: Arc::clone(generation),
            plugin: channel.plugin.clone(),
            destination,
            probes,
            made: false,
        })
    }

    /// Messages of this lane may go on to another channel.
    pub(super) fn has_fallback(&self, lane: &Lane) {
        self.lock().lanes.get_or_insert(lane, LaneGuard::default).has_fallback = true;
    }

    /// Whether messages of this lane may go on to another channel.
    pub(super) fn leads_on(&self, lane: &Lane, channel: &Channel) -> bool {
        !channel.fallback.is_empty()
            || self.lock().lanes.get_mut(lane).is_some_and(|guard| guard.has_fallback)
    }

    /// Why a lane is stopped as misconfigured, unless it is time to look whether it still is.
    pub(super) fn stopped(&self, lane: &Lane, now: UnixMs) -> Option<(String, String)> {
        let mut tables = self.lock();
        let guard = tables.lanes.get_mut(lane)?;
        let waits = matches!(guard.breaker.pass(now), Pass::Not(_) | Pass::Probing);
        let alarm = guard.alarm.as_ref().filter(|_| waits && guard.breaker.is_stopped())?;
        Some((alarm.reason.code.clone(), alarm.reason.detail.clone()))
    }

    fn give_back(&self, destination: &Destination, probes: &Probes) {
        let mut tables = self.lock();
        if let Some(guard) = tables.lanes.get_mut(&destination.0) {
            guard.buckets.give_back();
            if probes.lane {
                guard.breaker.probe_dropped();
            }
        }
        if let Some(guard) = tables.destinations.get_mut(destination) {
            guard.buckets.give_back();
            if probes.destination {
                guard.breaker.probe_dropped();
            }
        }
        if let Some(provider) = &probes.provider
            && let Some(guard) = tables.providers.get_mut(provider)
        {
            guard.breaker.probe_dropped();
        }
    }

    /// What came of a call. `current`: the generation in force, which may be a later one than the
    /// call was made in.
    pub(super) fn record(
        &self,
        mut ticket: Ticket,
        outcome: &Outcome,
        contact: Option<&Contact>,
        current: &Generation,
        now: UnixMs,
    ) {
        ticket.made = true;
        let mut told = signals::read(outcome, contact);
        let lane = &ticket.destination.0;
        // What a channel that has changed since then said about itself holds no longer.
        if ticket.generation.number != current.number
            && Basis::of(&ticket.generation, lane) != Basis::of(current, lane)
        {
            told.credential = None;
            told.destination = None;
        }
        if lane.channel.is_callbacks() {
            // Each endpoint is a world of its own.
            let stop = told.credential.filter(|signal| *signal == Signal::Stop);
            told = Signals {
                destination: stop.or(told.destination),
                credential: None,
                provider: None,
            };
        }
        if ticket.probes.lane {
            // A probe always decides: what is not known to work does not.
            told.credential = told.credential.or(Some(Signal::Failed));
        }
        if ticket.probes.destination {
            told.destination = told.destination.or(Some(Signal::Failed));
        }
        let mut tables = self.lock();
        let host = contact.map(|contact| Arc::clone(&contact.host));
        let guard = tables.lanes.get_or_insert(lane, LaneGuard::default);
        if host.is_some() && guard.host != host {
            guard.host.clone_from(&host);
        }
        let news = News { ticket: &ticket, outcome, now, guards: self };
        news.lane(guard, told);
        news.destination(&mut tables.destinations, told);
        let probed = ticket.probes.provider.clone();
        if let Some(provider) =
            probed.clone().or_else(|| Some((ticket.plugin.clone(), host.clone()?)))
        {
            let signal = told.provider.or(probed.map(|_| Signal::Failed));
            news.provider(&mut tables.providers, &provider, signal);
        }
    }

    /// A channel could not even be called, being misconfigured. True if it was stopped for that
    /// before: then this was the message that looked whether it is mended.
    pub(super) fn stop(
        &self,
        generation: &Generation,
        plugin: &PluginName,
        lane: &Lane,
        detail: &str,
        now: UnixMs,
    ) -> bool {
        let mut tables = self.lock();
        let guard = tables.lanes.get_or_insert(lane, LaneGuard::default);
        let probe = guard.breaker.is_stopped();
        let change = guard.breaker.signal(Signal::Stop, probe, now);
        let reason = Reason { code: String::from("configuration"), detail: String::from(detail) };
        let basis = Some(Basis::of(generation, lane));
        let what =
            What { scope: BreakerScope::Configuration, plugin, lane: Some(lane), target: None };
        what.tell(change, true, &guard.breaker, &reason);
        if let Some(change) = change {
            self.write_down(&what, change, &reason);
        }
        if guard.alarm.as_ref().is_none_or(|alarm| alarm.scope != what.scope) {
            guard.alarm = Some(Alarm::new(&*self.observer, what.scope, plugin, reason, basis, now));
        }
        probe
    }

    /// A new generation is in force: what has changed gets another chance at once.
    pub(super) fn adopt(&self, generation: &Generation) {
        let mended = |alarm: &Option<Alarm>, lane: &Lane| {
            let basis = alarm.as_ref().and_then(|alarm| alarm.basis.as_ref());
            basis.is_some_and(|basis| *basis != Basis::of(generation, lane))
        };
        let mut tables = self.lock();
        tables.lanes.retain(|lane, guard| {
            if mended(&guard.alarm, lane) {
                tracing::info!(
                    tenant = %lane.tenant, channel = %lane.channel,
                    "breaker closed: the channel's configuration has changed"
                );
                if let Some(alarm) = guard.alarm.take() {
                    let (scope, plugin) = (alarm.scope, &alarm.plugin);
                    let what = What { scope, plugin, lane: Some(lane), target: None };
                    self.write_down(&what, Change::Closed, &alarm.reason);
                }
                guard.breaker = Breaker::new(limits::BREAKER_FAILURES);
            }
            true
        });
        tables.destinations.retain(|(lane, _), guard| !mended(&guard.alarm, lane));
    }

    /// Every breaker that is not closed.
    pub(super) fn status(&self, now: UnixMs) -> Breakers {
        let tables = self.lock();
        let mut all = Breakers::default();
        let mut add = |alarm: &Option<Alarm>, breaker: &Breaker, lane: Option<&Lane>, target| {
            let (Some(alarm), Some(until)) = (alarm, breaker.until()) else { return };
            let index = BreakerScope::ALL.iter().position(|scope| *scope == alarm.scope);
            if let Some(count) = index.and_then(|index| all.counts.get_mut(index)) {
                *count += 1;
            }
            if all.shown.len() < limits::BREAKERS_SHOWN_MAX {
                all.shown.push(BreakerStatus {
                    scope: alarm.scope,
                    plugin: alarm.plugin.clone(),
                    lane: lane.cloned(),
                    target,
                    state: breaker.state(now),
                    since: alarm.since,
                    until,
                    code: alarm.reason.code.clone(),
                    detail: alarm.reason.detail.clone(),
                });
            }
        };
        // The widest first: they matter most where not all are shown.
        for ((_, host), guard) in tables.providers.iter() {
            add(&guard.alarm, &guard.breaker, None, Some(Arc::clone(host)));
        }
        for (lane, guard) in tables.lanes.iter() {
            add(&guard.alarm, &guard.breaker, Some(lane), None);
        }
        for ((lane, target), guard) in tables.destinations.iter() {
            add(&guard.alarm, &guard.breaker, Some(lane), target.clone());
        }
        all
    }
}

impl fmt::Debug for Guards {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guards").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
