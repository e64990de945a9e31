use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;
use crate::{
    api::kit::{Host, call, generation, post, tenant},
    store::{Store, memory::MemoryStore},
};

fn host() -> Host {
    let host = Host::new();
    let mut state = host.state.clone();
    state.store = MemoryStore::new(state.clock.clone()) as Arc<dyn Store>;
    let surface = crate::api::Surface::new(state.clone());
    Host { surface, state, store: host.store }
}

/// An open stream.
struct Reader {
    body: Body,
    text: String,
}

impl Reader {
    async fn open(host: &Host, request: Request<Body>) -> Self {
        let response = host.surface.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next event: its id, its name and its data; none at the end.
    async fn next(&mut self) -> Option<(i64, String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| {
                    let start = format!("{name}: ");
                    let line = event.lines().find_map(|line| line.strip_prefix(&start));
                    line.unwrap_or_else(|| panic!("no {name} in {event}")).to_owned()
                };
                let found = (
                    field("id").parse().unwrap(),
                    field("event"),
                    serde_json::from_str(&field("data")).unwrap(),
                );
                self.text = rest.to_owned();
                return Some(found);
            }
            let frame = tokio::time::timeout(Duration::from_secs(5), self.body.frame());
            let frame = frame.await.expect("an event in time")?.unwrap();
            self.text.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
        }
    }
}

async fn accept(host: &Host, message: &str) -> String {
    let body = json!({"channel": "log", "message": message});
    let answer = host.send(post(&body, &[("prefer", "respond-async")])).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn get(path: &str) -> Request<Body> {
    call(Method::GET, path, Body::empty())
}

#[tokio::test]
async fn a_stream_begins_now_and_tells_what_happens() {
    let host = host();
    accept(&host, "before").await;
    let mut reader = Reader::open(&host, get("/events")).await;
    let id = accept(&host, "after").await;
    let cancel = call(Method::DELETE, &format!("/notifications/{id}"), Body::empty());
    host.send(cancel).await;
    let names = ["notification.accepted", "notification.cancelled"];
    for name in names {
        let (seq, event, data) = loop {
            let found = reader.next().await.unwrap();
            // The key's first use is an event as well.
            if found.1 != "key-used" {
                break found;
            }
        };
        assert_eq!(event, name);
        assert_eq!((&data["seq"], &data["type"]), (&json!(seq), &json!(name)));
        assert_eq!((&data["notificationId"], &data["channel"]), (&json!(id), &json!("log")));
    }
}

#[tokio::test]
async fn a_stream_goes_on_where_it_was_cut_without_a_gap() {
    let host = host();
    let mut ids = Vec::new();
    for n in 0..EVENT_STREAM_PAGE + 5 {
        ids.push(accept(&host, &n.to_string()).await);
    }
    let mut reader = Reader::open(&host, get("/events?after=0")).await;
    let mut seen = Vec::new();
    let mut last = 0;
    while seen.len() < 3 {
        let (seq, event, data) = reader.next().await.unwrap();
        assert!(seq > last);
        last = seq;
        if event == "notification.accepted" {
            seen.push(data["notificationId"].as_str().unwrap().to_owned());
        }
    }
    drop(reader);
    ids.push(accept(&host, "meanwhile").await);
    // The header is newer than what the address said when the stream was first opened.
    let mut request = get("/events?after=0");
    request.headers_mut().insert("last-event-id", last.to_string().parse().unwrap());
    let mut reader = Reader::open(&host, request).await;
    while seen.len() < ids.len() {
        let (_, event, data) = reader.next().await.unwrap();
        if event == "notification.accepted" {
            seen.push(data["notificationId"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(seen, ids);
}

#[tokio::test]
async fn another_tenants_events_are_not_told() {
    let host = host();
    let mut request = get("/events?after=0");
    request.headers_mut().insert("authorization", "Bearer key-2".parse().unwrap());
    let mut reader = Reader::open(&host, request).await;
    accept(&host, "of tenant 1").await;
    let body = json!({"channel": "log", "message": "of tenant 2"});
    let mut own = post(&body, &[("prefer", "respond-async")]);
    own.headers_mut().insert("authorization", "Bearer key-2".parse().unwrap());
    let own = host.send(own).await.json()["id"].clone();
    loop {
        let (_, event, data) = reader.next().await.unwrap();
        if event != "key-used" {
            assert_eq!(data["notificationId"], own);
            break;
        }
    }
}

#[tokio::test]
async fn a_start_that_makes_no_sense_is_refused() {
    let host = host();
    for path in ["/events?after=x", "/events?after=-1", "/events?after=999", "/events?since=1"] {
        assert_eq!(host.get(path).await.problem(), "invalid-request", "{path}");
    }
    for value in ["x", "999", "-1"] {
        let mut request = get("/events");
        request.headers_mut().insert("last-event-id", value.parse().unwrap());
        let answer = host.send(request).await;
        assert_eq!(answer.problem(), "invalid-request", "{value}");
        assert_eq!(answer.json()["errors"][0]["header"], "Last-Event-ID");
    }
    let mut unknown = get("/events");
    unknown.headers_mut().insert("authorization", "Bearer nobody".parse().unwrap());
    assert_eq!(host.send(unknown).await.problem(), "wrong-key");
}

#[tokio::test]
async fn a_stream_ends_with_the_host_and_with_the_right_to_it() {
    let host = host();
    let mut first = Reader::open(&host, get("/events")).await;
    let mut removed = tenant(1);
    removed.key_hashes = vec![crate::ids::Digest::of(b"another key").0];
    let kept = generation(2, vec![tenant(1)]);
    host.state.current.publish(Arc::new(kept));
    accept(&host, "still").await;
    assert!(first.next().await.is_some(), "a reload that changes nothing for it");
    host.state.current.publish(Arc::new(generation(3, vec![removed])));
    while first.next().await.is_some() {}

    let host = self::host();
    let mut second = Reader::open(&host, get("/events")).await;
    host.state.stopping.cancel();
    while second.next().await.is_some() {}
}

#[tokio::test]
async fn streams_are_counted_and_given_back() {
    let host = host();
    let mut open = Vec::new();
    for _ in 0..EVENT_STREAMS_PER_TENANT_MAX {
        open.push(Reader::open(&host, get("/events")).await);
    }
    let answer = host.get("/events").await;
    assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (429, "too-many-streams"));
    assert!(!answer.header("retry-after").is_empty());
    let mut other = get("/events");
    other.headers_mut().insert("authorization", "Bearer key-2".parse().unwrap());
    drop(Reader::open(&host, other).await);
    open.pop();
    drop(Reader::open(&host, get("/events")).await);
}
