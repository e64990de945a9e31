use std::time::{Duration, Instant};

use axum::{
    body::Body,
    http::{Method, StatusCode, header},
};
use serde_json::{Value, json};
use tokio::task::LocalSet;

use crate::{
    api::kit::{Answer, Host, NOW, call, post, tenant},
    clock::UnixMs,
    ids::NotificationId,
    outcomes::Ending,
    store::{State, StoreError},
};

/// Much less than the wait, and enough for a machine that is busy.
const SOON: Duration = Duration::from_secs(5);

fn hello() -> Value {
    json!({"channel": "log", "message": "hello", "priority": "high"})
}

fn delivered() -> Ending {
    Ending::Delivered { provider_id: Some(String::from("p-7")) }
}

fn dead(outcome: &str) -> Ending {
    Ending::Dead {
        outcome: String::from(outcome),
        code: Some(String::from("50035")),
        detail: Some(String::from("the text is empty")),
    }
}

/// Posts while a dispatcher ends the notification so after `after`.
async fn post_and_end(host: &Host, ending: Ending, after: Duration, prefer: &str) -> Answer {
    let local = LocalSet::new();
    local
        .run_until(async {
            host.dispatch_next(ending, after);
            host.send(post(&hello(), &[("prefer", prefer)])).await
        })
        .await
}

fn id_of(answer: &Answer) -> NotificationId {
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_delivery_in_time_is_200_with_everything_the_contract_names() {
    let host = Host::new();
    let answer = post_and_end(&host, delivered(), Duration::from_millis(50), "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!({
            "success": true,
            "id": id_of(&answer).to_string(),
            "tenantId": "00000000-0000-0000-0000-000000000001",
            "tenantName": "Tenant 1",
            "channel": "log",
            "message": "hello",
            "priority": "high",
            "timestamp": NOW.rfc3339(),
            "status": "delivered",
            "providerId": "p-7",
        })
    );
    assert_eq!(answer.header("vary"), "prefer");
    assert_eq!(answer.header("preference-applied"), "");
}

#[tokio::test]
async fn a_delivery_that_takes_longer_than_the_wait_is_202_with_its_location() {
    let host = Host::new();
    let started = Instant::now();
    let answer = host.send(post(&hello(), &[("prefer", "wait=1")])).await;
    assert_eq!(started.elapsed().as_secs(), 1);
    assert_eq!(answer.header("preference-applied"), "wait=1");
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json()["status"], "queued");
    assert_eq!(answer.header("location"), format!("/notifications/{}", id_of(&answer)));
}

#[tokio::test]
async fn respond_async_is_answered_at_once() {
    let host = Host::new();
    let started = Instant::now();
    let answer = host.send(post(&hello(), &[("prefer", "respond-async")])).await;
    assert!(started.elapsed() < SOON);
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.header("preference-applied"), "respond-async");
    assert_eq!(host.store.all().len(), 1);
}

#[tokio::test]
async fn a_bad_end_in_time_says_whose_fault_it_was() {
    for (outcome, status, slug) in [
        ("rejected", 422, "rejected"),
        ("expired", 422, "expired"),
        ("misconfigured", 424, "channel-misconfigured"),
        ("crashed", 424, "delivery-failed"),
        ("timeout", 424, "delivery-failed"),
    ] {
        let host = Host::new();
        let answer = post_and_end(&host, dead(outcome), Duration::ZERO, "").await;
        assert_eq!(answer.status.as_u16(), status, "{outcome}");
        assert_eq!(answer.problem(), slug);
        let body = answer.json();
        assert_eq!(body["id"], host.store.all()[0].id.to_string());
        assert_eq!(
            (&body["status"], &body["notificationStatus"]),
            (&json!(status), &json!("dead"))
        );
        assert_eq!((&body["outcome"], &body["code"]), (&json!(outcome), &json!("50035")));
    }
}

#[tokio::test]
async fn what_is_due_later_is_not_waited_for() {
    let host = Host::new();
    let due = UnixMs(NOW.0 + 60_000);
    let mut body = hello();
    body["sendAt"] = json!(due.rfc3339());
    body["expiresAt"] = json!(due.after(Duration::from_secs(60)).rfc3339());
    let started = Instant::now();
    assert_eq!(host.post(&body).await.status, StatusCode::ACCEPTED);
    assert!(started.elapsed() < SOON);
    let stored = &host.store.all()[0];
    assert_eq!((stored.due, stored.expires), (due, Some(due.after(Duration::from_secs(60)))));
}

#[tokio::test]
async fn a_stop_answers_those_who_wait_and_refuses_those_who_come() {
    let host = Host::new();
    let stopping = host.state.stopping.clone();
    let started = Instant::now();
    let (waiting, ()) = tokio::join!(host.send(post(&hello(), &[])), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stopping.cancel();
        host.state.outcomes.stop();
    });
    assert!(started.elapsed() < SOON);
    assert_eq!(waiting.status, StatusCode::ACCEPTED);

    let refused = host.post(&hello()).await;
    assert_eq!((refused.status.as_u16(), refused.problem().as_str()), (503, "stopping"));
    assert_eq!(refused.header("connection"), "close");
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(host.store.all().len(), 1);
    assert_eq!(host.get("/health").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let host = Host::new();
    let long = json!({"channel": "chat", "message": "12345678901"});
    let huge = json!({"channel": "log", "message": "x".repeat(300 * 1024)});
    let unknown = json!({"channel": "lgo", "message": "m"});
    for (body, status, slug) in [
        (json!({"channel": "log"}), 400, "invalid-request"),
        (long, 400, "message-too-long"),
        (huge, 413, "body-too-large"),
        (unknown, 404, "unknown-channel"),
    ] {
        let answer = host.post(&body).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, slug));
    }
    let mut text = post(&hello(), &[]);
    text.headers_mut().insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
    assert_eq!(host.send(text).await.problem(), "unsupported-media-type");
    let mut broken = post(&hello(), &[]);
    *broken.body_mut() = Body::from("{\"channel\": ");
    assert_eq!(host.send(broken).await.problem(), "malformed-json");
    assert!(host.store.all().is_empty());
}

#[tokio::test]
async fn an_unknown_channel_names_the_known_ones() {
    let host = Host::new();
    let answer = host.post(&json!({"channel": "teams", "message": "m"})).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.json()["knownChannels"], json!(["chat", "lazy", "log"]));
    let near = host.post(&json!({"channel": "chta", "message": "m"})).await;
    assert!(near.json()["detail"].as_str().unwrap().contains("did you mean \"chat\"?"));
}

#[tokio::test]
async fn a_channel_whose_plugin_is_not_loaded_accepts_all_the_same() {
    let host = Host::new();
    let body = json!({"channel": "lazy", "message": "m"});
    let answer = host.send(post(&body, &[("prefer", "respond-async")])).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_store_that_cannot_take_it_is_503_and_says_what_to_do() {
    let host = Host::new();
    for (error, slug) in [
        (StoreError::Busy, "store-unavailable"),
        (StoreError::ReadOnly(String::from("/secret/path is full")), "store-unavailable"),
        (StoreError::Unknown(String::from("/secret/path")), "outcome-unknown"),
        (StoreError::Closed, "stopping"),
    ] {
        host.store.fail_with(Some(error));
        let answer = host.post(&hello()).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (503, slug));
        assert!(!answer.header("retry-after").is_empty());
        assert!(!answer.text.contains("/secret/path"));
    }
}

#[tokio::test]
async fn a_full_queue_is_429() {
    let mut small = tenant(1);
    small.limits.queue_max = 1;
    let host = Host::with(vec![small]);
    let fast = [("prefer", "respond-async")];
    assert_eq!(host.send(post(&hello(), &fast)).await.status, StatusCode::ACCEPTED);
    let answer = host.send(post(&hello(), &fast)).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (429, "queue-full"));
    assert!(!answer.header("retry-after").is_empty());
}

#[tokio::test]
async fn over_the_rate_is_429_with_the_limit_in_headers() {
    let mut slow = tenant(1);
    (slow.limits.rate_per_s, slow.limits.burst) = (Some(0.01), 2);
    let host = Host::with(vec![slow, tenant(2)]);
    let fast = [("prefer", "respond-async")];
    let first = host.send(post(&hello(), &fast)).await;
    assert_eq!(first.header("ratelimit-policy"), "\"tenant\";q=2;w=200");
    assert_eq!(first.header("ratelimit"), "\"tenant\";r=1;t=100");
    assert_eq!(host.send(post(&hello(), &fast)).await.status, StatusCode::ACCEPTED);
    let answer = host.send(post(&hello(), &fast)).await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (429, "rate-limited"));
    assert_eq!(answer.header("retry-after"), "100");
    assert_eq!(answer.header("ratelimit"), "\"tenant\";r=0;t=200");
    let mut other = post(&hello(), &fast);
    other.headers_mut().insert(header::AUTHORIZATION, "Bearer key-2".parse().unwrap());
    let other = host.send(other).await;
    assert_eq!(other.status, StatusCode::ACCEPTED);
    assert_eq!(other.header("ratelimit"), "");
}

#[tokio::test]
async fn the_same_key_and_body_is_accepted_once_and_answered_with_the_first_result() {
    let host = Host::new();
    let keyed = [("idempotency-key", "\"k1\""), ("prefer", "respond-async")];
    let first = host.send(post(&hello(), &keyed)).await;
    let again = host.send(post(&hello(), &keyed)).await;
    assert_eq!(again.status, StatusCode::ACCEPTED);
    assert_eq!(id_of(&first), id_of(&again));
    assert_eq!(again.header("idempotency-replay"), "true");
    assert_eq!(first.header("idempotency-replay"), "");
    assert_eq!(host.store.all().len(), 1);

    host.store.end(id_of(&first), &delivered());
    let bare = host.send(post(&hello(), &[("idempotency-key", "k1")])).await;
    assert_eq!((bare.status, &bare.json()["providerId"]), (StatusCode::OK, &json!("p-7")));

    host.store.end(id_of(&first), &dead("rejected"));
    let bad = host.send(post(&hello(), &keyed)).await;
    assert_eq!(bad.problem(), "rejected");
    assert_eq!(bad.header("idempotency-replay"), "true");

    host.store.set_state(id_of(&first), State::Cancelled);
    assert_eq!(host.send(post(&hello(), &keyed)).await.problem(), "cancelled");
}

#[tokio::test]
async fn the_same_key_with_another_body_is_422() {
    let host = Host::new();
    let keyed = [("idempotency-key", "k1"), ("prefer", "respond-async")];
    let first = host.send(post(&hello(), &keyed)).await;
    let other = json!({"channel": "log", "message": "other"});
    let answer = host.send(post(&other, &keyed)).await;
    assert_eq!(answer.status.as_u16(), 422);
    assert_eq!(answer.problem(), "idempotency-key-reused");
    assert_eq!(answer.json()["id"], id_of(&first).to_string());
}

#[tokio::test]
async fn a_repetition_while_the_first_is_being_answered_is_409() {
    let host = Host::new();
    let keyed = [("idempotency-key", "k1"), ("prefer", "wait=1")];
    let (first, second) = tokio::join!(host.send(post(&hello(), &keyed)), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        host.send(post(&hello(), &keyed)).await
    });
    assert_eq!(first.status, StatusCode::ACCEPTED);
    assert_eq!((second.status.as_u16(), second.header("retry-after")), (409, "1"));
    assert_eq!(second.problem(), "idempotency-in-progress");
    // A first caller that hangs up is not being answered any more.
    let keyed = [("idempotency-key", "k2")];
    let hung_up =
        tokio::time::timeout(Duration::from_millis(100), host.send(post(&hello(), &keyed)));
    assert!(hung_up.await.is_err());
    assert_eq!(host.send(post(&hello(), &keyed)).await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn a_caller_is_known_by_key_and_context() {
    let host = Host::new();
    let with = |authorization: Option<&str>, host_name: &str| {
        let mut request = post(&hello(), &[("prefer", "respond-async")]);
        request.headers_mut().insert(header::HOST, host_name.parse().unwrap());
        request.headers_mut().remove(header::AUTHORIZATION);
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        request
    };
    for (authorization, host_name, status, slug) in [
        (None, "localhost", 401, "no-key"),
        (Some("Basic abc"), "localhost", 401, "no-key"),
        (Some("Bearer nobody"), "localhost", 403, "wrong-key"),
        (Some("Bearer key-1"), "t2.example:3333", 403, "wrong-context"),
    ] {
        let answer = host.send(with(authorization, host_name)).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (status, slug));
        assert_eq!(answer.header("www-authenticate").is_empty(), status != 401);
    }
    let right = host.send(with(Some("Bearer key-1"), "T1.example")).await;
    assert_eq!(right.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn ports_and_sources_of_a_tenant_are_held_against_the_connection() {
    let (mut first, mut second) = (tenant(1), tenant(2));
    first.access_sources = vec!["10.0.0.0/8".parse().unwrap()];
    second.ports = vec![4444];
    let host = Host::with(vec![first, second]);
    for (peer, local, status) in [
        ("10.1.2.3:5", "127.0.0.1:3333", 202),
        ("11.1.2.3:5", "127.0.0.1:3333", 403),
        ("10.1.2.3:5", "127.0.0.1:4444", 403),
    ] {
        let mut request = post(&hello(), &[("prefer", "respond-async")]);
        let ends =
            crate::api::auth::Ends { peer: peer.parse().unwrap(), local: local.parse().unwrap() };
        request.extensions_mut().insert(ends);
        assert_eq!(host.send(request).await.status.as_u16(), status, "{peer} {local}");
    }
    let nowhere = host.post(&hello()).await;
    assert_eq!(nowhere.problem(), "source-denied");
}

#[tokio::test]
async fn what_waits_is_forgotten_when_the_caller_hangs_up() {
    let host = Host::new();
    let body = hello();
    let call = tokio::time::timeout(Duration::from_millis(100), host.post(&body));
    assert!(call.await.is_err());
    let scrape = host.get("/metrics").await.text;
    assert!(scrape.contains("conductor_callers_waiting 0\n"));
    assert!(scrape.contains("conductor_accepted_total 1\n"));
    let other = host.send(call_other()).await;
    assert_eq!(other.problem(), "method-not-allowed");
}

fn call_other() -> axum::http::Request<Body> {
    call(Method::PATCH, "/notifications", Body::empty())
}
