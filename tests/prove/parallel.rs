//! One `Idempotency-Key`, a hundred callers at once: one notification, and one answer to all of
//! them, over a crash as well.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};

use crate::{
    kit::{Answer, Folder, KEY_A, Provider, TestHost, eventually},
    settings,
};

const CALLERS: usize = 100;

async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    (TestHost::start(folder).await, provider)
}

fn body(key: &str) -> Value {
    json!({"channel": "webhook", "message": key})
}

/// All callers at once, each on a connection of its own; those who got no answer are left out.
async fn all_call(host: &TestHost, key: &str) -> Vec<Answer> {
    let calls: Vec<_> = (0..CALLERS)
        .map(|number| {
            let call = host.notify(&body(key)).header("idempotency-key", key);
            // Some wait for the outcome, some do not.
            let prefer = if number % 3 == 0 { "respond-async" } else { "wait=20" };
            tokio::spawn(call.header("prefer", prefer).try_send())
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.extend(call.await.unwrap());
    }
    answers
}

/// Each answer is about one and the same notification; gives its id and how many were new.
fn agree(answers: &[Answer], ids: &mut BTreeSet<String>) -> usize {
    let mut new = 0;
    for answer in answers {
        match answer.status {
            200 | 202 => new += usize::from(answer.header("idempotency-replay").is_empty()),
            409 => {
                answer.assert_problem(409, "idempotency-in-progress");
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
            }
            // The host went down in the middle: nothing is promised.
            503 => continue,
            other => panic!("{other}: {answer:?}"),
        }
        ids.insert(answer.id());
    }
    assert!(ids.len() <= 1, "several notifications with one key: {ids:?}");
    new
}

async fn listed(host: &TestHost) -> usize {
    let answer = host.call("GET", "/notifications?limit=200").key(KEY_A).send().await;
    answer.json["items"].as_array().unwrap().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_parallel_callers_with_one_idempotency_key_make_one_notification() {
    let (host, provider) = with_provider().await;
    let rounds = settings::rounds_by(10, 3);
    for round in 0..rounds {
        let key = format!("parallel-{round}");
        provider.hold();
        let (answers, ()) = tokio::join!(all_call(&host, &key), async {
            provider.asked(round + 1).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
            provider.release();
        });
        assert_eq!(answers.len(), CALLERS, "everybody is answered");
        let mut ids = BTreeSet::new();
        assert_eq!(
            agree(&answers, &mut ids),
            1,
            "one caller made it, for the others it is replayed"
        );
        host.reaches(ids.first().unwrap(), "delivered").await;
        let replayed = host.notify(&body(&key)).header("idempotency-key", &key).send().await;
        assert_eq!((replayed.status, replayed.header("idempotency-replay")), (200, "true"));
        assert_eq!(replayed.id(), *ids.first().unwrap());
        assert_eq!(listed(&host).await, round + 1);
        assert_eq!(provider.seen().len(), round + 1, "delivered once each");
    }
    let figures = format!("{rounds} keys, {CALLERS} callers each, one notification each");
    settings::proved("parallel callers", figures);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parallel_callers_with_one_idempotency_key_agree_over_a_kill_in_the_middle() {
    let mut chances = settings::chances("parallel callers over a kill");
    let (mut host, provider) = with_provider().await;
    let rounds = settings::rounds_by(10, 3);
    for round in 0..rounds {
        let key = format!("killed-{round}");
        let before = {
            let calls = all_call(&host, &key);
            tokio::pin!(calls);
            let moment = Duration::from_millis(chances.u64(0..60));
            tokio::select! {
                answers = &mut calls => answers,
                () = tokio::time::sleep(moment) => {
                    host.signal(rustix::process::Signal::KILL);
                    calls.await
                }
            }
        };
        host = host.restart().await;
        let mut ids = BTreeSet::new();
        agree(&before, &mut ids);
        let known_before = !ids.is_empty();
        let after = all_call(&host, &key).await;
        assert_eq!(after.len(), CALLERS, "everybody is answered");
        let new = agree(&after, &mut ids);
        assert!(new <= usize::from(!known_before), "made a second time after the restart");
        let id = ids.first().expect("somebody was told the id").clone();
        host.reaches(&id, "delivered").await;

        let other = json!({"channel": "webhook", "message": "something else"});
        let other = host.notify(&other).header("idempotency-key", &key).send().await;
        other.assert_problem(422, "idempotency-key-reused");
        assert_eq!(other.id(), id);
        eventually("the list has one for each key", async || {
            (listed(&host).await == round + 1).then_some(())
        })
        .await;
    }
    // The key at the provider is the notification's, however often it was sent.
    let ids: BTreeSet<_> =
        provider.seen().iter().map(|seen| seen.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), rounds);
    let figures =
        format!("{rounds} keys, {CALLERS} callers before and after, one notification each");
    settings::proved("parallel callers over a kill", figures);
}
