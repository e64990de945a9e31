//! The rules, one event after the other.

use std::time::{Duration, SystemTime};

use conductor_sdk::{
    HealthStatus,
    connection::{End, Event, Link, Session, Step},
    serde_json,
};

use super::{Value, json};
use crate::rules::{Rules, TOKEN_REFUSED};

const INTERVAL: Duration = Duration::from_secs(40);

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn received(payload: Value) -> Event {
    Event::Text(payload.to_string())
}

/// A bot that has just been started.
fn new() -> Link<Rules> {
    let presence = json!({ "status": "online" });
    Link::new(Rules { token: "hush".into(), presence }, at(0))
}

/// What is said, as JSON.
fn said(step: &Step) -> Value {
    match step {
        Step::Send(text) => serde_json::from_str(text).unwrap(),
        other => panic!("it says nothing: {other:?}"),
    }
}

fn heartbeat(seq: Option<u64>) -> Step {
    Step::Send(json!({ "op": 1, "d": seq }).to_string())
}

fn resumes(step: &Step, session: &Session) {
    let expected = json!({ "token": "hush", "session_id": session.id, "seq": session.seq });
    assert_eq!(said(step), json!({ "op": 6, "d": expected }));
}

fn identifies(step: &Step) {
    assert_eq!((&said(step)["op"], &said(step)["d"]["token"]), (&json!(2), &json!("hush")));
}

fn hello() -> Event {
    received(json!({ "op": 10, "d": { "heartbeat_interval": 40_000 }, "s": null, "t": null }))
}

fn ready() -> Event {
    received(json!({ "op": 0, "t": "READY", "s": 1, "d": {
        "session_id": "abc",
        "resume_gateway_url": "wss://gateway-1.discord.gg",
        "user": { "username": "beeper" },
    }}))
}

fn session(seq: u64) -> Session {
    Session { id: "abc".into(), url: "wss://gateway-1.discord.gg".into(), seq }
}

/// In a session since second 0.
fn connected() -> Link<Rules> {
    let mut gateway = new();
    gateway.hear(hello(), at(0));
    assert_eq!(gateway.hear(ready(), at(0)), []);
    gateway
}

/// The pause before the next connection.
fn pause(steps: &[Step]) -> Duration {
    match steps {
        [Step::Leave(Some(pause))] => *pause,
        other => panic!("it stays: {other:?}"),
    }
}

/// The code of what only the operator can mend.
fn problem(gateway: &Link<Rules>) -> &str {
    &gateway.misconfigured().unwrap().code
}

/// The connection could not be made.
fn lost(gateway: &mut Link<Rules>, second: u64) -> Duration {
    gateway.ended(End::again("refused"), at(second)).unwrap()
}

fn health(gateway: &Link<Rules>, second: u64) -> (HealthStatus, String) {
    let report = gateway.health(at(second));
    (report.status, report.detail.unwrap())
}

#[test]
fn hello_is_answered_and_the_first_heartbeat_comes_at_a_random_moment() {
    let mut waits = Vec::new();
    for _ in 0..20 {
        let steps = new().hear(hello(), at(0));
        let [identify, Step::WakeIn(wait)] = steps.as_slice() else { panic!("{steps:?}") };
        identifies(identify);
        assert!(*wait <= INTERVAL);
        waits.push(*wait);
    }
    waits.dedup();
    assert!(waits.len() > 1, "always {waits:?}");
}

#[test]
fn heartbeats_tell_the_last_number_and_come_when_discord_asks() {
    let mut gateway = new();
    gateway.hear(hello(), at(0));
    let asked = gateway.hear(received(json!({ "op": 1, "d": null })), at(1));
    assert_eq!(asked, [heartbeat(None)]);
    gateway.hear(ready(), at(1));
    gateway.hear(received(json!({ "op": 0, "t": "SOMETHING", "s": 7, "d": {} })), at(2));
    gateway.hear(received(json!({ "op": 11 })), at(2));
    assert_eq!(gateway.hear(Event::Due, at(40)), [heartbeat(Some(7)), Step::WakeIn(INTERVAL)]);
    assert_eq!(gateway.session(), Some(&session(7)));
}

#[test]
fn a_heartbeat_without_acknowledgement_is_told_and_ends_the_connection_when_the_next_is_due() {
    let mut gateway = connected();
    gateway.hear(Event::Due, at(40));
    assert_eq!(health(&gateway, 45).0, HealthStatus::Healthy);
    let (status, detail) = health(&gateway, 46);
    assert_eq!(status, HealthStatus::Degraded);
    assert!(detail.starts_with("stalled since 1970-01-01T00:00:40Z"), "{detail}");
    assert!(pause(&gateway.hear(Event::Due, at(80))) <= Duration::from_secs(1));
    assert_eq!(gateway.session(), Some(&session(1)), "it will be resumed");

    // Nor does the next connection say anything.
    pause(&gateway.hear(Event::Due, at(100)));
    let (_, detail) = health(&gateway, 100);
    assert!(detail.starts_with("stalled since 1970-01-01T00:00:40Z"), "{detail}");

    let actions = gateway.hear(hello(), at(110));
    resumes(&actions[0], &session(1));
    assert!(health(&gateway, 110).1.starts_with("stalled"), "{actions:?}");
    gateway.hear(received(json!({ "op": 0, "t": "RESUMED", "s": 2, "d": {} })), at(111));
    let (status, detail) = health(&gateway, 111);
    assert_eq!(status, HealthStatus::Healthy);
    assert!(detail.starts_with("connected since 1970-01-01T00:01:51Z"), "{detail}");
}

#[test]
fn an_acknowledgement_in_time_keeps_it() {
    let mut gateway = connected();
    for beat in 1..10 {
        assert_eq!(gateway.hear(Event::Due, at(40 * beat))[0], heartbeat(Some(1)));
        gateway.hear(received(json!({ "op": 11 })), at(40 * beat + 1));
    }
    assert_eq!(health(&gateway, 400).0, HealthStatus::Healthy);
}

#[test]
fn closed_connections_are_resumed_but_for_codes_that_end_the_session() {
    for code in [None, Some(1000), Some(4000), Some(4001), Some(4002), Some(4005), Some(4008)] {
        let mut gateway = connected();
        pause(&gateway.hear(Event::Closed(code), at(5)));
        assert_eq!(gateway.session(), Some(&session(1)), "{code:?}");
        assert_eq!(gateway.misconfigured(), None);
        let (status, detail) = health(&gateway, 6);
        assert_eq!(status, HealthStatus::Degraded);
        assert!(detail.starts_with("resuming since 1970-01-01T00:00:05Z"), "{detail}");
        resumes(&gateway.hear(hello(), at(6))[0], &session(1));
    }
    for code in [4003, 4007, 4009] {
        let mut gateway = connected();
        pause(&gateway.hear(Event::Closed(Some(code)), at(5)));
        assert!(health(&gateway, 6).1.starts_with("not connected since"), "{code}");
        identifies(&gateway.hear(hello(), at(6))[0]);
    }
}

#[test]
fn discord_may_ask_for_a_new_connection_or_a_new_session() {
    let mut gateway = connected();
    let at_once = pause(&gateway.hear(received(json!({ "op": 7, "d": null })), at(5)));
    assert!(at_once <= Duration::from_secs(1));
    assert_eq!(gateway.session(), Some(&session(1)));

    let mut gateway = connected();
    let later = pause(&gateway.hear(received(json!({ "op": 9, "d": true })), at(5)));
    assert!((1..=5).contains(&later.as_secs()), "{later:?}");
    assert_eq!(gateway.session(), Some(&session(1)));

    let mut gateway = connected();
    let later = pause(&gateway.hear(received(json!({ "op": 9, "d": false })), at(5)));
    assert!((1..=5).contains(&later.as_secs()), "{later:?}");
    assert_eq!(gateway.session(), None);
}

#[test]
fn what_cannot_be_mended_by_trying_is_not_tried() {
    for code in [4010, 4011, 4012, 4013, 4014] {
        let mut gateway = connected();
        assert_eq!(gateway.hear(Event::Closed(Some(code)), at(5)), [Step::Leave(None)], "{code}");
        assert_eq!(problem(&gateway), code.to_string(), "messages are sent all the same");
        let (status, detail) = health(&gateway, 6);
        assert_eq!(status, HealthStatus::Degraded);
        assert!(detail.starts_with("misconfigured since 1970-01-01T00:00:05Z"), "{detail}");
        assert!(detail.contains(&code.to_string()), "{detail}");
    }
    let mut gateway = new();
    gateway.hear(hello(), at(0));
    assert_eq!(gateway.hear(Event::Closed(Some(4004)), at(5)), [Step::Leave(None)]);
    assert_eq!(problem(&gateway), TOKEN_REFUSED, "then they are not");
    assert!(health(&gateway, 6).1.contains("4004"));
}

#[test]
fn a_token_that_changed_since_the_session_began_is_tried_in_a_new_one() {
    let mut gateway = connected();
    pause(&gateway.hear(Event::Closed(Some(4004)), at(5)));
    assert_eq!(gateway.misconfigured(), None);
    identifies(&gateway.hear(hello(), at(6))[0]);
    assert_eq!(gateway.hear(Event::Closed(Some(4004)), at(7)), [Step::Leave(None)]);
    assert_eq!(problem(&gateway), TOKEN_REFUSED);
}

#[test]
fn the_pauses_grow_and_a_session_that_cannot_be_resumed_is_left() {
    let mut gateway = connected();
    let mut pauses = Vec::new();
    for second in 0..12 {
        pauses.push(lost(&mut gateway, second));
        assert_eq!(gateway.session().is_some(), second < 3, "{second}");
    }
    assert!(pauses[0] <= Duration::from_secs(1));
    assert!(pauses[4] >= Duration::from_secs(8));
    assert!((150..=300).contains(&pauses[11].as_secs()), "{pauses:?}");

    // An acknowledged heartbeat in a session proves it.
    gateway.hear(hello(), at(100));
    gateway.hear(received(json!({ "op": 11 })), at(100));
    assert!(lost(&mut gateway, 101) > Duration::from_secs(100));
    gateway.hear(hello(), at(200));
    gateway.hear(ready(), at(200));
    gateway.hear(received(json!({ "op": 11 })), at(201));
    assert!(lost(&mut gateway, 202) <= Duration::from_secs(1));
}

#[test]
fn a_hello_without_an_interval_is_no_hello() {
    let mut gateway = new();
    pause(&gateway.hear(received(json!({ "op": 10, "d": { "heartbeat_interval": 0 } })), at(0)));
    pause(&gateway.hear(received(json!({ "op": 10, "d": null })), at(0)));
}
