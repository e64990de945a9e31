use std::{sync::Arc, time::Duration};

use axum::{body::Body, http::Method};
use serde_json::json;

use super::*;
use crate::{
    api::kit::{Host, call, generation, post, tenant},
    store::{Event, EventQuery, memory::MemoryStore},
};

async fn events(store: &dyn Store, count: usize) -> Vec<Event> {
    let query = EventQuery { tenant: None, after: 0, limit: 1_000 };
    for _ in 0..500 {
        let items = store.events(query).await.unwrap().items;
        let kept: Vec<Event> =
            items.into_iter().filter(|event| event.kind != EventKind::Accepted).collect();
        if kept.len() >= count {
            return kept;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} events never came");
}

fn host() -> Host {
    let mut first = tenant(1);
    first.key_envs = vec![Arc::from("A_KEY")];
    let host = Host::with(vec![first, tenant(2)]);
    let mut state = host.state.clone();
    state.store = MemoryStore::new(state.clock.clone());
    let surface = crate::api::Surface::new(state.clone());
    Host { surface, state, store: host.store }
}

async fn wrong_key(host: &Host) {
    let mut request = call(Method::GET, "/channels", Body::empty());
    request.headers_mut().insert("authorization", "Bearer nobody".parse().unwrap());
    assert_eq!(host.send(request).await.problem(), "wrong-key");
}

#[tokio::test]
async fn the_first_use_of_a_key_in_an_hour_is_an_event() {
    let host = host();
    let store = &host.state.store;
    for _ in 0..3 {
        let body = json!({"channel": "log", "message": "m"});
        host.send(post(&body, &[("prefer", "respond-async")])).await;
    }
    let found = events(store.as_ref(), 1).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].kind, found[0].tenant), (EventKind::KeyUsed, Some(tenant(1).id)));
    assert_eq!(found[0].detail.as_deref(), Some("first use of the key A_KEY in an hour"));
    // A reload changes nothing about it, and the next hour does.
    host.state.current.publish(Arc::new(generation(2, vec![tenant(1), tenant(2)])));
    host.get("/channels").await;
    host.state.clock.advance_ms(HOUR_MS);
    host.get("/channels").await;
    host.get("/channels").await;
    assert_eq!(events(store.as_ref(), 2).await.len(), 2);
}

#[tokio::test]
async fn refusals_are_summed_up() {
    let host = host();
    for _ in 0..5 {
        wrong_key(&host).await;
    }
    let found = events(host.state.store.as_ref(), 1).await;
    assert_eq!(found[0].kind, EventKind::Security);
    let first = found[0].detail.as_deref().unwrap();
    assert!(first.starts_with("requests refused: wrong-key "), "{first}");
    for _ in 0..5 {
        wrong_key(&host).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(events(host.state.store.as_ref(), 1).await.len(), 1, "one a minute at most");
    // What was not told yet is told at the end.
    host.state.stopping.cancel();
    let found = events(host.state.store.as_ref(), 2).await;
    let number = |event: &Event| -> u64 {
        event.detail.as_deref().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(found.iter().map(number).sum::<u64>(), 10);
}

#[tokio::test]
async fn a_refusal_is_told_whatever_else_happens_at_the_time() {
    // Which of the two is looked at first is chance.
    for _ in 0..20 {
        let host = host();
        wrong_key(&host).await;
        let mut request = call(Method::GET, "/admin/audit", Body::empty());
        request.headers_mut().insert("authorization", "Bearer admin".parse().unwrap());
        assert_eq!(host.send(request).await.status, 200);
        let mut kinds = events(host.state.store.as_ref(), 2).await.into_iter().map(|it| it.kind);
        assert!(kinds.any(|kind| kind == EventKind::Security));
    }
}

#[tokio::test]
async fn the_operators_key_leaves_a_trace() {
    let host = host();
    for _ in 0..2 {
        let mut request = call(Method::GET, "/admin/audit", Body::empty());
        request.headers_mut().insert("authorization", "Bearer admin".parse().unwrap());
        assert_eq!(host.send(request).await.status, 200);
    }
    let found = events(host.state.store.as_ref(), 1).await;
    assert_eq!((found.len(), found[0].kind), (1, EventKind::Admin));
    assert!(found[0].detail.as_deref().unwrap().contains("GET /admin/audit"));
}
