use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use super::*;
use crate::{
    config::{Config, Origin, RetryPolicy, Tenant, TenantLimits, Throttle},
    ids::TenantId,
    sandbox::{Problem, RetryScope},
};

const NOW: UnixMs = UnixMs(1_000_000);

/// Counts breakers that are open, and what a rate held back.
#[derive(Default)]
struct Counts {
    open: Arc<AtomicUsize>,
    throttled: AtomicUsize,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Observer for Counts {
    fn begun(&self, _: &PluginName) -> Box<dyn Send> {
        Box::new(())
    }
    fn attempt(&self, _: &PluginName, _: &'static str, _: Option<Duration>) {}
    fn lanes(&self, _: usize) {}
    fn wanted(&self, _: &PluginName) {}
    fn breaker_opened(&self, _: &PluginName, _: BreakerScope) -> Box<dyn Send> {
        self.open.fetch_add(1, Ordering::Relaxed);
        Box::new(Open(Arc::clone(&self.open)))
    }
    fn throttled(&self, _: &PluginName, _: ThrottleScope) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }
}

/// Two tenants with a channel "c" each, both of one plugin.
struct Setup {
    guards: Arc<Guards>,
    events: std::sync::Mutex<mpsc::Receiver<NewEvent>>,
    counts: Arc<Counts>,
    generation: Arc<Generation>,
}

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1 }
}

fn channel(throttle: Option<Throttle>, options: &str) -> Channel {
    let options = serde_json::from_str(options).unwrap();
    Channel {
        name: "c".parse().unwrap(),
        plugin: "p".parse().unwrap(),
        options: Arc::new(options),
        secrets: BTreeMap::new(),
        fallback: Vec::new(),
        retry: RetryPolicy::default(),
        throttle,
        origin: origin(),
    }
}

fn generation(number: u64, first: Channel) -> Arc<Generation> {
    let mut config = Config::default();
    for (id, channel) in [(1, first), (2, channel(None, "{}"))] {
        let id = TenantId(uuid::Uuid::from_u128(id));
        let tenant = Tenant {
            id,
            name: Arc::from("T"),
            slug: Arc::from("t"),
            key_hashes: Vec::new(),
            key_envs: Vec::new(),
            domains: Vec::new(),
            ports: Vec::new(),
            plugins: std::collections::BTreeSet::new(),
            cors: Vec::new(),
            limits: TenantLimits { rate_per_s: None, burst: 1, queue_max: 1, weight: 1 },
            access_sources: Vec::new(),
            callbacks: Vec::new(),
            channels: [(channel.name.clone(), Arc::new(channel))].into(),
            origin: origin(),
        };
        config.tenants.insert(id, Arc::new(tenant));
    }
    Arc::new(Generation::new(number, NOW, Arc::new(config), BTreeMap::new()))
}

fn lane(tenant: u128) -> Lane {
    Lane { tenant: TenantId(uuid::Uuid::from_u128(tenant)), channel: "c".parse().unwrap() }
}

fn contact(failed: bool) -> Option<Contact> {
    Some(Contact { host: Arc::from("provider.example"), failed })
}

fn problem() -> Problem {
    Problem { code: String::from("code"), detail: String::from("detail") }
}

fn delivered() -> Outcome {
    Outcome::Delivered { accepted_only: false, provider_id: None, details: Vec::new() }
}

fn retry(scope: RetryScope, after_s: Option<u64>) -> Outcome {
    Outcome::Retry { problem: problem(), after: after_s.map(Duration::from_secs), scope }
}

impl Setup {
    fn new(first: Channel) -> Self {
        let counts = Arc::new(Counts::default());
        let (sender, events) = mpsc::channel(16);
        let guards = Guards::new(Arc::clone(&counts) as Arc<dyn Observer>, sender);
        let events = std::sync::Mutex::new(events);
        Self { guards, events, counts, generation: generation(1, first) }
    }

    fn gate(&self, tenant: u128, now: UnixMs) -> Gate {
        let lane = lane(tenant);
        let channel = self.generation.channel(lane.tenant, &lane.channel).unwrap();
        self.guards.gate(&self.generation, channel, &lane, now)
    }

    fn admit(&self, tenant: u128, target: Option<&str>, now: UnixMs) -> Result<Ticket, UnixMs> {
        let lane = lane(tenant);
        let channel = self.generation.channel(lane.tenant, &lane.channel).unwrap();
        self.guards.admit(&self.generation, channel, &lane, target, now)
    }

    /// One message from admission to its end.
    fn send(&self, tenant: u128, target: Option<&str>, outcome: &Outcome, now: UnixMs) {
        let host_failed = matches!(outcome, Outcome::Unknown(_));
        let Ok(ticket) = self.admit(tenant, target, now) else { panic!("it may pass") };
        self.guards.record(ticket, outcome, contact(host_failed).as_ref(), &self.generation, now);
    }

    fn counts(&self) -> [usize; 4] {
        self.guards.status(NOW).counts
    }

    /// The events since the last look.
    fn events(&self) -> Vec<String> {
        let mut events = self.events.lock().unwrap();
        std::iter::from_fn(|| events.try_recv().ok()).filter_map(|event| event.detail).collect()
    }

    fn open_metric(&self) -> usize {
        self.counts.open.load(Ordering::Relaxed)
    }
}

#[test]
fn a_destination_that_asks_to_wait_holds_back_its_own_messages_only() {
    let setup = Setup::new(channel(None, "{}"));
    setup.send(1, Some("a"), &retry(RetryScope::Destination, Some(60)), NOW);
    assert_eq!(setup.admit(1, Some("a"), NOW).err(), Some(NOW.after(Duration::from_mins(1))));
    assert!(setup.admit(1, Some("b"), NOW).is_ok());
    assert!(setup.admit(1, None, NOW).is_ok());
    assert!(setup.admit(2, Some("a"), NOW).is_ok(), "another tenant's target of that name");
    assert_eq!(setup.gate(1, NOW), Gate::Room(usize::MAX), "its lane takes its turns");
    let status = setup.guards.status(NOW);
    assert_eq!(status.counts, [1, 0, 0, 0]);
    assert_eq!(status.shown[0].target.as_deref(), Some("a"));
    assert_eq!(setup.open_metric(), 1);
}

#[test]
fn a_credential_that_must_wait_takes_its_lane_out_of_the_schedule() {
    let setup = Setup::new(channel(None, "{}"));
    setup.send(1, None, &retry(RetryScope::Credential, Some(60)), NOW);
    let later = NOW.after(Duration::from_mins(1));
    assert_eq!(setup.gate(1, NOW), Gate::Until(later));
    assert_eq!(setup.gate(2, NOW), Gate::Room(usize::MAX));
    assert_eq!(setup.gate(1, later), Gate::Room(1), "one is let through to try");
    let probe = setup.admit(1, None, later).ok().unwrap();
    assert!(probe.is_probe());
    assert_eq!(setup.gate(1, later), Gate::Room(0));
    assert!(setup.admit(1, None, later).is_err());
    setup.guards.record(probe, &delivered(), contact(false).as_ref(), &setup.generation, later);
    assert_eq!(setup.gate(1, later), Gate::Room(usize::MAX));
    assert_eq!((setup.counts(), setup.open_metric()), ([0; 4], 0));
}

#[test]
fn a_probe_that_is_dropped_uncalled_leaves_its_place_and_its_token() {
    let throttle = Throttle { rate_per_s: 1.0, burst: 1, per: ThrottleScope::Channel };
    let setup = Setup::new(channel(Some(throttle), "{}"));
    assert_eq!(setup.gate(1, NOW), Gate::Room(1));
    setup.send(1, None, &retry(RetryScope::Credential, Some(60)), NOW);
    let later = NOW.after(Duration::from_mins(1));
    drop(setup.admit(1, None, later).ok().unwrap());
    assert_eq!(setup.gate(1, later), Gate::Room(1));
    assert!(setup.admit(1, None, later).ok().unwrap().is_probe());
}

#[test]
fn failures_of_the_host_in_a_row_open_the_channels_breaker() {
    let setup = Setup::new(channel(None, "{}"));
    let unreachable = Outcome::Unknown(problem());
    for number in 0..limits::BREAKER_FAILURES {
        assert_eq!(setup.gate(1, NOW), Gate::Room(usize::MAX), "after {number}");
        setup.send(1, Some(&number.to_string()), &unreachable, NOW);
    }
    assert_eq!(setup.gate(1, NOW), Gate::Until(NOW.after(limits::BREAKER_OPEN_FIRST)));
    assert_eq!(setup.counts(), [0, 1, 0, 0]);
}

/// Fails until the channel's own breaker is open, lets it become half-open, and so on.
fn fail_at_the_host(setup: &Setup, tenant: u128, times: u32, mut now: UnixMs) -> UnixMs {
    for number in 0..times {
        let target = number.to_string();
        while let Gate::Until(until) = setup.gate(tenant, now) {
            now = until;
        }
        let Ok(ticket) = setup.admit(tenant, Some(&target), now) else { return now };
        let outcome = Outcome::Unknown(problem());
        setup.guards.record(ticket, &outcome, contact(true).as_ref(), &setup.generation, now);
    }
    now
}

#[test]
fn one_tenants_failures_never_stop_a_host_for_the_others() {
    let setup = Setup::new(channel(None, "{}"));
    let now = fail_at_the_host(&setup, 1, limits::BREAKER_FAILURES_PROVIDER * 2, NOW);
    assert_eq!(setup.guards.status(now).counts[3], 0);
    assert_eq!(setup.gate(2, now), Gate::Room(usize::MAX));
    // The first failure of another is the proof that it is the host's.
    setup.send(2, None, &Outcome::Unknown(problem()), now);
    let status = setup.guards.status(now);
    assert_eq!(status.counts[3], 1);
    assert_eq!(status.shown[0].target.as_deref(), Some("provider.example"));
    assert!(matches!(setup.gate(2, now), Gate::Until(_)), "both wait now");
}

#[test]
fn a_tenant_whose_address_never_works_does_not_keep_the_host_from_the_others() {
    let setup = Setup::new(channel(None, "{}"));
    let mut now = fail_at_the_host(&setup, 1, limits::BREAKER_FAILURES_PROVIDER * 2, NOW);
    setup.send(2, None, &Outcome::Unknown(problem()), now);
    assert_eq!(setup.guards.status(now).counts[3], 1);
    while let Gate::Until(until) = setup.gate(1, now) {
        now = until;
    }
    setup.send(1, None, &Outcome::Unknown(problem()), now);
    assert!(matches!(setup.gate(1, now), Gate::Until(_)), "it has had its try");
    assert_eq!(setup.gate(2, now), Gate::Room(1), "and does not speak for the others");
    setup.send(2, None, &delivered(), now);
    assert_eq!(setup.guards.status(now).counts[3], 0);
    // Of two that fail the one confirms the other, and the time doubles.
    setup.send(2, None, &retry(RetryScope::Provider, Some(1)), now);
    let half_open = now.after(Duration::from_secs(1));
    setup.send(2, None, &Outcome::Unknown(problem()), half_open);
    let mut later = half_open;
    while let Gate::Until(until) = setup.gate(1, later) {
        later = until;
    }
    setup.send(1, None, &Outcome::Unknown(problem()), later);
    assert!(matches!(setup.gate(2, later), Gate::Until(until) if until > later));
}

#[test]
fn a_provider_that_says_when_holds_back_every_tenant_until_one_probe_worked() {
    let setup = Setup::new(channel(None, "{}"));
    for tenant in [1, 2] {
        setup.send(tenant, None, &delivered(), NOW);
    }
    setup.send(1, None, &retry(RetryScope::Provider, Some(60)), NOW);
    let later = NOW.after(Duration::from_mins(1));
    assert_eq!([setup.gate(1, NOW), setup.gate(2, NOW)], [Gate::Until(later); 2]);
    assert_eq!([setup.gate(1, later), setup.gate(2, later)], [Gate::Room(1); 2]);
    let probe = setup.admit(2, None, later).ok().unwrap();
    let again = later.after(limits::BREAKER_LOOK_AGAIN);
    assert_eq!(setup.gate(1, later), Gate::Until(again), "the other one's probe is on its way");
    setup.guards.record(probe, &delivered(), contact(false).as_ref(), &setup.generation, later);
    assert_eq!(setup.gate(1, later), Gate::Room(usize::MAX));
    assert_eq!(setup.open_metric(), 0);
}

#[test]
fn a_misconfigured_channel_stops_at_once_and_goes_on_when_it_is_changed() {
    let setup = Setup::new(channel(None, "{}"));
    setup.send(1, None, &Outcome::Misconfigured(problem()), NOW);
    let probe_at = NOW.after(limits::MISCONFIGURED_PROBE);
    assert_eq!(setup.gate(1, NOW), Gate::Until(probe_at));
    assert_eq!(setup.counts(), [0, 0, 1, 0]);
    assert_eq!(setup.events(), ["breaker opened: configuration c: code"]);
    setup.guards.adopt(&generation(2, channel(None, "{}")));
    assert_eq!(setup.gate(1, NOW), Gate::Until(probe_at), "nothing has changed");
    setup.guards.adopt(&generation(3, channel(None, r#"{"token": "new"}"#)));
    assert_eq!(setup.events(), ["breaker closed: configuration c"]);
    assert_eq!(setup.gate(1, NOW), Gate::Room(usize::MAX));
    assert_eq!((setup.counts(), setup.open_metric()), ([0; 4], 0));
}

#[test]
fn a_call_of_the_old_configuration_does_not_stop_the_new_one() {
    let setup = Setup::new(channel(None, "{}"));
    let ticket = setup.admit(1, None, NOW).ok().unwrap();
    let mended = generation(2, channel(None, r#"{"token": "new"}"#));
    setup.guards.adopt(&mended);
    let outcome = Outcome::Misconfigured(problem());
    setup.guards.record(ticket, &outcome, contact(false).as_ref(), &mended, NOW);
    assert_eq!(setup.gate(1, NOW), Gate::Room(usize::MAX));
}

#[test]
fn a_slow_probe_finds_what_was_mended_at_the_provider() {
    let setup = Setup::new(channel(None, "{}"));
    setup.send(1, None, &Outcome::Misconfigured(problem()), NOW);
    let first = NOW.after(limits::MISCONFIGURED_PROBE);
    setup.send(1, None, &Outcome::Misconfigured(problem()), first);
    let second = first.after(limits::MISCONFIGURED_PROBE);
    assert_eq!(setup.gate(1, first), Gate::Until(second));
    setup.send(1, None, &delivered(), second);
    assert_eq!(setup.gate(1, second), Gate::Room(usize::MAX));
    let events = setup.events();
    assert_eq!(events.len(), 2, "probes in vain are no events: {events:?}");
    assert_eq!(events[1], "breaker closed: configuration c");
}

#[test]
fn a_channel_that_cannot_even_be_called_is_stopped_and_its_probes_are_told_apart() {
    let setup = Setup::new(channel(None, "{}"));
    let plugin = "p".parse().unwrap();
    let stop = || setup.guards.stop(&setup.generation, &plugin, &lane(1), "no secret", NOW);
    assert!(!stop(), "the first one has found it");
    assert!(stop());
    assert_eq!((setup.counts(), setup.open_metric()), ([0, 0, 1, 0], 1));
}

#[test]
fn a_throttled_channel_gives_room_for_its_tokens_and_then_says_when() {
    let throttle = Throttle { rate_per_s: 10.0, burst: 3, per: ThrottleScope::Channel };
    let setup = Setup::new(channel(Some(throttle), "{}"));
    assert_eq!(setup.gate(1, NOW), Gate::Room(3));
    for _ in 0..3 {
        setup.send(1, None, &delivered(), NOW);
    }
    assert_eq!(setup.gate(1, NOW), Gate::Until(UnixMs(NOW.0 + 100)));
    assert_eq!(setup.counts.throttled.load(Ordering::Relaxed), 1);
    assert_eq!(setup.gate(1, UnixMs(NOW.0 + 100)), Gate::Room(1));
    assert_eq!(setup.gate(2, NOW), Gate::Room(usize::MAX));
}

#[test]
fn messages_for_a_throttled_destination_are_sent_back_each_to_a_time_of_its_own() {
    let throttle = Throttle { rate_per_s: 1.0, burst: 1, per: ThrottleScope::Destination };
    let setup = Setup::new(channel(Some(throttle), "{}"));
    setup.send(1, Some("a"), &delivered(), NOW);
    let sent_back = || setup.admit(1, Some("a"), NOW).err().map(|until| until.0 - NOW.0);
    assert_eq!([sent_back(), sent_back(), sent_back()], [1_000, 2_000, 3_000].map(Some));
    assert!(setup.admit(1, Some("b"), NOW).is_ok());
    assert!(setup.admit(1, Some("a"), UnixMs(NOW.0 + 1_000)).is_ok());
}

#[test]
fn messages_that_have_another_channel_are_looked_at_while_theirs_is_held_back() {
    let setup = Setup::new(channel(None, "{}"));
    setup.send(1, None, &Outcome::Misconfigured(problem()), NOW);
    assert!(matches!(setup.gate(1, NOW), Gate::Until(_)));
    setup.guards.has_fallback(&lane(1));
    assert_eq!(setup.gate(1, NOW), Gate::Room(limits::FALLBACK_SWEEP));
    let stopped = |now| setup.guards.stopped(&lane(1), now);
    assert_eq!(stopped(NOW), Some((String::from("code"), String::from("detail"))));
    assert!(setup.admit(1, None, NOW).is_err(), "those without another one wait all the same");
    let probe_at = NOW.after(limits::MISCONFIGURED_PROBE);
    assert_eq!(stopped(probe_at), None, "one of them may be the probe");
    assert_eq!(setup.gate(1, probe_at), Gate::Room(1));
    // A channel that only has to wait hands nothing on by itself.
    setup.send(2, None, &retry(RetryScope::Credential, Some(60)), NOW);
    assert_eq!(setup.guards.stopped(&lane(2), NOW), None);
}

#[test]
fn an_endpoint_of_callbacks_that_is_gone_stops_nobody_else() {
    let setup = Setup::new(channel(None, "{}"));
    let own = Channel { name: crate::ids::ChannelName::callbacks(), ..channel(None, "{}") };
    let lane = Lane { tenant: lane(1).tenant, channel: own.name.clone() };
    let admit = |url, now| setup.guards.admit(&setup.generation, &own, &lane, Some(url), now);
    let told = |ticket, outcome: &Outcome, now| {
        setup.guards.record(ticket, outcome, contact(false).as_ref(), &setup.generation, now);
    };
    let ticket = admit("https://gone.example", NOW).ok().unwrap();
    told(ticket, &Outcome::Misconfigured(problem()), NOW);
    let probe_at = NOW.after(limits::MISCONFIGURED_PROBE);
    assert_eq!(admit("https://gone.example", NOW).err(), Some(probe_at));
    assert!(admit("https://other.example", NOW).is_ok());
    assert_eq!(setup.guards.gate(&setup.generation, &own, &lane, NOW), Gate::Room(usize::MAX));
    let probe = admit("https://gone.example", probe_at).ok().unwrap();
    assert!(probe.is_probe());
    told(probe, &delivered(), probe_at);
    assert_eq!(setup.counts(), [0; 4]);
}
