use serde_json::json;

use crate::{
    api::kit::{Host, post},
    store::StoreError,
};

#[tokio::test]
async fn a_store_that_fails_is_a_problem() {
    let host = Host::new();
    host.store.fail_with(Some(StoreError::Read(String::from("x"))));
    let mut request = post(&json!({"status": "dead"}), &[]);
    *request.uri_mut() = "/notifications/replay".parse().unwrap();
    assert_eq!(host.send(request).await.problem(), "store-unavailable");
}
