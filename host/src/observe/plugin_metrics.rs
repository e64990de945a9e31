//! The numbers of one plugin. Their handles are made once, so that counting is one atomic addition
//! and a scrape shows zeros from the start.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    denials::{DenialFamily, Denials},
    words::words,
};
use crate::egress::DenialReason;

words! {
    /// How an attempt ended; the words of [`crate::store::Attempt`].
    enum DeliveryOutcome {
        /// The provider has it.
        Delivered = "delivered",
        /// The provider took it and says no more.
        Accepted = "accepted",
        /// The provider refused it.
        Rejected = "rejected",
        /// A credential or option is wrong.
        Misconfigured = "misconfigured",
        /// To be tried again.
        Retry = "retry",
        /// Sent without an answer.
        Unknown = "unknown",
        /// The target is elsewhere.
        Moved = "moved",
        /// The guest trapped.
        Crashed = "crashed",
        /// Out of wall time.
        Timeout = "timeout",
        /// Out of another limit.
        Limit = "limit",
        /// No instance or no plugin.
        Unavailable = "unavailable",
        /// Too late to deliver.
        Expired = "expired",
        /// The lease ran out.
        Lost = "lost",
        /// A word that is not in this list.
        Other = "other",
    }
}

impl DeliveryOutcome {
    fn of(word: &str) -> Self {
        Self::ALL.iter().copied().find(|outcome| outcome.word() == word).unwrap_or(Self::Other)
    }
}

words! {
    /// What a guest did wrong.
    pub enum Fault {
        /// It trapped.
        Trap = "trap",
        /// Out of wall time.
        Timeout = "timeout",
        /// Out of CPU time.
        Cpu = "cpu",
        /// Out of memory.
        Memory = "memory",
        /// Out of another limit.
        Limit = "limit",
        /// It could not be started.
        Start = "start",
    }
}

words! {
    /// How an outbound request ended.
    pub enum EgressOutcome {
        /// An answer below 400.
        Ok = "ok",
        /// An answer of 400 to 499.
        ClientError = "4xx",
        /// An answer of 500 and above.
        ServerError = "5xx",
        /// Not granted.
        Denied = "denied",
        /// No connection.
        Connect = "connect",
        /// Out of time.
        Timeout = "timeout",
        /// Too large.
        TooLarge = "too-large",
        /// Anything else.
        Failed = "failed",
    }
}

words! {
    /// What an open breaker is about.
    pub enum BreakerWord {
        /// One target of a channel.
        Destination = "destination",
        /// All of a channel.
        Credential = "credential",
        /// All of a channel, until something is mended.
        Configuration = "configuration",
        /// All that goes to one host.
        Provider = "provider",
    }
}

words! {
    /// What a rate is counted for.
    pub enum ThrottleWord {
        /// A channel.
        Channel = "channel",
        /// One target of a channel.
        Destination = "destination",
    }
}

type Labels = [(&'static str, Arc<str>); 1];
type Labels2 = [(&'static str, Arc<str>); 2];

/// All plugins' numbers.
#[derive(Clone, Debug)]
pub(super) struct PluginFamilies {
    deliveries: Family<Labels2, Counter>,
    delivery_seconds: Family<Labels, Histogram, fn() -> Histogram>,
    in_flight: Family<Labels, Gauge>,
    live: Family<Labels, Gauge>,
    created: Family<Labels, Counter>,
    faults: Family<Labels2, Counter>,
    egress: Family<Labels2, Counter>,
    denials: DenialFamily,
    log_dropped: Family<Labels, Counter>,
    breakers_open: Family<Labels2, Gauge>,
    breakers_opened: Family<Labels2, Counter>,
    throttled: Family<Labels2, Counter>,
    quarantined: Family<Labels, Gauge>,
    quarantines: Family<Labels, Counter>,
}

/// From a formatting job in a warm instance to the ceiling of a send.
const DELIVERY_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

impl PluginFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            deliveries: Family::default(),
            delivery_seconds: Family::new_with_constructor(|| Histogram::new(DELIVERY_SECONDS)),
            in_flight: Family::default(),
            live: Family::default(),
            created: Family::default(),
            faults: Family::default(),
            egress: Family::default(),
            denials: DenialFamily::register(registry),
            log_dropped: Family::default(),
            breakers_open: Family::default(),
            breakers_opened: Family::default(),
            throttled: Family::default(),
            quarantined: Family::default(),
            quarantines: Family::default(),
        };
        let all = families.clone();
        registry.register("deliveries", "Attempts by plugin and outcome", all.deliveries);
        registry.register(
            "delivery_duration_seconds",
            "How long an attempt took, from the call of the plugin to its answer",
            all.delivery_seconds,
        );
        registry.register("attempts_in_flight", "Attempts that are running", all.in_flight);
        registry.register("instances_live", "Live instances", all.live);
        registry.register("instances_created", "Instances that were created", all.created);
        registry.register("guest_faults", "Traps, timeouts and limit hits of guests", all.faults);
        registry.register("egress_requests", "Outbound requests by outcome", all.egress);
        registry.register("log_lines_dropped", "Log lines of guests not kept", all.log_dropped);
        registry.register("breakers_open", "Breakers that are not closed", all.breakers_open);
        registry.register("breakers_opened", "Breakers that opened", all.breakers_opened);
        registry.register("throttled", "Turns and messages held back by a rate", all.throttled);
        registry.register("quarantined", "Channels in quarantine", all.quarantined);
        registry.register("quarantines", "Channels put into quarantine", all.quarantines);
        families
    }

    pub(super) fn of(&self, plugin: &Arc<str>) -> PluginMetrics {
        let one = [("plugin", Arc::clone(plugin))];
        let two = |name, word: &str| [("plugin", Arc::clone(plugin)), (name, Arc::from(word))];
        let counters = |family: &Family<Labels2, Counter>, name, words: Vec<&'static str>| {
            words.into_iter().map(|word| family.get_or_create_owned(&two(name, word))).collect()
        };
        let outcomes = DeliveryOutcome::ALL.iter().map(|outcome| outcome.word()).collect();
        let faults = Fault::ALL.iter().map(|fault| fault.word()).collect();
        let egress = EgressOutcome::ALL.iter().map(|outcome| outcome.word()).collect();
        let scopes = || BreakerWord::ALL.iter().map(|scope| scope.word());
        let rates = ThrottleWord::ALL.iter().map(|scope| scope.word()).collect();
        PluginMetrics {
            deliveries: counters(&self.deliveries, "outcome", outcomes),
            delivery_seconds: self.delivery_seconds.get_or_create_owned(&one),
            in_flight: self.in_flight.get_or_create_owned(&one),
            live: self.live.get_or_create_owned(&one),
            created: self.created.get_or_create_owned(&one),
            faults: counters(&self.faults, "kind", faults),
            egress: counters(&self.egress, "outcome", egress),
            denials: self.denials.of(plugin),
            log_dropped: self.log_dropped.get_or_create_owned(&one),
            breakers_open: scopes()
                .map(|scope| self.breakers_open.get_or_create_owned(&two("scope", scope)))
                .collect(),
            breakers_opened: counters(&self.breakers_opened, "scope", scopes().collect()),
            throttled: counters(&self.throttled, "scope", rates),
            quarantined: self.quarantined.get_or_create_owned(&one),
            quarantines: self.quarantines.get_or_create_owned(&one),
        }
    }
}

/// One plugin's numbers; keep it where the plugin is used often.
#[derive(Debug)]
pub struct PluginMetrics {
    deliveries: Vec<Counter>,
    delivery_seconds: Histogram,
    in_flight: Gauge,
    live: Gauge,
    created: Counter,
    faults: Vec<Counter>,
    egress: Vec<Counter>,
    denials: Denials,
    log_dropped: Counter,
    breakers_open: Vec<Gauge>,
    breakers_opened: Vec<Counter>,
    throttled: Vec<Counter>,
    quarantined: Gauge,
    quarantines: Counter,
}

/// A channel in quarantine; out of it when this is dropped.
#[derive(Debug)]
pub struct QuarantineGuard(Gauge);

impl Drop for QuarantineGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A breaker that is not closed; closed again when it is dropped.
#[derive(Debug)]
pub struct BreakerGuard(Option<Gauge>);

impl Drop for BreakerGuard {
    fn drop(&mut self) {
        if let Some(gauge) = &self.0 {
            gauge.dec();
        }
    }
}

/// An attempt that is running; over when it is dropped.
#[derive(Debug)]
pub struct AttemptGuard(Gauge);

impl Drop for AttemptGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn count(counters: &[Counter], index: usize) {
    if let Some(counter) = counters.get(index) {
        counter.inc();
    }
}

impl PluginMetrics {
    /// An attempt ended with `outcome`, a word of [`crate::store::Attempt`].
    /// `took`: none when the plugin was not called.
    pub fn delivery(&self, outcome: &str, took: Option<Duration>) {
        count(&self.deliveries, DeliveryOutcome::of(outcome) as usize);
        if let Some(took) = took {
            self.delivery_seconds.observe(took.as_secs_f64());
        }
    }

    /// An attempt begins.
    #[must_use]
    pub fn attempt(&self) -> AttemptGuard {
        self.in_flight.inc();
        AttemptGuard(self.in_flight.clone())
    }

    /// A breaker opened.
    #[must_use]
    pub fn breaker_opened(&self, scope: BreakerWord) -> BreakerGuard {
        count(&self.breakers_opened, scope as usize);
        let gauge = self.breakers_open.get(scope as usize).cloned();
        if let Some(gauge) = &gauge {
            gauge.inc();
        }
        BreakerGuard(gauge)
    }

    /// A rate held something back.
    pub fn throttled(&self, scope: ThrottleWord) {
        count(&self.throttled, scope as usize);
    }

    /// A channel was put into quarantine.
    #[must_use]
    pub fn quarantined(&self) -> QuarantineGuard {
        self.quarantines.inc();
        self.quarantined.inc();
        QuarantineGuard(self.quarantined.clone())
    }

    /// An instance was created.
    pub fn instance_created(&self) {
        self.created.inc();
        self.live.inc();
    }

    /// An instance is gone.
    pub fn instance_closed(&self) {
        self.live.dec();
    }

    /// A guest did something wrong.
    pub fn fault(&self, fault: Fault) {
        count(&self.faults, fault as usize);
    }

    /// An outbound request ended.
    pub fn egress(&self, outcome: EgressOutcome) {
        count(&self.egress, outcome as usize);
    }

    /// An outbound request was refused, or would have been.
    pub fn egress_denied(&self, reason: DenialReason, enforced: bool) {
        self.denials.count(reason, enforced);
    }

    /// Log lines were dropped.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.log_dropped.inc_by(lines);
    }
}
