//! What fails makes room for what works: breakers for destinations, credentials and providers, and
//! channels that stop when they are misconfigured.

use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, KEY_B, Provider, Reply, TENANT_B, TestHost, eventually};

/// The breakers of this scope that `/health` tells the operator of.
async fn open(host: &TestHost, scope: &str) -> Vec<Value> {
    let health = host.health().await;
    let all = health["openBreakers"].as_array().cloned().unwrap_or_default();
    all.into_iter().filter(|breaker| breaker["scope"] == scope).collect()
}

async fn opened(host: &TestHost, scope: &str) -> Value {
    eventually(format_args!("a breaker of scope {scope}"), async || {
        open(host, scope).await.into_iter().next()
    })
    .await
}

async fn hand_over_to(host: &TestHost, key: &str, target: &str) -> String {
    let body = json!({ "channel": "webhook", "message": "m", "targetId": target });
    let call = host.call("POST", "/notifications").key(key).json(&body);
    let answer = call.header("prefer", "respond-async").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.id()
}

fn stopped_metric(plugin: &str) -> String {
    format!("conductor_breakers_open{{plugin=\"{plugin}\",scope=\"configuration\"}}")
}

#[tokio::test]
async fn a_destination_that_asks_to_wait_keeps_its_messages_and_lets_the_others_pass() {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    let host = TestHost::start(folder).await;
    provider.then(Reply::status(429).header("retry-after", "3"));
    let first = hand_over_to(&host, KEY_A, "slow").await;
    host.reaches(&first, "retrying").await;
    let breaker = opened(&host, "destination").await;
    assert_eq!((&breaker["target"], &breaker["state"]), (&json!("slow"), &json!("open")));
    assert_eq!(breaker["code"], "http_429");

    let waits = hand_over_to(&host, KEY_A, "slow").await;
    let passes = hand_over_to(&host, KEY_A, "quick").await;
    host.reaches(&passes, "delivered").await;
    let detail = host.notification(&waits).await.json;
    assert_eq!((&detail["status"], &detail["attemptCount"]), (&json!("queued"), &json!(0)));
    assert_eq!(provider.seen().len(), 2, "the one that waits was not tried");

    let detail = host.reaches(&waits, "delivered").await;
    assert_eq!(detail["attemptCount"], 1, "waiting has cost no attempt: {detail}");
    host.reaches(&first, "delivered").await;
    assert!(open(&host, "destination").await.is_empty());
    host.logged(&["breaker opened", "\"destination\"", "slow"]).await;
    host.logged(&["breaker closed", "\"destination\"", "slow"]).await;
}

#[tokio::test]
async fn a_host_that_fails_for_two_tenants_is_left_alone_until_it_works() {
    let provider = Provider::start().await;
    provider.otherwise(Reply::status(500));
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    let own = folder.channels.split("[[channel]]").nth(1).unwrap();
    let other = own.replace(crate::kit::TENANT_A, TENANT_B);
    folder.channels.push_str(&format!("\n[[channel]]{other}"));
    let host = TestHost::start(folder).await;
    let mut all = Vec::new();
    for number in 0..12 {
        for key in [KEY_A, KEY_B] {
            all.push((key, hand_over_to(&host, key, &number.to_string()).await));
        }
    }
    let breaker = opened(&host, "provider").await;
    let url = provider.url("");
    assert_eq!(breaker["target"], url.strip_prefix("http://").unwrap());
    assert!(breaker.get("tenant").is_none(), "{breaker}");
    assert_eq!(host.health().await["status"], "degraded");
    let open_answer = host.get("/health").await.json;
    assert!(open_answer["breakers"]["provider"].is_u64(), "{open_answer}");
    assert!(open_answer.get("openBreakers").is_none(), "causes are the operator's");

    provider.otherwise(Reply::status(200));
    for (key, id) in all {
        eventually(format_args!("{id} is delivered"), async || {
            let call = host.call("GET", &format!("/notifications/{id}")).key(key);
            (call.send().await.json["status"] == "delivered").then_some(())
        })
        .await;
    }
    assert!(open(&host, "provider").await.is_empty());
    let opened = "conductor_breakers_opened_total{plugin=\"webhook\",scope=\"provider\"}";
    assert!(host.metric(opened).await >= 1.0);
}

#[tokio::test]
async fn a_misconfigured_channel_stops_keeps_its_messages_and_goes_on_when_it_is_mended() {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/gone"));
    let mut host = TestHost::start(folder).await;
    provider.then(Reply::status(410));
    let answer = host.send("webhook", "finds it").await;
    answer.assert_problem(424, "channel-misconfigured");
    let stopped = opened(&host, "configuration").await;
    assert_eq!((&stopped["channel"], &stopped["code"]), (&json!("webhook"), &json!("http_410")));
    assert_eq!(host.health().await["status"], "degraded");
    assert_eq!(host.metric(&stopped_metric("webhook")).await, 1.0);
    host.logged(&["channel stopped", "webhook", "http_410"]).await;

    let waits = host.hand_over("webhook", "waits").await;
    let other = host.send("log", "the other channels work").await;
    assert_eq!(other.status, 200);
    let detail = host.notification(&waits).await.json;
    assert_eq!((&detail["status"], &detail["attemptCount"]), (&json!("queued"), &json!(0)));
    assert_eq!(provider.seen().len(), 1);

    host.channels = host.channels.replace("/gone", "/there");
    host.write();
    let detail = host.reaches(&waits, "delivered").await;
    assert_eq!(detail["attemptCount"], 1);
    assert_eq!(provider.seen()[1].path, "/there");
    assert_eq!(host.health().await["status"], "ok");
    assert_eq!(host.metric(&stopped_metric("webhook")).await, 0.0);
}

#[tokio::test]
async fn a_destination_that_answers_one_call_of_ten_is_left_alone_for_a_while() {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhooks(&[("hook", &provider)], 1);
    let host = TestHost::start(folder).await;
    let wanted = |call: usize| call.is_multiple_of(10);
    for call in 1..=50 {
        assert!(open(&host, "destination").await.is_empty(), "after {call} calls");
        provider.then(Reply::status(if wanted(call) { 200 } else { 502 }));
        let answer = host.send("hook", "m").await;
        assert_eq!(answer.status, if wanted(call) { 200 } else { 424 }, "{answer:?}");
    }
    // Never ten in a row; but 45 of 50, and the next one fails too.
    provider.then(Reply::status(502));
    host.send("hook", "m").await.assert_problem(424, "delivery-failed");
    let breaker = opened(&host, "destination").await;
    assert_eq!(breaker["code"], "http_502");
    let waits = host.send("hook", "after the pause").await;
    assert_eq!(waits.status, 200, "the probe finds that it works: {waits:?}");
    assert!(open(&host, "destination").await.is_empty());
}
