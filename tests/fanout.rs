//! One request for several channels: one record that tells how it went with each.

use serde_json::{Value, json};

use crate::kit::{Answer, Folder, KEY_A, Provider, Reply, TestHost, conductor};

async fn two() -> (TestHost, Provider, Provider) {
    let (first, second) = (Provider::start().await, Provider::start().await);
    let mut folder = Folder::new();
    folder.webhooks(&[("first", &first), ("second", &second)], 3);
    (TestHost::start(folder).await, first, second)
}

fn both(message: &str) -> Value {
    json!({ "channels": ["first", "second"], "message": message })
}

async fn delete(host: &TestHost, id: &str) -> Answer {
    host.call("DELETE", &format!("/notifications/{id}")).key(KEY_A).send().await
}

#[tokio::test]
async fn a_message_reaches_every_channel_and_the_caller_hears_of_all() {
    let (host, first, second) = two().await;
    second.then(Reply::status(500));
    let answer = host.notify(&both("hello")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["status"], "delivered");
    assert_eq!(first.seen()[0].message(), "hello");
    assert_eq!(second.seen().len(), 2);
    let detail = host.notification(&answer.id()).await.json;
    let channels = detail["channels"].as_array().unwrap();
    let attempts = |index: usize| {
        let attempts = channels[index]["notifications"][0]["attempts"].as_array().unwrap();
        attempts.iter().map(|one| one["outcome"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(attempts(0), ["delivered"]);
    assert_eq!(attempts(1), ["retry", "delivered"]);
    let keys: std::collections::BTreeSet<_> = [&first, &second]
        .iter()
        .map(|provider| provider.seen()[0].header("webhook-id").to_owned())
        .collect();
    assert_eq!(keys.len(), 2, "they are two notifications");
}

#[tokio::test]
async fn what_one_of_two_has_refused_is_told_and_can_be_sent_again_alone() {
    let (host, first, second) = two().await;
    first.then(Reply::status(400));
    let answer = host.notify(&both("hello")).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        (&answer.json["success"], &answer.json["status"]),
        (&json!(false), &json!("partial"))
    );
    assert_eq!(answer.json["channels"][0]["status"], "dead");
    let id = answer.id();
    let path = format!("/notifications/{id}/replay");
    let replayed = host.call("POST", &path).key(KEY_A).send().await;
    assert_eq!(replayed.status, 202, "{replayed:?}");
    host.reaches(&id, "delivered").await;
    assert_eq!((first.seen().len(), second.seen().len()), (2, 1));

    first.otherwise(Reply::status(400));
    second.otherwise(Reply::status(400));
    let answer = host.notify(&both("in vain")).send().await;
    answer.assert_problem(422, "rejected");
    assert_eq!(answer.json["channels"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_group_survives_a_crash_and_its_key_stands_for_all_of_it() {
    let (host, first, second) = two().await;
    first.hold();
    second.hold();
    let call = host.notify(&both("once")).header("idempotency-key", "k");
    let id = call.header("prefer", "respond-async").send().await.id();
    first.asked(1).await;
    second.asked(1).await;
    let mut host = host;
    host.kill().await;
    first.release();
    second.release();
    let host = host.restart().await;
    host.reaches(&id, "delivered").await;
    let again = host.notify(&both("once")).header("idempotency-key", "k").send().await;
    assert_eq!((again.status, again.id()), (200, id), "{again:?}");
    assert_eq!(again.header("idempotency-replay"), "true");
    assert_eq!((first.seen().len(), second.seen().len()), (2, 2));
}

#[tokio::test]
async fn what_waits_of_a_group_is_cancelled_with_it() {
    let (host, first, second) = two().await;
    first.hold();
    second.otherwise(Reply::status(503).header("retry-after", "600"));
    let call = host.notify(&both("back")).header("prefer", "respond-async");
    let id = call.send().await.id();
    first.asked(1).await;
    second.asked(1).await;
    let child = host.notification(&id).await.json["channels"][1]["id"].clone();
    host.reaches(child.as_str().unwrap(), "retrying").await;
    let answer = delete(&host, &id).await;
    assert_eq!((answer.status, &answer.json["status"]), (200, &json!("sending")), "{answer:?}");
    first.release();
    let detail = host.reaches(&id, "partial").await;
    assert_eq!(detail["channels"][1]["status"], "cancelled");
}

#[tokio::test]
async fn a_fallback_of_the_request_takes_over_and_one_record_tells_it() {
    let (host, first, second) = two().await;
    first.otherwise(Reply::status(400));
    let body = json!({ "channel": "first", "message": "hello", "fallback": ["second", "log"] });
    let answer = host.notify(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["channel"], "first");
    assert_eq!(answer.json["channels"][0]["via"], "second");
    assert_eq!(second.seen()[0].message(), "hello");
    let detail = host.notification(&answer.id()).await.json;
    let story = detail["channels"][0]["notifications"].as_array().unwrap();
    assert_eq!(story.len(), 2, "{detail}");
    assert_eq!(story[0]["attempts"][0]["outcome"], "rejected");
    assert_eq!(story[1]["tookOverFrom"], json!(["first"]));
}

#[tokio::test]
async fn a_fallback_does_not_wait_longer_than_it_was_told_to() {
    let (host, first, second) = two().await;
    first.otherwise(Reply::status(503).header("retry-after", "600"));
    let body = json!({
        "channel": "first", "message": "hurry", "fallback": [{"channel": "second", "after": "PT1S"}],
    });
    let started = std::time::Instant::now();
    let answer = host.notify(&body).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(started.elapsed().as_secs() < 8, "{:?}", started.elapsed());
    assert_eq!(answer.json["channels"][0]["via"], "second");
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));
}

#[tokio::test]
async fn a_range_of_dead_letters_is_sent_again_by_the_command() {
    let (host, first, _second) = two().await;
    first.otherwise(Reply::status(400));
    for message in ["one", "two", "three"] {
        host.send("first", message).await.assert_problem(422, "rejected");
    }
    first.otherwise(Reply::status(200));
    let body = json!({ "status": "dead", "channel": "first", "limit": 2 });
    let call = host.call("POST", "/notifications/replay").key(KEY_A).json(&body);
    let answer = call.send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.json["replayed"], 2);
    assert!(answer.json["nextCursor"].is_string());
    first.asked(5).await;

    let run = |args: &[&str]| {
        let mut command = conductor(&host);
        command.arg("replay").args(args).args(["--url", host.base(), "--tenant", "a"]);
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let (code, text) = run(&["--status", "dead", "--channel", "first"]);
    assert_eq!((code, text.trim()), (Some(0), "replayed 1, passed over 0"));
    let seen = first.asked(6).await;
    let mut messages: Vec<_> = seen[3..].iter().map(crate::kit::Seen::message).collect();
    messages.sort_unstable();
    assert_eq!(messages, ["one", "three", "two"]);
    assert_eq!(run(&["--status", "delivered"]).0, Some(64));
    assert_eq!(run(&[]).0, Some(64));
    assert_eq!(run(&["019aa7c4-5e00-7c3a-9b51-00000000ffff"]).0, Some(1));
}
