//! `orderingKey`: one after the other, and a head that fails holds the others up, visibly.

use serde_json::json;

use crate::kit::{Folder, KEY_A, Provider, Reply, TestHost};

async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    (TestHost::start(folder).await, provider)
}

async fn hand_over(host: &TestHost, key: Option<&str>, message: &str) -> String {
    let body = json!({ "channel": "webhook", "message": message, "orderingKey": key });
    let answer = host.notify(&body).header("prefer", "respond-async").send().await;
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.id()
}

#[tokio::test]
async fn a_head_that_fails_holds_up_its_own_and_nobody_else() {
    let (host, provider) = with_provider().await;
    // What fails and is not the destination's fault at large: others must pass it.
    provider.hold();
    let head = hand_over(&host, Some("order-1"), "1").await;
    provider.asked(1).await;
    let second = hand_over(&host, Some("order-1"), "2").await;
    let third = hand_over(&host, Some("order-1"), "3").await;
    let other = hand_over(&host, Some("order-2"), "other").await;
    provider.asked(2).await;
    for id in [&second, &third] {
        let detail = host.notification(id).await.json;
        assert_eq!((&detail["status"], &detail["blockedBy"]), (&json!("queued"), &json!(head)));
    }
    // The head fails twice before it goes.
    for _ in 0..2 {
        provider.then(Reply::status(500));
    }
    provider.release();
    host.reaches(&other, "delivered").await;
    let detail = host.reaches(&third, "delivered").await;
    assert!(detail.get("blockedBy").is_none());
    let seen = provider.seen();
    let order: Vec<&str> =
        seen.iter().map(crate::kit::Seen::message).filter(|message| *message != "other").collect();
    let mut firsts = order.clone();
    firsts.dedup();
    assert_eq!(firsts, ["1", "2", "3"], "{order:?}");
}

#[tokio::test]
async fn a_head_that_is_given_up_or_taken_back_makes_way_even_after_a_crash() {
    let (host, provider) = with_provider().await;
    provider.otherwise(Reply::status(503).header("retry-after", "600"));
    let head = hand_over(&host, Some("k"), "head").await;
    let second = hand_over(&host, Some("k"), "second").await;
    let third = hand_over(&host, Some("k"), "third").await;
    host.reaches(&head, "retrying").await;
    let host = host.restart().await;
    assert_eq!(host.notification(&second).await.json["blockedBy"], json!(head));
    provider.otherwise(Reply::status(200));
    provider.then(Reply::status(400));
    for id in [&head] {
        let cancel = host.call("DELETE", &format!("/notifications/{id}")).key(KEY_A);
        assert_eq!(cancel.send().await.status, 200);
    }
    host.reaches(&second, "dead").await;
    host.reaches(&third, "delivered").await;
}
