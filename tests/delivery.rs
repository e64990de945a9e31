//! What was accepted is delivered: after failures, after a crash, and under load.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use serde_json::{Value, json};

use crate::kit::{Folder, Provider, Reply, TestHost, eventually};

async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    (TestHost::start(folder).await, provider)
}

fn moment(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_failure_of_the_provider_is_tried_again_and_every_attempt_can_be_read() {
    let (host, provider) = with_provider().await;
    provider.then(Reply::status(500)).then(Reply::status(503));
    let answer = host.send("webhook", "third time").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let detail = host.notification(&answer.id()).await.json;
    let attempts = detail["attempts"].as_array().unwrap();
    let of = |name: &str| attempts.iter().map(|one| one[name].clone()).collect::<Vec<_>>();
    assert_eq!(of("outcome"), ["retry", "retry", "delivered"]);
    assert_eq!(of("number"), [1, 2, 3]);
    assert_eq!(of("code"), [json!("http_500"), json!("http_503"), Value::Null]);
    assert!(of("digest").iter().all(|digest| digest.as_str().unwrap().starts_with("sha256:")));
    assert_eq!(detail["attemptCount"], 3);
    let ids: BTreeSet<_> =
        provider.seen().iter().map(|seen| seen.header("webhook-id").to_owned()).collect();
    assert_eq!(ids.len(), 1, "the receiver can tell that these are one notification");
}

#[tokio::test]
async fn a_provider_that_says_when_to_come_back_is_not_asked_before() {
    let (host, provider) = with_provider().await;
    provider.then(Reply::status(429).header("retry-after", "2"));
    let answer = host.send("webhook", "not so fast").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let detail = host.notification(&answer.id()).await.json;
    let attempts = detail["attempts"].as_array().unwrap();
    let pause = moment(&attempts[1]["startedAt"]) - moment(&attempts[0]["startedAt"]);
    let pause = pause.total(jiff::Unit::Second).unwrap();
    assert!(pause >= 2.0, "it was asked again after {pause} s");
    assert!(pause < 8.0, "it was asked again only after {pause} s");
    assert_eq!((&attempts[0]["counts"], &attempts[1]["counts"]), (&json!(false), &json!(true)));
    assert_eq!((&detail["attemptCount"], &detail["attemptsCounted"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn an_attempt_that_the_provider_put_off_counts_not_even_as_the_last_one() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(429).header("retry-after", "600"));
    let expires = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(1);
    let body = json!({ "channel": "webhook", "message": "soon or never",
                       "expiresAt": expires.to_string() });
    let answer = host.notify(&body).send().await;
    let detail = host.reaches(&answer.id(), "dead").await;
    assert_eq!(detail["attempts"][0]["counts"], false, "{detail}");
    assert_eq!((&detail["attemptCount"], &detail["attemptsCounted"]), (&json!(1), &json!(0)));
}

#[tokio::test]
async fn while_it_waits_for_the_next_attempt_it_says_so_and_can_be_cancelled() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(503).header("retry-after", "600"));
    let id = host.hand_over("webhook", "busy").await;
    let detail = host.reaches(&id, "retrying").await;
    assert!(moment(&detail["dueAt"]) > jiff::Timestamp::now(), "{detail}");
    assert!(detail["error"].is_string(), "{detail}");
    let path = format!("/notifications/{id}");
    let answer = host.call("DELETE", &path).key(crate::kit::KEY_A).send().await;
    assert_eq!(answer.json["status"], "cancelled");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn what_fails_for_good_ends_as_dead_after_its_attempts() {
    let provider = Provider::start().await;
    provider.otherwise(Reply::status(500));
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    folder.channels.push_str("attempts = 3\n");
    let host = TestHost::start(folder).await;
    let answer = host.send("webhook", "in vain").await;
    answer.assert_problem(424, "delivery-failed");
    assert_eq!(provider.seen().len(), 3);
    let detail = host.notification(&answer.id()).await.json;
    assert_eq!((&detail["status"], &detail["attemptCount"]), (&json!("dead"), &json!(3)));
}

#[tokio::test]
async fn a_provider_that_is_away_is_tried_until_it_is_back() {
    let provider = Provider::start().await;
    let gone = provider.url("/hook");
    drop(provider);
    let mut folder = Folder::new();
    folder.webhook(&gone);
    let host = TestHost::start(folder).await;
    let id = host.hand_over("webhook", "patience").await;
    let detail = host.reaches(&id, "retrying").await;
    assert_eq!(detail["attempts"][0]["outcome"], "retry", "{detail}");
}

#[tokio::test]
async fn what_is_accepted_before_a_crash_is_delivered_after_the_restart() {
    let (host, provider) = with_provider().await;
    provider.hold();
    let id = host.hand_over("webhook", "survives").await;
    provider.asked(1).await;
    let mut host = host;
    host.kill().await;
    provider.release();
    let host = host.restart().await;
    let detail = host.reaches(&id, "delivered").await;
    let outcomes: Vec<_> =
        detail["attempts"].as_array().unwrap().iter().map(|one| one["outcome"].clone()).collect();
    assert_eq!(outcomes, ["lost", "delivered"], "the interrupted attempt is on record");
    assert_eq!(provider.seen().len(), 2);
}

#[tokio::test]
async fn what_is_due_later_is_delivered_after_a_crash_when_its_time_comes() {
    let (host, provider) = with_provider().await;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(3);
    let body = json!({"channel": "webhook", "message": "later", "sendAt": due.to_string()});
    let id = host.notify(&body).header("prefer", "respond-async").send().await.id();
    let host = host.restart().await;
    host.reaches(&id, "delivered").await;
    assert!(jiff::Timestamp::now() >= due);
    assert_eq!(provider.seen().len(), 1);
}

/// Callers that hand over as fast as they can, until the host is gone.
struct Load {
    accepted: Arc<Mutex<BTreeMap<String, String>>>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(host: &TestHost, round: usize) -> Self {
        let accepted = Arc::new(Mutex::new(BTreeMap::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let counter = Arc::new(AtomicUsize::new(0));
        let url = format!("{}/notifications", host.base());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let caller = |_| {
            let (accepted, stop, counter) =
                (Arc::clone(&accepted), Arc::clone(&stop), Arc::clone(&counter));
            let (url, client) = (url.clone(), client.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let message = format!("{round}/{}", counter.fetch_add(1, Ordering::Relaxed));
                    let body = json!({"channel": "webhook", "message": message}).to_string();
                    let call = client.post(&url).bearer_auth(crate::kit::KEY_A).body(body);
                    let call = call.header("content-type", "application/json");
                    let call = call.header("prefer", "respond-async");
                    // Whoever gets no answer was promised nothing.
                    let Ok(response) = call.send().await else { continue };
                    let status = response.status();
                    let Ok(text) = response.text().await else { continue };
                    assert_eq!(status, 202, "{text}");
                    let answer: Value = serde_json::from_str(&text).unwrap();
                    let id = answer["id"].as_str().unwrap().to_owned();
                    accepted.lock().unwrap().insert(id, message);
                }
            })
        };
        let callers = (0..16).map(caller).collect();
        Self { accepted, stop, callers }
    }

    fn count(&self) -> usize {
        self.accepted.lock().unwrap().len()
    }

    async fn stop(self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
        self.accepted.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn an_accepted_notification_survives_kill_9_under_load() {
    let (mut host, provider) = with_provider().await;
    let mut accepted = BTreeMap::new();
    for round in 0..3 {
        let load = Load::on(&host, round);
        let enough = 100 + 40 * round;
        eventually("callers hand over", async || (load.count() >= enough).then_some(())).await;
        host.kill().await;
        accepted.extend(load.stop().await);
        host = host.restart().await;
    }
    eventually("the queue is empty", async || {
        let queue = &host.health().await["queue"];
        let live = ["queued", "sending", "retrying"].map(|state| queue[state].as_u64().unwrap());
        (live == [0, 0, 0]).then_some(())
    })
    .await;

    let mut arrived: BTreeMap<String, usize> = BTreeMap::new();
    for seen in provider.seen() {
        *arrived.entry(seen.message().to_owned()).or_default() += 1;
    }
    let lost: Vec<_> = accepted.values().filter(|one| !arrived.contains_key(*one)).collect();
    assert!(lost.is_empty(), "{} of {} were lost: {lost:?}", lost.len(), accepted.len());
    for id in accepted.keys().step_by(25) {
        assert_eq!(host.notification(id).await.json["status"], "delivered");
    }
    let queue = &host.health().await["queue"];
    assert_eq!(queue["dead"], 0, "{queue}");
    assert!(queue["delivered"].as_u64().unwrap() >= accepted.len() as u64, "{queue}");
    // Only what was in flight at a kill may come twice: at most one for each slot of the channel.
    let slots_of_the_channel = 16;
    let twice = arrived.values().map(|count| count - 1).sum::<usize>();
    assert!(twice <= 3 * slots_of_the_channel, "{twice} of {} came twice", arrived.len());
}
