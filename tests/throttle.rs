//! How fast a provider is asked: never faster than its rate, and not at the cost of others.

use std::time::Instant;

use serde_json::json;

use crate::kit::{Folder, Provider, TestHost};

async fn with_throttle(throttle: &str) -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    folder.channels.push_str(&format!("\n[channel.throttle]\n{throttle}\n"));
    (TestHost::start(folder).await, provider)
}

#[tokio::test]
async fn a_throttled_channel_sends_at_its_rate_and_holds_nobody_up() {
    let (host, provider) = with_throttle("rate_per_s = 5\nburst = 2").await;
    let began = Instant::now();
    for number in 0..8 {
        host.hand_over("webhook", &number.to_string()).await;
    }
    assert_eq!(host.send("log", "not throttled").await.status, 200);
    assert!(provider.seen().len() < 8, "the others still wait");
    provider.asked(8).await;
    let took = began.elapsed().as_secs_f64();
    assert!(took >= 6.0 / 5.0, "eight went within {took} s, of which two may go at once");
    let metric = "conductor_throttled_total{plugin=\"webhook\",scope=\"channel\"}";
    assert!(host.metric(metric).await >= 1.0);
}

#[tokio::test]
async fn a_throttled_destination_waits_without_using_up_attempts() {
    let (host, provider) = with_throttle("rate_per_s = 2\nburst = 1\nper = \"destination\"").await;
    let hand_over = async |target: &str| {
        let body = json!({ "channel": "webhook", "message": target, "targetId": target });
        host.notify(&body).header("prefer", "respond-async").send().await.id()
    };
    let began = Instant::now();
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(hand_over("busy").await);
    }
    let free = hand_over("free").await;
    host.reaches(&free, "delivered").await;
    assert!(provider.seen().len() < 4, "the messages for the other target wait");
    for id in ids {
        let detail = host.reaches(&id, "delivered").await;
        assert_eq!(detail["attemptCount"], 1, "{detail}");
    }
    let took = began.elapsed().as_secs_f64();
    assert!(took >= 1.0, "three went to one target within {took} s");
}
