//! Those who asked are told how it went, signed, and as durably as everything else.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::hmac;
use serde_json::json;

use crate::kit::{Folder, KEY_A, Provider, Reply, Seen, TENANT_A, TestHost, eventually};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// Tenant A posts by `webhook` to the first, and the second is told of `events`.
async fn with_endpoint(events: &str) -> (TestHost, Provider, Provider) {
    let (provider, receiver) = (Provider::start().await, Provider::start().await);
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    folder.env("CALLBACK_SECRET", SECRET);
    let endpoint = format!(
        "[[tenant.callback]]\nurl = \"{}\"\nsecret_env = \"CALLBACK_SECRET\"\nevents = [{events}]\n\
         addresses = [\"127.0.0.0/8\"]\n",
        receiver.url("/told")
    );
    let second = folder.tenants.rfind("[[tenant]]").unwrap();
    folder.tenants.insert_str(second, &format!("{endpoint}\n"));
    (TestHost::start(folder).await, provider, receiver)
}

fn assert_signed(seen: &Seen) {
    let key = STANDARD.decode(SECRET.strip_prefix("whsec_").unwrap()).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let (id, timestamp) = (seen.header("webhook-id"), seen.header("webhook-timestamp"));
    assert!(!id.contains('.'));
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &seen.body].concat();
    let signature = seen.header("webhook-signature").strip_prefix("v1,").unwrap();
    hmac::verify(&key, &signed, &STANDARD.decode(signature).unwrap()).unwrap();
}

#[tokio::test]
async fn an_endpoint_is_told_how_it_went() {
    let (host, provider, receiver) = with_endpoint("\"delivered\", \"failed\", \"retrying\"").await;
    provider.then(Reply::status(500)).then(Reply::status(200)).then(Reply::status(400));
    let delivered = host.send("webhook", "one").await;
    assert_eq!(delivered.status, 200);
    let refused = host.send("webhook", "two").await;
    let told = receiver.asked(3).await;
    for seen in &told {
        assert_signed(seen);
        assert_eq!((seen.method.as_str(), seen.path.as_str()), ("POST", "/told"));
        assert!(!String::from_utf8_lossy(&seen.body).contains("one"), "the message stays here");
    }
    let of = |kind: &str| {
        let found = told.iter().find(|seen| seen.json["type"] == kind);
        found.unwrap_or_else(|| panic!("{kind} in {told:?}")).json["data"].clone()
    };
    let data = of("notification.delivered");
    assert_eq!(data["id"], delivered.id());
    assert_eq!((&data["tenantId"], &data["channel"]), (&json!(TENANT_A), &json!("webhook")));
    assert_eq!((&data["status"], &data["attempts"]), (&json!("delivered"), &json!(2)));
    assert!(data["providerId"].is_string());
    let data = of("notification.retrying");
    assert_eq!((&data["id"], &data["code"]), (&json!(delivered.id()), &json!("http_500")));
    let data = of("notification.failed");
    assert_eq!((&data["id"], &data["outcome"]), (&json!(refused.id()), &json!("rejected")));
}

#[tokio::test]
async fn an_endpoint_that_fails_is_told_again_under_the_same_id_even_after_a_crash() {
    let (host, _provider, receiver) = with_endpoint("\"delivered\"").await;
    receiver.otherwise(Reply::status(503).header("retry-after", "1"));
    assert_eq!(host.send("webhook", "one").await.status, 200);
    receiver.asked(1).await;
    let host = host.restart().await;
    receiver.otherwise(Reply::status(204));
    let told = eventually("the callback arrives", async || {
        let answer = host.call("GET", "/notifications?status=delivered").key(KEY_A).send().await;
        let items = answer.json["items"].as_array().unwrap().clone();
        items.iter().any(|item| item["channel"] == "@callbacks").then(|| receiver.seen())
    })
    .await;
    assert!(told.len() >= 2);
    for seen in &told {
        assert_signed(seen);
        assert_eq!(seen.header("webhook-id"), told[0].header("webhook-id"));
        assert_eq!(seen.body, told[0].body);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_left_alone() {
    let (host, _provider, receiver) = with_endpoint("\"delivered\"").await;
    receiver.otherwise(Reply::status(410));
    host.send("webhook", "one").await;
    host.logged(&["breaker opened", "@callbacks", "http_410"]).await;
    host.send("webhook", "two").await;
    host.send("webhook", "three").await;
    assert_eq!(receiver.seen().len(), 1);
    assert_eq!(host.health().await["status"], "ok", "somebody else's endpoint is no fault here");
}

#[tokio::test]
async fn a_channel_cannot_have_the_name_of_the_callbacks() {
    let mut folder = Folder::new();
    folder.channel("log", "name = \"@callbacks\"");
    let (_, ended) = TestHost::refused(folder, &[]).await;
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("the host's own"), "{}", ended.stderr);
}
