//! A link, one event after the other.

use std::time::SystemTime;

use super::*;
use crate::HealthStatus;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn new() -> Link<Words> {
    Link::new(Words, at(0))
}

fn says(link: &mut Link<Words>, text: &str, second: u64) -> Vec<Step> {
    link.hear(Event::Text(text.into()), at(second))
}

fn sent(text: &str) -> Step {
    Step::Send(text.into())
}

/// In a session since second 0.
fn connected() -> Link<Words> {
    let mut link = new();
    says(&mut link, "hello", 0);
    says(&mut link, "begun", 0);
    link
}

/// How long until the next connection.
fn pause(steps: &[Step]) -> Duration {
    let [Step::Leave(Some(pause))] = steps else { panic!("it stays: {steps:?}") };
    *pause
}

fn health(link: &Link<Words>, second: u64) -> (HealthStatus, String) {
    let report = link.health(at(second));
    (report.status, report.detail.unwrap())
}

#[test]
fn it_says_how_it_is_and_since_when() {
    let mut link = new();
    let since_start = "not connected since 1970-01-01T00:00:00Z: it has just been started";
    assert_eq!(health(&link, 1), (HealthStatus::Degraded, since_start.into()));
    says(&mut link, "hello", 1);
    says(&mut link, "begun", 2);
    let ready = (HealthStatus::Healthy, "connected since 1970-01-01T00:00:02Z: as beeper".into());
    assert_eq!(health(&link, 30), ready);
    says(&mut link, "ready", 30);
    assert_eq!(health(&link, 30), ready, "since it began");
    link.hear(Event::Closed(Some(1_001)), at(31));
    let lost = "resuming since 1970-01-01T00:00:31Z: the chat closed the connection with 1001";
    assert_eq!(health(&link, 32), (HealthStatus::Degraded, lost.into()));
}

#[test]
fn the_first_heartbeat_comes_at_a_random_moment_and_the_next_ones_in_time() {
    let interval = Duration::from_secs(40);
    let mut waits = Vec::new();
    for _ in 0..20 {
        let steps = says(&mut new(), "hello", 0);
        let [begin, Step::WakeIn(wait)] = steps.as_slice() else { panic!("{steps:?}") };
        assert_eq!(*begin, sent("begin"));
        assert!(*wait <= interval);
        waits.push(*wait);
    }
    waits.dedup();
    assert!(waits.len() > 1, "always {waits:?}");

    let mut link = connected();
    for beat in 1..10 {
        let steps = link.hear(Event::Due, at(40 * beat));
        assert_eq!(steps, [sent(&format!("ping {}", beat - 1)), Step::WakeIn(interval)]);
        assert_eq!(says(&mut link, "pong", 40 * beat + 1), []);
    }
    assert_eq!(says(&mut link, "beat", 401), [sent("ping 10")], "when it is asked for too");
}

#[test]
fn a_heartbeat_without_acknowledgement_is_told_and_ends_the_connection_when_the_next_is_due() {
    let mut link = connected();
    link.hear(Event::Due, at(40));
    assert_eq!(health(&link, 45).0, HealthStatus::Healthy);
    let silent = "stalled since 1970-01-01T00:00:40Z: the chat does not acknowledge heartbeats";
    assert_eq!(health(&link, 46), (HealthStatus::Degraded, silent.into()));
    assert!(pause(&link.hear(Event::Due, at(80))) <= Duration::from_secs(1));
    assert!(link.session().is_some(), "it goes on");
    // The next connection says nothing at all: it is the same silence.
    pause(&link.hear(Event::Due, at(100)));
    let silent = "stalled since 1970-01-01T00:00:40Z: the chat says nothing";
    assert_eq!(health(&link, 100).1, silent);
    assert_eq!(says(&mut link, "hello", 110)[0], sent("go on s"));
    says(&mut link, "ready", 111);
    assert_eq!(health(&link, 111).1, "connected since 1970-01-01T00:01:51Z: as beeper");
}

#[test]
fn without_heartbeats_nothing_is_due_once_it_is_ready() {
    let mut link = new();
    says(&mut link, "ready", 1);
    let steps = link.hear(Event::Due, at(10));
    assert!(matches!(steps.as_slice(), [Step::WakeIn(_)]), "{steps:?}");
    assert_eq!(health(&link, 7_200).0, HealthStatus::Healthy);
    // It has lasted, so the first pause is short again; one that breaks at once has not.
    for _ in 0..8 {
        link.ended(End::again("refused"), at(7_200)).unwrap();
    }
    says(&mut link, "ready", 8_000);
    assert!(pause(&says(&mut link, "go", 8_001)) > Duration::from_secs(60));
    says(&mut link, "ready", 9_000);
    assert!(pause(&says(&mut link, "go", 9_060)) <= Duration::from_secs(1));
}

#[test]
fn the_rules_end_a_connection_or_a_session_and_nothing_is_done_after_that() {
    let mut link = connected();
    assert!(pause(&says(&mut link, "go", 5)) <= Duration::from_secs(1));
    assert!(link.session().is_some());
    assert_eq!(pause(&says(&mut connected(), "go for 90 s", 5)), Duration::from_secs(90));
    let mut link = connected();
    pause(&says(&mut link, "forget", 5));
    assert_eq!(link.session(), None);
    assert_eq!(health(&link, 6).1, "not connected since 1970-01-01T00:00:05Z: who are you?");
    let mut link = connected();
    pause(&link.hear(Event::Closed(Some(4_000)), at(5)));
    assert_eq!(link.session(), None, "by the code");
}

#[test]
fn what_only_the_operator_can_mend_is_not_tried_again() {
    let mut link = connected();
    assert_eq!(says(&mut link, "never", 5), [Step::Leave(None)]);
    assert_eq!(link.misconfigured(), Some(&Problem::new("barred", "you are barred")));
    assert_eq!(link.session(), None);
    let told = "misconfigured since 1970-01-01T00:00:05Z: you are barred";
    assert_eq!(health(&link, 6), (HealthStatus::Degraded, told.into()));
    let mut link = new();
    assert_eq!(link.hear(Event::Closed(Some(4_000)), at(1)), [Step::Leave(None)]);
    assert_eq!(link.misconfigured().unwrap().code, "stranger");
}

#[test]
fn the_pauses_grow_until_it_works_and_a_session_that_cannot_be_gone_on_with_is_left() {
    let mut link = connected();
    let mut pauses = Vec::new();
    for second in 0..12 {
        pauses.push(link.ended(End::again("refused"), at(second)).unwrap());
        assert_eq!(link.session().is_some(), second < 3, "{second}");
    }
    assert!(pauses[0] <= Duration::from_secs(1));
    assert!(pauses[4] >= Duration::from_secs(8));
    assert!((150..=300).contains(&pauses[11].as_secs()), "{pauses:?}");

    // A heartbeat that is acknowledged says that it works, if it is ready.
    says(&mut link, "hello", 100);
    says(&mut link, "pong", 100);
    assert!(link.ended(End::again("refused"), at(101)).unwrap() > Duration::from_secs(100));
    says(&mut link, "hello", 200);
    says(&mut link, "begun", 200);
    says(&mut link, "pong", 201);
    assert!(link.ended(End::again("refused"), at(202)).unwrap() <= Duration::from_secs(1));
}
