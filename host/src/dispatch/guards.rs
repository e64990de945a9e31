//! What holds messages back although they are due: breakers and throttles, and the tables of them.
//!
//! Before a lane takes a turn the scheduler asks [`Guards::gate`], so a lane that is held back costs
//! no lease. A message that was leased passes [`Guards::admit`], which knows its target, and gets a
//! [`Ticket`]; what came of the call is told to [`Guards::record`].

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    Observer,
    alarms::{Alarm, Basis, BreakerScope, BreakerStatus, Breakers, Reason},
    bounded::Bounded,
    breaker::{Breaker, Change, Pass, Signal},
    bucket::{Buckets, Fill},
    signals::{self, Signals},
};
use crate::{
    clock::UnixMs,
    config::{Channel, ThrottleScope},
    generation::Generation,
    ids::{PluginName, TenantId},
    limits,
    sandbox::{Contact, Outcome, Rate},
    store::Lane,
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
}

type Target = Option<Arc<str>>;
type Destination = (Lane, Target);
type Provider = (PluginName, Arc<str>);

struct Tables {
    lanes: Bounded<Lane, LaneGuard>,
    destinations: Bounded<Destination, DestinationGuard>,
    providers: Bounded<Provider, ProviderGuard>,
}

struct LaneGuard {
    breaker: Breaker,
    alarm: Option<Alarm>,
    buckets: Buckets,
    /// The generation whose rates `buckets` has; 0: none yet.
    rates_of: u64,
    /// Whom its calls speak to.
    host: Option<Arc<str>>,
    /// Whether messages have come that may go on to another channel.
    has_fallback: bool,
}

struct DestinationGuard {
    breaker: Breaker,
    alarm: Option<Alarm>,
    buckets: Buckets,
    /// When the next message that finds no token may come back: each gets a time of its own, or all
    /// would come at once and all but one in vain.
    line: UnixMs,
}

struct ProviderGuard {
    breaker: Breaker,
    alarm: Option<Alarm>,
    /// Who has seen it fail since it was opened or closed; fewer than it takes to open it.
    tenants: Vec<TenantId>,
    /// When these may probe again. The others may at any time: a tenant with an address that never
    /// works must not be able to keep a host from those whose addresses do.
    again: UnixMs,
}

impl Default for LaneGuard {
    fn default() -> Self {
        Self {
            breaker: Breaker::new(limits::BREAKER_FAILURES),
            alarm: None,
            buckets: Buckets::default(),
            rates_of: 0,
            host: None,
            has_fallback: false,
        }
    }
}

impl Default for DestinationGuard {
    fn default() -> Self {
        Self {
            breaker: Breaker::new(limits::BREAKER_FAILURES),
            alarm: None,
            buckets: Buckets::default(),
            line: UnixMs(0),
        }
    }
}

impl Default for ProviderGuard {
    fn default() -> Self {
        let breaker = Breaker::new(limits::BREAKER_FAILURES_PROVIDER);
        Self { breaker, alarm: None, tenants: Vec::new(), again: UnixMs(0) }
    }
}

impl ProviderGuard {
    /// Whether a message of `tenant` is the probe, or when it should come back.
    fn probe(&self, tenant: TenantId, now: UnixMs) -> Result<bool, UnixMs> {
        let probe = probe_of(self.breaker.pass(now), now)?;
        if probe && now < self.again && self.tenants.contains(&tenant) {
            return Err(self.again);
        }
        Ok(probe)
    }

    /// Whether a failure that `tenant` has seen is that tenant's own trouble, as far as is known.
    fn is_own_trouble(&mut self, tenant: TenantId, probe: bool, now: UnixMs) -> bool {
        if !self.tenants.contains(&tenant) {
            self.tenants.push(tenant);
        }
        if self.tenants.len() >= limits::BREAKER_PROVIDER_TENANTS {
            self.tenants.clear();
            return false;
        }
        if probe {
            self.breaker.probe_dropped();
            self.again = now.after(self.breaker.pause());
        }
        // Below the edge it is counted, and opens nothing.
        probe || (self.breaker.is_closed() && self.breaker.is_at_the_edge())
    }
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

/// Takes a probe away from a breaker, if there is one.
fn probe_of(pass: Pass, now: UnixMs) -> Result<bool, UnixMs> {
    match pass {
        Pass::Free => Ok(false),
        Pass::Probe => Ok(true),
        Pass::Probing => Err(now.after(limits::BREAKER_LOOK_AGAIN)),
        Pass::Not(until) => Err(until),
    }
}

fn rates_of<'a>(generation: &'a Generation, channel: &Channel) -> &'a [Rate] {
    generation.plugins.get(&channel.plugin).map_or(&[], |plugin| &plugin.manifest().rates)
}

impl Guards {
    pub(super) fn new(observer: Arc<dyn Observer>) -> Arc<Self> {
        let tables = Tables {
            lanes: Bounded::new(limits::GUARDED_LANES_MAX),
            destinations: Bounded::new(limits::GUARDED_DESTINATIONS_MAX),
            providers: Bounded::new(limits::GUARDED_PROVIDERS_MAX),
        };
        Arc::new(Self { tables: Mutex::new(tables), observer })
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
        let news = News { ticket: &ticket, outcome, now, observer: &*self.observer };
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
                guard.breaker = Breaker::new(limits::BREAKER_FAILURES);
                guard.alarm = None;
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

/// The end of one call, on its way to the breakers.
struct News<'a> {
    ticket: &'a Ticket,
    outcome: &'a Outcome,
    now: UnixMs,
    observer: &'a dyn Observer,
}

impl News<'_> {
    fn lane(&self, guard: &mut LaneGuard, told: Signals) {
        let Some(signal) = told.credential else { return };
        let lane = &self.ticket.destination.0;
        let change = guard.breaker.signal(signal, self.ticket.probes.lane, self.now);
        let scope = match guard.breaker.is_stopped() {
            true => BreakerScope::Configuration,
            false => BreakerScope::Credential,
        };
        let what = What { scope, plugin: &self.ticket.plugin, lane: Some(lane), target: None };
        self.note(&what, change, self.ticket.probes.lane, &guard.breaker, &mut guard.alarm);
    }

    fn destination(
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

    fn provider(
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
        match (change, alarm.as_mut()) {
            (Change::Closed, _) => *alarm = None,
            (Change::StaysOpen, Some(known)) => known.reason = reason,
            _ => {
                let lane = what.lane;
                let basis = lane.map(|lane| Basis::of(&self.ticket.generation, lane));
                let new =
                    Alarm::new(self.observer, what.scope, what.plugin, reason, basis, self.now);
                *alarm = Some(new);
            }
        }
    }
}

/// What a breaker is about, for the log.
struct What<'a> {
    scope: BreakerScope,
    plugin: &'a PluginName,
    lane: Option<&'a Lane>,
    target: Option<&'a str>,
}

impl What<'_> {
    /// One line for each change; a longer wait that was asked for meanwhile is none.
    fn tell(&self, change: Option<Change>, probe: bool, breaker: &Breaker, reason: &Reason) {
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

fn reason(outcome: &Outcome) -> Reason {
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
    Reason { code: problem.code.clone(), detail: super::short(&problem.detail) }
}

impl fmt::Debug for Guards {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guards").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
