//! Plugins of the async flavour: many sends in flight in one instance, and what one that misbehaves
//! costs the others.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Answer, Folder, KEY_A, Provider, TestHost, fixture};

/// A host with the fixture as tenant A's channel `guest`, which has one instance; each message is
/// tried once.
async fn with_guest(provider: &Provider, limits: &str) -> TestHost {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("concurrent")).unwrap();
    let origin = provider.url("");
    folder.plugin(
        "guest",
        &format!(
            "source = \"guest.wasm\"\n[plugin.grants]\nhosts = [\"{origin}\"]\naddresses = \
             [\"127.0.0.1\"]\n[plugin.limits]\ninstances_max = 1\n{limits}"
        ),
    );
    let more = format!("[channel.options]\nurl = \"{origin}/hook\"\n[channel.retry]\nattempts = 1");
    folder.channel("guest", &more);
    TestHost::start(folder).await
}

/// So many messages with texts of their own, without waiting for what becomes of them.
async fn hand_over(host: &TestHost, count: usize) -> Vec<String> {
    let mut ids = Vec::with_capacity(count);
    let messages: Vec<Value> = (0..count)
        .map(|n| json!({"channel": "guest", "message": format!("message {n}")}))
        .collect();
    for batch in messages.chunks(100) {
        let body = Value::from(batch.to_vec());
        let answer = host.call("POST", "/notifications/batch").key(KEY_A).json(&body).send().await;
        assert!(answer.status < 300, "{answer:?}");
        let results = answer.json["results"].as_array().unwrap();
        ids.extend(results.iter().map(|result| result["id"].as_str().unwrap().to_owned()));
    }
    ids
}

async fn faults(host: &TestHost, kind: &str) -> f64 {
    let metric = format!("conductor_guest_faults_total{{plugin=\"guest\",kind=\"{kind}\"}}");
    host.metric(&metric).await
}

async fn instances(host: &TestHost) -> f64 {
    host.metric("conductor_instances_created_total{plugin=\"guest\"}").await
}

#[tokio::test]
async fn a_thousand_sends_are_in_flight_in_one_instance() {
    let provider = Provider::start().await;
    let host = with_guest(&provider, "in_flight_max = 1000\nwall_ms = 60000").await;
    let began = instances(&host).await;
    provider.hold();
    let ids = hand_over(&host, 1_000).await;
    provider.asked(1_000).await;
    provider.release();
    for id in &ids {
        host.reaches(id, "delivered").await;
    }
    assert_eq!(instances(&host).await - began, 1.0, "one instance had all of them");
    let mut seen: Vec<_> = provider.seen().into_iter().map(|seen| seen.body).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 1_000, "each was sent once");
    let (_folder, ended) = host.stop().await;
    assert!(ended.stderr.contains("concurrent ends, and had 1000 in flight"), "{}", ended.stderr);
}

#[tokio::test]
async fn more_than_an_instance_takes_waits_for_room() {
    let provider = Provider::start().await;
    let host = with_guest(&provider, "in_flight_max = 5").await;
    provider.hold();
    let ids = hand_over(&host, 12).await;
    provider.asked(5).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(provider.seen().len(), 5, "the sixth waits");
    provider.release();
    for id in &ids {
        host.reaches(id, "delivered").await;
    }
}

#[tokio::test]
async fn a_trap_ends_every_send_of_its_instance_and_is_one_strike() {
    let provider = Provider::start().await;
    let host = with_guest(&provider, "").await;
    provider.hold();
    let ids = hand_over(&host, 50).await;
    provider.asked(50).await;
    let answer = host.send("guest", "trap").await;
    answer.assert_problem(424, "delivery-failed");
    assert_eq!(answer.json["outcome"], "crashed", "{answer:?}");
    for id in &ids {
        let end = host.reaches(id, "dead").await;
        assert_eq!(end["attempts"][0]["outcome"], "crashed", "{end}");
    }
    assert_eq!(faults(&host, "trap").await, 1.0);
    provider.release();
    assert_eq!(host.send("guest", "after it").await.status, 200, "a new instance serves");
}

/// Sends what ends the instance, beside a neighbour who does not notice.
async fn is_stopped(limits: &str, message: &str, outcome: &str, fault: &str) -> (TestHost, Answer) {
    let provider = Provider::start().await;
    let host = with_guest(&provider, limits).await;
    let (answer, beside) = tokio::join!(host.send("guest", message), host.send("log", "beside"));
    assert_eq!(beside.status, 200, "{beside:?}");
    answer.assert_problem(424, "delivery-failed");
    assert_eq!(answer.json["outcome"], outcome, "{answer:?}");
    assert_eq!(faults(&host, fault).await, 1.0, "{fault}");
    let after = host.send("guest", "after it").await;
    assert_eq!(after.status, 200, "{after:?}");
    (host, answer)
}

#[tokio::test]
async fn a_guest_that_computes_without_end_in_one_turn_is_stopped() {
    is_stopped("cpu_ms = 50", "spin", "limit", "cpu").await;
}

#[tokio::test]
async fn a_guest_that_computes_from_turn_to_turn_is_stopped() {
    is_stopped("cpu_ms = 50\nwall_ms = 60000", "spin from turn to turn", "limit", "cpu").await;
}

#[tokio::test]
async fn a_guest_that_starts_ten_thousand_operations_is_stopped() {
    is_stopped("", "swarm", "limit", "host-call").await;
}

#[tokio::test]
async fn a_guest_that_blocks_its_only_thread_is_stopped_at_its_wall_limit() {
    is_stopped("wall_ms = 300", "block", "timeout", "timeout").await;
}

#[tokio::test]
async fn a_send_that_never_ends_ends_alone() {
    let provider = Provider::start().await;
    let host = with_guest(&provider, "wall_ms = 1500").await;
    provider.hold();
    let hanging = host.notify(&json!({"channel": "guest", "message": "hang"}));
    let beside = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let sent = tokio::spawn(host.notify(&json!({"channel": "guest", "message": "x"})).send());
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        provider.release();
        sent.await.unwrap()
    };
    let (hung, beside) = tokio::join!(hanging.send(), beside);
    assert_eq!(hung.json["outcome"], "timeout", "{hung:?}");
    assert_eq!(beside.status, 200, "the send beside it is finished: {beside:?}");
    assert_eq!(faults(&host, "timeout").await, 1.0);
    host.logged(&["concurrent ends", "2 in flight"]).await;
    assert_eq!(host.send("guest", "after it").await.status, 200);
}

#[tokio::test]
async fn log_lines_name_the_notification_that_they_are_about() {
    let provider = Provider::start().await;
    let host = with_guest(&provider, "").await;
    let send = |text: &str| {
        host.notify(&json!({"channel": "guest", "title": "aloud", "message": text})).send()
    };
    let (one, two) = tokio::join!(send("one"), send("two"));
    for (answer, text) in [(one, "one"), (two, "two")] {
        let id = answer.id();
        host.logged(&[&format!("now it sends {text}"), &id]).await;
        host.logged(&[&format!("it goes on with {text}"), &id]).await;
    }
}
