use std::{collections::BTreeMap, sync::Arc};

use serde_json::Value;

use super::*;
use crate::{
    config::{Callback, Config, Origin, RetryPolicy, TenantLimits},
    dispatch::delivery::End,
    store::{LeaseToken, Leased},
};

const NOW: UnixMs = UnixMs(1_000_000);

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1 }
}

fn name(text: &str) -> ChannelName {
    text.parse().unwrap()
}

fn tenant_id() -> TenantId {
    TenantId(uuid::Uuid::from_u128(1))
}

fn callback(url: Option<&str>, events: &[CallbackEvent]) -> Arc<Callback> {
    Arc::new(Callback {
        url: url.map(Arc::from),
        secrets: Vec::new(),
        events: events.iter().copied().collect(),
        addresses: Vec::new(),
        origin: origin(),
    })
}

/// A tenant with the channels a (which falls back to b and c), b and c.
fn generation(callbacks: Vec<Arc<Callback>>) -> Generation {
    let channel = |own: &str, fallback: &[&str]| Channel {
        name: name(own),
        plugin: "p".parse().unwrap(),
        options: Arc::default(),
        secrets: BTreeMap::new(),
        fallback: fallback.iter().map(|text| name(text)).collect(),
        retry: RetryPolicy::default(),
        throttle: None,
        origin: origin(),
    };
    let channels = [channel("a", &["b", "c"]), channel("b", &["a"]), channel("c", &[])];
    let tenant = Tenant {
        id: tenant_id(),
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
        callbacks,
        channels: channels.map(|channel| (channel.name.clone(), Arc::new(channel))).into(),
        origin: origin(),
    };
    let mut config = Config::default();
    config.tenants.insert(tenant.id, Arc::new(tenant));
    Generation::new(1, NOW, Arc::new(config), BTreeMap::new())
}

fn completed(channel: &str, envelope: &Envelope) -> Completed {
    let lane = Lane { tenant: tenant_id(), channel: name(channel) };
    let token = LeaseToken { seq: 1, lane: 1, priority: Priority::High, due: NOW, attempt: 3 };
    let leased = Leased {
        token,
        id: NotificationId::generate(),
        lane,
        generation: 0,
        tries: 2,
        parent: Some(NotificationId::generate()),
        created: UnixMs(0),
        expires: Some(UnixMs(9_000_000)),
        payload: envelope.encode(),
        most_urgent: Priority::Normal,
    };
    Completed {
        leased,
        since: UnixMs(0),
        started: NOW,
        plugin: None,
        policy: RetryPolicy::default(),
        deduplicates: false,
        has_next: false,
        budget_end: None,
        asks_for_more: !envelope.fallback.is_empty() || envelope.callback_url.is_some(),
        end: End::NotTried,
        running: None,
        ticket: None,
    }
}

fn attempt(outcome: &str) -> Attempt {
    Attempt {
        started: NOW,
        took_ms: 5,
        outcome: String::from(outcome).into(),
        code: Some(String::from("http_500")),
        detail: Some(String::from("why")),
        provider_id: None,
        digest: None,
        counts: true,
    }
}

fn message() -> Envelope {
    Envelope { message: String::from("m"), ..Envelope::default() }
}

fn step(channel: &str, after_ms: Option<u64>) -> FallbackStep {
    FallbackStep { channel: name(channel), after_ms }
}

/// What takes over: its channel, and its envelope.
fn next(channel: &str, envelope: &Envelope, outcome: &str) -> Option<(String, Envelope)> {
    let completed = completed(channel, envelope);
    let following = of(&generation(Vec::new()), &completed, &attempt(outcome), Became::Dead, NOW);
    let id = following.takes_over?;
    let new = following.new.into_iter().find(|new| new.id == id).unwrap();
    assert_eq!((new.parent, new.priority), (completed.leased.parent, Priority::High));
    assert_eq!((new.due, new.expires), (NOW, completed.leased.expires));
    let envelope = Envelope::decode(&new.payload).unwrap();
    Some((new.lane.channel.to_string(), envelope))
}

#[test]
fn the_channels_of_the_configuration_take_over_one_after_the_other_and_never_in_a_circle() {
    let (second, envelope) = next("a", &message(), "rejected").unwrap();
    assert_eq!(second, "b");
    assert_eq!((&*envelope.message, &*envelope.took_over_from), ("m", &[name("a")][..]));
    // b's own fallback is for what begins with b.
    let (third, envelope) = next("b", &envelope, "retry").unwrap();
    assert_eq!(third, "c");
    assert_eq!(next("c", &envelope, "crashed"), None);
}

#[test]
fn a_requests_own_fallback_comes_first_and_leaves_out_what_is_not_there() {
    let fallback = vec![step("gone", None), step("c", Some(300_000)), step("b", None)];
    let (second, envelope) = next("a", &Envelope { fallback, ..message() }, "rejected").unwrap();
    assert_eq!(second, "c");
    assert_eq!(envelope.fallback, [step("b", None)]);
}

#[test]
fn what_may_have_been_delivered_or_came_too_late_is_not_handed_on() {
    assert_eq!(next("a", &message(), "unknown"), None);
    assert_eq!(next("a", &message(), "expired"), None);
    let mut tolerant = completed("a", &message());
    tolerant.policy.on_unknown = crate::config::OnUnknown::Retry;
    let generation = generation(Vec::new());
    let following = of(&generation, &tolerant, &attempt("unknown"), Became::Dead, NOW);
    assert!(following.takes_over.is_some(), "rather twice than never");
    assert!(next("a", &message(), "misconfigured").is_some());
}

#[test]
fn a_budget_counts_from_the_acceptance() {
    let envelope = Envelope { fallback: vec![step("b", Some(300_000))], ..message() };
    assert_eq!(budget_end(&envelope, UnixMs(5)), Some(UnixMs(300_005)));
    assert_eq!(budget_end(&message(), UnixMs(5)), None);
}

/// The callbacks: where to, and what they say.
fn told(
    callbacks: &[Arc<Callback>],
    envelope: &Envelope,
    outcome: &str,
    became: Became,
) -> Vec<(String, Value)> {
    let generation = generation(callbacks.to_vec());
    let following = of(&generation, &completed("c", envelope), &attempt(outcome), became, NOW);
    let callbacks =
        following.new.into_iter().filter(|new| new.lane.channel == ChannelName::callbacks());
    let read = |new: NewNotification| {
        let envelope = Envelope::decode(&new.payload).unwrap();
        (envelope.callback.unwrap().url, serde_json::from_str(&envelope.message).unwrap())
    };
    callbacks.map(read).collect()
}

#[test]
fn a_tenants_endpoints_are_told_of_the_events_they_want() {
    let all = callback(Some("https://all.example"), &CallbackEvent::ALL);
    let failed = callback(Some("https://failed.example"), &[CallbackEvent::Failed]);
    let both = [all, failed];
    let of = |outcome, became| told(&both, &message(), outcome, became);
    let urls =
        |told: Vec<(String, Value)>| told.into_iter().map(|(url, _)| url).collect::<Vec<_>>();
    assert_eq!(urls(of("delivered", Became::Delivered)), ["https://all.example"]);
    assert_eq!(urls(of("retry", Became::Retrying)), ["https://all.example"]);
    let dead = of("rejected", Became::Dead);
    let body = &dead[0].1;
    assert_eq!(body["type"], "notification.failed");
    assert_eq!(body["timestamp"], NOW.rfc3339());
    let data = &body["data"];
    assert_eq!((&data["status"], &data["outcome"]), (&"dead".into(), &"rejected".into()));
    assert_eq!((&data["code"], &data["detail"]), (&"http_500".into(), &"why".into()));
    assert_eq!((&data["channel"], &data["attempts"]), (&"c".into(), &3.into()));
    assert_eq!(data["tenantId"], tenant_id().to_string());
    assert!(data["id"].is_string() && data["parentId"].is_string());
    assert!(data.get("message").is_none(), "what was sent is nobody's business");
    assert_eq!(urls(dead), ["https://all.example", "https://failed.example"]);
}

#[test]
fn a_request_names_a_url_only_where_the_tenant_lets_it_and_is_told_once() {
    let url = "https://asked.example/x";
    let envelope = Envelope { callback_url: Some(String::from(url)), ..message() };
    let of = |callbacks: &[Arc<Callback>]| {
        told(callbacks, &envelope, "delivered", Became::Delivered).len()
    };
    let any = callback(None, &CallbackEvent::ALL);
    let same = callback(Some(url), &CallbackEvent::ALL);
    assert_eq!(of(&[]), 0);
    assert_eq!(of(&[callback(Some("https://other.example"), &[])]), 0);
    assert_eq!(of(std::slice::from_ref(&any)), 1);
    assert_eq!(of(&[any, same]), 1);
}

#[test]
fn while_another_channel_takes_over_nothing_has_failed() {
    let all = callback(Some("https://all.example"), &CallbackEvent::ALL);
    let generation = generation(vec![all]);
    let following =
        of(&generation, &completed("a", &message()), &attempt("rejected"), Became::Dead, NOW);
    assert_eq!(following.new.len(), 2);
    let told = Envelope::decode(&following.new[1].payload).unwrap().message;
    assert!(told.contains("notification.retrying"), "{told}");
}

#[test]
fn a_callback_is_told_to_nobody() {
    let all = callback(Some("https://all.example"), &CallbackEvent::ALL);
    let generation = generation(vec![all]);
    let mut completed = completed("a", &message());
    completed.leased.lane.channel = ChannelName::callbacks();
    let following = of(&generation, &completed, &attempt("rejected"), Became::Dead, NOW);
    assert!(following.new.is_empty());
}
