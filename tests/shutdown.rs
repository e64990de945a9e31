//! Ending in order.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::kit::{Folder, Provider, TestHost, eventually};

async fn with_provider() -> (TestHost, Provider) {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    (TestHost::start(folder).await, provider)
}

#[tokio::test]
async fn an_idle_host_stops_at_once_on_either_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let host = TestHost::start(Folder::new()).await;
        assert_eq!(host.send("log", "one").await.status, 200);
        let began = Instant::now();
        host.signal(signal);
        let (_folder, ended) = host.ended().await;
        assert_eq!(ended.code, Some(0), "{signal:?}: {ended:?}");
        assert!(ended.stderr.contains("\"drained\":true"), "{ended:?}");
        assert!(ended.stderr.contains("\"closed\":true"), "{ended:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_running_delivery_is_finished_and_its_caller_answered() {
    let (host, provider) = with_provider().await;
    provider.hold();
    let body = json!({"channel": "webhook", "message": "to the end"});
    let call = tokio::spawn(host.notify(&body).header("prefer", "wait=30").send());
    provider.asked(1).await;
    host.signal(Signal::TERM);
    host.logged(&["stopping"]).await;
    // The caller is not kept waiting: what was accepted is safe.
    let answer = call.await.unwrap();
    assert_eq!(answer.status, 202, "{answer:?}");
    provider.release();
    let (folder, ended) = host.ended().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("\"drained\":true"), "{ended:?}");

    let host = TestHost::start(folder).await;
    let detail = host.notification(&answer.id()).await.json;
    assert_eq!((&detail["status"], &detail["attemptCount"]), (&json!("delivered"), &json!(1)));
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test]
async fn nothing_new_is_taken_while_the_host_stops() {
    let (host, provider) = with_provider().await;
    provider.hold();
    host.hand_over("webhook", "running").await;
    provider.asked(1).await;
    host.signal(Signal::TERM);
    host.logged(&["stopping"]).await;
    let body = json!({"channel": "log", "message": "too late"});
    eventually("new work is refused", async || {
        match host.notify(&body).try_send().await {
            // The listener is closed.
            Err(error) => error.is_connect().then_some(()),
            // A connection that was open before.
            Ok(answer) => (answer.status == 503).then(|| {
                answer.assert_problem(503, "stopping");
                assert!(!answer.header("retry-after").is_empty());
            }),
        }
    })
    .await;
    provider.release();
    let (_folder, ended) = host.ended().await;
    assert_eq!(ended.code, Some(0));
}

#[tokio::test]
async fn what_waits_in_the_queue_is_sent_after_the_next_start() {
    let (host, provider) = with_provider().await;
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let mut ids = Vec::new();
    for n in 0..20 {
        let message = format!("number {n}");
        let body = json!({"channel": "webhook", "message": message, "sendAt": due.to_string()});
        ids.push(host.notify(&body).header("prefer", "respond-async").send().await.id());
    }
    let (folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0));
    let host = TestHost::start(folder).await;
    for id in &ids {
        let detail = host.reaches(id, "delivered").await;
        assert_eq!(detail["attemptCount"], 1);
    }
    assert_eq!(provider.seen().len(), ids.len(), "each of them once");
}

#[tokio::test]
async fn a_second_signal_ends_at_once_and_loses_nothing() {
    let (mut host, provider) = with_provider().await;
    provider.hold();
    let id = host.hand_over("webhook", "stuck").await;
    provider.asked(1).await;
    let began = Instant::now();
    host.signal(Signal::TERM);
    host.logged(&["stopping"]).await;
    assert!(host.is_running(), "it waits for the running delivery");
    eventually("it ends on the second signal", async || {
        if host.is_running() {
            host.signal(Signal::TERM);
        }
        (!host.is_running()).then_some(())
    })
    .await;
    // A host that waits for the delivery takes as long as the provider's first byte may: 5 s.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    let ended = host.exit().await;
    assert!(ended.stderr.contains("second signal"), "{ended:?}");
    provider.release();
    let host = host.restart().await;
    host.reaches(&id, "delivered").await;
}
