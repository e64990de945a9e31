use axum::{body::Body, http::Method};
use serde_json::json;

use crate::{
    api::kit::{Host, call, post},
    store::{State, StoreError},
};

async fn range(host: &Host, body: &serde_json::Value) -> crate::api::kit::Answer {
    let mut request = post(body, &[]);
    *request.uri_mut() = "/notifications/purge".parse().unwrap();
    host.send(request).await
}

#[tokio::test]
async fn a_store_that_fails_is_a_problem() {
    let host = Host::new();
    host.store.fail_with(Some(StoreError::Unknown(String::from("x"))));
    let path = "/notifications/019aa7c4-5e00-7c3a-9b51-00000000ffff/purge";
    let one = host.send(call(Method::POST, path, Body::empty())).await;
    assert_eq!(one.problem(), "outcome-unknown");
    host.store.fail_with(Some(StoreError::Read(String::from("x"))));
    assert_eq!(range(&host, &json!({"status": "dead"})).await.problem(), "store-unavailable");
}

#[tokio::test]
async fn only_what_is_dead_is_removed() {
    let host = Host::new();
    let fast = [("prefer", "respond-async")];
    let answer = host.send(post(&json!({"channel": "log", "message": "m"}), &fast)).await;
    let id: crate::ids::NotificationId = answer.json()["id"].as_str().unwrap().parse().unwrap();
    let purge =
        || host.send(call(Method::POST, &format!("/notifications/{id}/purge"), Body::empty()));
    for (state, word) in [(State::Queued, "DELETE"), (State::Delivered, "retention")] {
        host.store.set_state(id, state);
        let answer = purge().await;
        assert_eq!(answer.problem(), "state-conflict");
        assert!(answer.text.contains(word), "{answer:?}");
    }
    host.store.set_state(id, State::Dead);
    assert_eq!(purge().await.json(), json!({"purged": 1, "skipped": 0}));
    assert_eq!(purge().await.problem(), "unknown-notification");
}
