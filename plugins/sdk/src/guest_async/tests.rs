use std::{cell::Cell, time::Duration};

use super::*;
use crate::{
    HealthReport, Message, Receipt, RunEnd, SendError, http, task,
    testing::{FakeHost, answer, block_on, message, start_async},
};

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Options {}

/// Sends after a second, twice after two.
struct Slow(Cell<u32>);

impl AsyncChannel for Slow {
    type Options = Options;
    const CONNECTED: bool = true;

    fn initialize(_context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self(Cell::new(0)))
    }

    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        task::sleep(Duration::from_secs(1)).await;
        self.0.set(self.0.get() + 1);
        if message.body == "fetch" {
            http::get("https://x.example/").fetch_async().await?;
        }
        Ok(Receipt::delivered().provider_id(self.0.get().to_string()))
    }

    async fn health(&self) -> HealthReport {
        HealthReport::degraded(self.0.get().to_string())
    }

    async fn run(&self) -> RunEnd {
        task::sleep(Duration::from_secs(60)).await;
        RunEnd::temporary("tired", "a minute is enough").after(Duration::from_secs(2))
    }
}

fn instance() -> Instance {
    let channel: Slow = start_async(crate::json!({})).unwrap();
    Instance { channel: Some(Rc::new(channel)), executor: Executor::default() }
}

fn sent(answers: &[Answer]) -> Vec<(u32, String)> {
    answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Sent((call, Ok(receipt))) => Some((*call, receipt.provider_id.clone()?)),
            _ => None,
        })
        .collect()
}

#[test]
fn many_sends_go_on_at_the_same_time_and_each_answers_its_own_call() {
    let _host = FakeHost::install();
    let mut instance = instance();
    let events = (1..=3).map(|call| Event::Send((call, message("x")))).collect();
    assert_eq!(instance.turn(events), [], "all of them wait");
    // The fake host numbers operations from 1, in the order in which they were started.
    let answers = instance.turn(vec![Event::Elapsed(2)]);
    assert_eq!(sent(&answers), [(2, String::from("1"))]);
    let answers = instance.turn(vec![Event::Elapsed(3), Event::Elapsed(1)]);
    assert_eq!(sent(&answers), [(3, String::from("2")), (1, String::from("3"))]);
}

#[test]
fn an_abandoned_call_is_dropped_with_what_it_waits_for() {
    let _host = FakeHost::install();
    let mut instance = instance();
    let events = vec![Event::Send((1, message("x"))), Event::Send((2, message("x")))];
    assert_eq!(instance.turn(events), []);
    assert_eq!(instance.turn(vec![Event::Abandoned(1), Event::Elapsed(1)]), []);
    assert_eq!(sent(&instance.turn(vec![Event::Elapsed(2)])), [(2, String::from("1"))]);
}

#[test]
fn a_send_in_the_place_of_one_that_is_over_hears_only_of_its_own() {
    let _host = FakeHost::install();
    let mut instance = instance();
    // The place of the first is ready to go on when the second takes it.
    let (first, second) = (Event::Send((1, message("x"))), Event::Send((2, message("x"))));
    assert_eq!(instance.turn(vec![first, Event::Abandoned(1), second]), []);
    assert_eq!(sent(&instance.turn(vec![Event::Elapsed(1)])), [(2, String::from("1"))]);
    assert_eq!(instance.turn(vec![Event::Send((3, message("x")))]), []);
    assert_eq!(instance.turn(vec![Event::Elapsed(1)]), [], "that is over");
    assert_eq!(sent(&instance.turn(vec![Event::Elapsed(2)])), [(3, String::from("2"))]);
}

#[test]
fn run_goes_on_beside_the_sends_and_shutdown_ends_everything() {
    let _host = FakeHost::install();
    let mut instance = instance();
    assert_eq!(instance.turn(vec![Event::Run]), []);
    assert_eq!(instance.turn(vec![Event::Send((1, message("x")))]), []);
    assert_eq!(instance.turn(vec![Event::Elapsed(2)]).len(), 1);
    let health = instance.turn(vec![Event::Health(2)]);
    assert_eq!(health, [Answer::Health((2, HealthReport::degraded("1")))]);
    assert_eq!(instance.turn(vec![Event::Shutdown]), [Answer::ShutDown]);
    assert_eq!(instance.turn(vec![Event::Elapsed(1)]), [], "nothing is left to go on");
}

#[test]
fn run_says_why_it_ended_and_what_follows() {
    let _host = FakeHost::install();
    let mut instance = instance();
    assert_eq!(instance.turn(vec![Event::Run]), []);
    let answers = instance.turn(vec![Event::Elapsed(1)]);
    let [Answer::RunEnded(RunEnd::Temporary(interruption))] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert_eq!((interruption.problem.code.as_str(), interruption.after_ms), ("tired", Some(2_000)));
}

#[test]
fn a_test_waits_for_a_send_without_taking_time() {
    let host = FakeHost::install();
    host.answer(answer(200));
    let channel: Slow = start_async(crate::json!({})).unwrap();
    let sent = block_on(channel.send(&message("fetch"))).unwrap();
    assert_eq!(sent.provider_id.as_deref(), Some("1"));
    assert_eq!(host.elapsed(), Duration::from_secs(1));
    assert_eq!(host.requests().len(), 1);
}

#[test]
fn a_backoff_grows_to_its_bound_and_begins_anew_when_it_works() {
    let second = Duration::from_secs(1);
    let mut backoff = task::Backoff::new(second, 20 * second);
    assert!(backoff.failed() <= second);
    for longest in [2, 4, 8, 16, 20, 20] {
        let pause = backoff.failed();
        assert!(pause >= second * longest / 2 && pause <= second * longest, "{pause:?}");
    }
    backoff.worked();
    assert_eq!(backoff.failures(), 0);
    assert!(backoff.failed() <= second);
    let spread: std::collections::BTreeSet<_> = (0..10).map(|_| task::jitter(second)).collect();
    assert!(spread.len() > 5, "{spread:?}");
}

#[test]
fn a_time_limit_drops_what_it_waited_for() {
    let host = FakeHost::install();
    let channel: Slow = start_async(crate::json!({})).unwrap();
    let late = block_on(task::timeout(Duration::from_millis(300), channel.run()));
    assert_eq!(late, None);
    assert_eq!(host.elapsed(), Duration::from_millis(300));
    let both = block_on(task::join(channel.health(), task::sleep(Duration::from_secs(1))));
    assert_eq!(both.0, HealthReport::degraded("0"));
}
