//! Whole requests to the routes other than `POST /notifications`.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{Method, Request, StatusCode, header},
};
use serde_json::{Value, json};

use super::kit::{Answer, Host, NOW, call, generation, post, tenant};
use crate::{
    clock::UnixMs,
    config::Problem,
    generation::Current,
    ids::NotificationId,
    observe::{BindingReport, ReloadOutcome, ReloadReport, TaskFailure},
    outcomes::Ending,
    store::{Health, State, StoreError},
};

async fn accepted(host: &Host, channel: &str) -> NotificationId {
    let body = json!({"channel": channel, "message": "hello", "title": "t", "targetId": "me"});
    let answer = host.send(post(&body, &[("prefer", "respond-async")])).await;
    answer.json()["id"].as_str().unwrap().parse().unwrap()
}

fn as_tenant_2(mut request: Request<Body>) -> Request<Body> {
    request.headers_mut().insert(header::AUTHORIZATION, "Bearer key-2".parse().unwrap());
    request
}

async fn open(host: &Host, path: &str) -> Answer {
    host.send(Request::get(path).body(Body::empty()).unwrap()).await
}

async fn as_admin(host: &Host, path: &str) -> Answer {
    let request = Request::get(path).header(header::AUTHORIZATION, "Bearer admin");
    host.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_notification_can_be_read_with_its_attempts() {
    let host = Host::new();
    let id = accepted(&host, "log").await;
    let detail = Some(String::from("no"));
    host.store.end(id, &Ending::Dead { outcome: String::from("rejected"), code: None, detail });
    let answer = host.get(&format!("/notifications/{id}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.json(),
        json!({
            "id": id.to_string(), "channel": "log", "status": "dead", "priority": "normal",
            "createdAt": NOW.rfc3339(), "updatedAt": NOW.rfc3339(), "dueAt": NOW.rfc3339(),
            "attemptCount": 1, "attemptsCounted": 1, "replayCount": 0, "error": "no",
            "message": "hello", "title": "t", "targetId": "me",
            "attempts": [{
                "replay": 0, "number": 1, "counts": true, "startedAt": NOW.rfc3339(), "tookMs": 5,
                "outcome": "rejected", "detail": "no",
            }],
        })
    );
}

#[tokio::test]
async fn another_tenants_notification_is_not_there() {
    let host = Host::new();
    let id = accepted(&host, "log").await;
    let path = format!("/notifications/{id}");
    for (method, path) in [
        (Method::GET, path.clone()),
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/replay")),
    ] {
        let answer = host.send(as_tenant_2(call(method, &path, Body::empty()))).await;
        assert_eq!(answer.problem(), "unknown-notification");
    }
    let list = host.send(as_tenant_2(call(Method::GET, "/notifications", Body::empty()))).await;
    assert_eq!(list.json(), json!({"items": []}));
    for nonsense in ["x", "%FF", "00000000-0000-0000-0000-000000000000"] {
        let answer = host.get(&format!("/notifications/{nonsense}")).await;
        assert_eq!(answer.problem(), "unknown-notification", "{nonsense}");
    }
}

#[tokio::test]
async fn a_listing_is_filtered_and_paged() {
    let host = Host::new();
    let first = accepted(&host, "log").await;
    accepted(&host, "chat").await;
    accepted(&host, "log").await;
    host.store.set_state(first, State::Delivered);
    let count = |answer: &Answer| answer.json()["items"].as_array().unwrap().len();
    assert_eq!(count(&host.get("/notifications?channel=log").await), 2);
    assert_eq!(count(&host.get("/notifications?status=delivered").await), 1);
    let page = host.get("/notifications?limit=2").await;
    assert_eq!(count(&page), 2);
    let cursor = page.json()["nextCursor"].as_str().unwrap().to_owned();
    let rest = host.get(&format!("/notifications?limit=2&cursor={cursor}")).await;
    assert_eq!(rest.json()["items"][0]["id"], first.to_string());
    assert!(rest.json()["nextCursor"].is_null());
    assert_eq!(host.get("/notifications?stauts=dead").await.problem(), "invalid-request");
}

#[tokio::test]
async fn a_notification_is_cancelled_while_it_is_not_sent() {
    let host = Host::new();
    let id = accepted(&host, "log").await;
    let cancel = || call(Method::DELETE, &format!("/notifications/{id}"), Body::empty());
    for (state, status) in [
        (State::Queued, 200),
        (State::Cancelled, 200),
        (State::Sending, 409),
        (State::Delivered, 409),
    ] {
        host.store.set_state(id, state);
        let answer = host.send(cancel()).await;
        // A fake that is asked again about what is cancelled says so.
        assert_eq!(answer.status.as_u16(), status, "{state:?}");
        if status == 409 {
            assert_eq!(answer.problem(), "state-conflict");
        }
    }
}

#[tokio::test]
async fn a_notification_that_is_over_can_be_sent_again() {
    let host = Host::new();
    let id = accepted(&host, "log").await;
    let replay = || call(Method::POST, &format!("/notifications/{id}/replay"), Body::empty());
    assert_eq!(host.send(replay()).await.problem(), "state-conflict");
    host.store.set_state(id, State::Dead);
    let answer = host.send(replay()).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.json(), json!({"id": id.to_string(), "status": "queued"}));
    assert_eq!(answer.header("location"), format!("/notifications/{id}"));
}

#[tokio::test]
async fn channels_are_listed_with_what_they_take() {
    let host = Host::new();
    let body = host.get("/channels").await.json();
    let items = body["items"].as_array().unwrap();
    let names: Vec<&Value> = items.iter().map(|item| &item["name"]).collect();
    assert_eq!(names, ["chat", "lazy", "log"]);
    assert_eq!(items[0]["limits"]["messageMax"], 10);
    assert_eq!(items[0]["limits"]["messageUnit"], "characters");
    assert_eq!(items[0]["optionsSchema"], json!({"type": "object"}));
    assert_eq!((&items[0]["state"], &items[1]["state"]), (&json!("idle"), &json!("not-loaded")));
}

#[tokio::test]
async fn every_path_and_method_that_is_not_there_is_a_problem() {
    let host = Host::new();
    assert_eq!(host.get("/nothing").await.problem(), "unknown-path");
    let answer = host.send(call(Method::PUT, "/notifications", Body::empty())).await;
    assert_eq!(answer.problem(), "method-not-allowed");
    assert!(answer.header("allow").contains("POST"), "{}", answer.header("allow"));
}

#[tokio::test]
async fn a_panic_of_a_handler_is_a_problem_and_the_next_request_works() {
    let host = Host::new();
    let mut state = host.state.clone();
    state.bindings = Arc::new(|| panic!("a secret detail"));
    let broken = Host { surface: super::Surface::new(state), ..Host::new() };
    let answer = broken.get("/channels").await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (500, "internal"));
    assert!(!answer.text.contains("a secret detail"));
    assert_eq!(broken.get("/notifications").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_browser_of_a_listed_origin_may_call_and_no_other() {
    let host = Host::new();
    let preflight = |origin: &str, host_name: &str| {
        Request::options("/notifications")
            .header(header::HOST, host_name)
            .header(header::ORIGIN, origin)
            .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .body(Body::empty())
            .unwrap()
    };
    for (origin, host_name, allowed) in [
        ("https://app1.example", "localhost", true),
        ("https://app2.example", "localhost", true),
        ("https://app2.example", "t1.example", false),
        ("https://evil.example", "localhost", false),
    ] {
        let answer = host.send(preflight(origin, host_name)).await;
        assert_eq!(answer.status, StatusCode::NO_CONTENT);
        let found = answer.header("access-control-allow-origin");
        assert_eq!(found, if allowed { origin } else { "" }, "{origin} {host_name}");
        assert_eq!(answer.header("access-control-allow-headers").is_empty(), !allowed);
        assert_eq!(answer.header("vary"), "origin");
    }
    for (origin, allowed) in [("https://app1.example", true), ("https://app2.example", false)] {
        let mut request = call(Method::GET, "/channels", Body::empty());
        request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        let answer = host.send(request).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(!answer.header("access-control-allow-origin").is_empty(), allowed, "{origin}");
    }
}

#[tokio::test]
async fn a_host_that_is_well_says_so() {
    let host = Host::new();
    let body = open(&host, "/health").await.json();
    assert_eq!((&body["status"], &body["store"]), (&json!("ok"), &json!("ok")));
    assert_eq!((&body["generation"], &body["tenants"]), (&json!(1), &json!(2)));
    assert_eq!(body["queue"]["queued"], 0);
    let plugins = body["plugins"].as_array().unwrap();
    assert_eq!(plugins[0]["version"], "1.2.3");
    assert_eq!(plugins[1]["state"], "not-loaded");
    assert_eq!(open(&host, "/ready").await.json(), json!({"status": "ready"}));
}

fn unwell() -> Host {
    let host = Host::new();
    let mut state = host.state.clone();
    let mut sick = generation(3, vec![tenant(1)]);
    sick.plugin_failures.insert("lazy".parse().unwrap(), String::from("private-cause"));
    sick.problems.push(Problem { origin: None, message: String::from("private-problem") });
    state.current = Arc::new(Current::new(Arc::new(sick)));
    state.bindings = Arc::new(|| {
        vec![BindingReport {
            tenant: tenant(1).id,
            channel: "private-channel".parse().unwrap(),
            plugin: "log".parse().unwrap(),
            state: "quarantined",
            detail: Some(String::from("private-detail")),
            connection: Some(String::from("private-connection")),
            strikes: 5,
            quarantine: None,
            resources: crate::observe::ResourcesReport::default(),
            instances: 0,
            in_flight: 0,
        }]
    });
    state.health.reloaded(ReloadReport {
        outcome: ReloadOutcome::Rejected,
        at: UnixMs(NOW.0),
        errors: vec![String::from("private-error")],
    });
    state.health.task_failed(TaskFailure {
        name: String::from("watcher"),
        at: NOW,
        why: String::from("private-panic"),
    });
    host.store.be(Health::ReadOnly(String::from("private-path")));
    Host { surface: super::Surface::new(state.clone()), state, store: host.store }
}

#[tokio::test]
async fn the_open_health_counts_and_the_operators_names() {
    let host = unwell();
    let body = open(&host, "/health").await;
    assert_eq!(body.status, StatusCode::OK);
    assert!(!body.text.contains("private"), "{}", body.text);
    assert!(!body.text.contains("00000001"), "{}", body.text);
    let body = body.json();
    assert_eq!((&body["status"], &body["store"]), (&json!("degraded"), &json!("read-only")));
    assert_eq!(body["lastReload"]["outcome"], "rejected");
    assert_eq!((&body["lastReload"]["errorCount"], &body["problemCount"]), (&json!(1), &json!(1)));
    assert_eq!(body["bindings"], json!({"quarantined": 1}));
    assert_eq!(body["tasksEnded"][0]["name"], "watcher");

    let full = as_admin(&host, "/health").await.text;
    for part in ["cause", "problem", "channel", "detail", "connection", "error", "panic", "path"] {
        assert!(full.contains(&format!("private-{part}")), "{part}: {full}");
    }
    assert_eq!(open(&host, "/ready").await.problem(), "not-ready");
}

#[tokio::test]
async fn a_host_that_stops_is_alive_and_not_ready() {
    let host = Host::new();
    host.state.stopping.cancel();
    assert_eq!(open(&host, "/ready").await.problem(), "not-ready");
    assert_eq!(open(&host, "/health").await.status, StatusCode::OK);
    assert_eq!(host.get("/channels").await.problem(), "stopping");
}

#[tokio::test]
async fn metrics_are_there_even_when_the_store_does_not_answer() {
    let host = Host::new();
    accepted(&host, "log").await;
    host.store.fail_with(Some(StoreError::Read(String::from("x"))));
    let answer = open(&host, "/metrics").await;
    assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
    let line = "conductor_http_requests_total{route=\"POST /notifications\",status=\"2xx\"} 1\n";
    assert!(answer.text.contains(line));
    assert_eq!(open(&host, "/health").await.json()["status"], "degraded");
    assert_eq!(host.get("/notifications").await.problem(), "store-unavailable");
}

#[tokio::test]
async fn the_description_of_the_surface_is_served() {
    let host = Host::new();
    let answer = open(&host, "/openapi.json").await;
    assert_eq!(answer.text, super::openapi::openapi_json());
}

#[tokio::test]
async fn what_is_accepted_can_be_found_on_a_real_engine() {
    let host = Host::new();
    let mut state = host.state.clone();
    state.store = crate::store::memory::MemoryStore::new(state.clock.clone());
    let host = Host { surface: super::Surface::new(state.clone()), state, store: host.store };
    let body = json!({"channel": "log", "message": "hello"});
    let keyed = [("prefer", "respond-async"), ("idempotency-key", "k")];
    let first = host.send(post(&body, &keyed)).await.json();
    assert_eq!(host.send(post(&body, &keyed)).await.json(), first);
    for _ in 0..2 {
        host.send(post(&body, &[("prefer", "respond-async")])).await;
    }
    let id = first["id"].as_str().unwrap();
    let detail = host.get(&format!("/notifications/{id}")).await.json();
    assert_eq!((&detail["status"], &detail["message"]), (&json!("queued"), &json!("hello")));
    let page = host.get("/notifications?limit=2&status=queued&channel=log").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 2);
    let cursor = page["nextCursor"].as_str().unwrap();
    let rest = host.get(&format!("/notifications?limit=2&cursor={cursor}")).await.json();
    assert_eq!(rest["items"][0]["id"], id);
    let cancelled = call(Method::DELETE, &format!("/notifications/{id}"), Body::empty());
    assert_eq!(host.send(cancelled).await.json()["status"], "cancelled");
    assert_eq!(open(&host, "/health").await.json()["queue"]["queued"], 2);
}
