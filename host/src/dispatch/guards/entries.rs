//! What is kept of a channel, a destination and a provider.

use std::sync::Arc;

use super::super::{
    alarms::Alarm,
    breaker::{Breaker, Pass},
    bucket::Buckets,
};
use crate::{
    bounded::Bounded,
    clock::UnixMs,
    ids::{PluginName, TenantId},
    limits,
    store::Lane,
};

pub(super) type Target = Option<Arc<str>>;
pub(super) type Destination = (Lane, Target);
pub(super) type Provider = (PluginName, Arc<str>);

pub(super) struct Tables {
    pub(super) lanes: Bounded<Lane, LaneGuard>,
    pub(super) destinations: Bounded<Destination, DestinationGuard>,
    pub(super) providers: Bounded<Provider, ProviderGuard>,
}

pub(super) struct LaneGuard {
    pub(super) breaker: Breaker,
    pub(super) alarm: Option<Alarm>,
    pub(super) buckets: Buckets,
    /// The generation whose rates `buckets` has; 0: none yet.
    pub(super) rates_of: u64,
    /// Whom its calls speak to.
    pub(super) host: Option<Arc<str>>,
    /// Whether messages have come that may go on to another channel.
    pub(super) has_fallback: bool,
}

pub(super) struct DestinationGuard {
    pub(super) breaker: Breaker,
    pub(super) alarm: Option<Alarm>,
    pub(super) buckets: Buckets,
    /// When the next message that finds no token may come back: each gets a time of its own, or all
    /// would come at once and all but one in vain.
    pub(super) line: UnixMs,
}

pub(super) struct ProviderGuard {
    pub(super) breaker: Breaker,
    pub(super) alarm: Option<Alarm>,
    /// Who has seen it fail since it was opened or closed; fewer than it takes to open it.
    pub(super) tenants: Vec<TenantId>,
    /// When these may probe again. The others may at any time: a tenant with an address that never
    /// works must not be able to keep a host from those whose addresses do.
    pub(super) again: UnixMs,
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
            breaker: Breaker::with_rate(limits::BREAKER_FAILURES),
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
    pub(super) fn probe(&self, tenant: TenantId, now: UnixMs) -> Result<bool, UnixMs> {
        let probe = probe_of(self.breaker.pass(now), now)?;
        if probe && now < self.again && self.tenants.contains(&tenant) {
            return Err(self.again);
        }
        Ok(probe)
    }

    /// Whether a failure that `tenant` has seen is that tenant's own trouble, as far as is known.
    pub(super) fn is_own_trouble(&mut self, tenant: TenantId, probe: bool, now: UnixMs) -> bool {
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

/// Takes a probe away from a breaker, if there is one.
pub(super) fn probe_of(pass: Pass, now: UnixMs) -> Result<bool, UnixMs> {
    match pass {
        Pass::Free => Ok(false),
        Pass::Probe => Ok(true),
        Pass::Probing => Err(now.after(limits::BREAKER_LOOK_AGAIN)),
        Pass::Not(until) => Err(until),
    }
}
