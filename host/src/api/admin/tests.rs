use axum::{
    body::Body,
    http::{Method, Request},
};
use serde_json::{Value, json};

use super::*;
use crate::{
    api::kit::{Answer, Host, call, post, tenant},
    store::memory::MemoryStore,
};

fn host() -> Host {
    let host = Host::with((1..=3).map(tenant).collect());
    let mut state = host.state.clone();
    state.store = MemoryStore::new(state.clock.clone());
    let surface = crate::api::Surface::new(state.clone());
    Host { surface, state, store: host.store }
}

fn as_admin(path: &str) -> Request<Body> {
    let mut request = call(Method::GET, path, Body::empty());
    request.headers_mut().insert("authorization", "Bearer admin".parse().unwrap());
    request
}

async fn accept(host: &Host, tenant: u32, message: &str) {
    let body = json!({"channel": "log", "message": message});
    let mut request = post(&body, &[("prefer", "respond-async")]);
    let key = format!("Bearer key-{tenant}");
    request.headers_mut().insert("authorization", key.parse().unwrap());
    assert_eq!(host.send(request).await.status, 202);
}

fn tenants(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let items = body["items"].as_array().unwrap();
    items.iter().map(|item| item["tenantName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn only_the_operators_key_opens_it() {
    let host = host();
    for path in ["/admin/audit", "/admin/notifications"] {
        assert_eq!(host.get(path).await.problem(), "wrong-key");
        let bare = Request::get(path).body(Body::empty()).unwrap();
        let answer = host.send(bare).await;
        assert_eq!((answer.status.as_u16(), answer.problem().as_str()), (401, "no-key"));
        assert_eq!(host.send(as_admin(path)).await.status, 200);
    }
    let mut state = host.state.clone();
    state.admin_key_hash = None;
    let keyless = Host { surface: crate::api::Surface::new(state.clone()), state, ..Host::new() };
    let answer = keyless.send(as_admin("/admin/audit")).await;
    assert_eq!(answer.problem(), "wrong-key");
    assert!(answer.text.contains("CONDUCTOR_ADMIN_KEY"));
}

#[tokio::test]
async fn the_trail_is_read_line_by_line_and_page_by_page() {
    let host = host();
    for n in 0..3 {
        accept(&host, 1, &n.to_string()).await;
    }
    let answer = host.send(as_admin("/admin/audit?limit=2")).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let lines: Vec<Value> =
        answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    let last = lines[1]["seq"].as_i64().unwrap();
    let rest = host.send(as_admin(&format!("/admin/audit?after={last}"))).await;
    let first: Value = serde_json::from_str(rest.text.lines().next().unwrap()).unwrap();
    assert_eq!(first["seq"], last + 1);
    let end = host.send(as_admin("/admin/audit?after=999999")).await;
    assert_eq!((end.status.as_u16(), end.text.as_str()), (200, ""));
    for bad in ["after=x", "after=-1", "limit=0", "limit=1001", "before=1"] {
        let answer = host.send(as_admin(&format!("/admin/audit?{bad}"))).await;
        assert_eq!(answer.problem(), "invalid-request", "{bad}");
    }
}

#[tokio::test]
async fn all_tenants_are_listed_one_after_the_other() {
    let host = host();
    for (tenant, count) in [(1, 3), (3, 2)] {
        for n in 0..count {
            accept(&host, tenant, &n.to_string()).await;
        }
    }
    let (mut found, mut path) = (Vec::new(), String::from("/admin/notifications?limit=2"));
    loop {
        let answer = host.send(as_admin(&path)).await;
        found.extend(tenants(&answer));
        match answer.json()["nextCursor"].as_str() {
            Some(cursor) => path = format!("/admin/notifications?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(found, ["Tenant 1", "Tenant 1", "Tenant 1", "Tenant 3", "Tenant 3"]);
    let third = format!("/admin/notifications?status=queued&tenant={}", tenant(3).id);
    assert_eq!(tenants(&host.send(as_admin(&third)).await), ["Tenant 3", "Tenant 3"]);
    let dead = host.send(as_admin("/admin/notifications?status=dead")).await;
    assert_eq!(dead.json(), json!({"items": []}));
    let answer = host.send(as_admin("/admin/notifications?tenant=x&status=y&limit=0")).await;
    assert_eq!(answer.json()["errors"].as_array().unwrap().len(), 3);
}

#[test]
fn a_cursor_reads_back() {
    let tenant = TenantId(uuid::Uuid::from_u128(7));
    for cursor in [Cursor(tenant, None), Cursor(tenant, Some(-3))] {
        assert_eq!(read_cursor(&write_cursor(cursor)), Some(cursor));
    }
    for bad in ["", "x", "AAAA", &URL_SAFE_NO_PAD.encode([0; 20])] {
        assert_eq!(read_cursor(bad), None, "{bad}");
    }
}
