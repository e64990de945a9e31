//! What the tests of the surface share: a host with a fake store, and requests to it.

mod fake_store;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

pub(super) use fake_store::FakeStore;

use super::{ApiState, Surface};
use crate::{
    clock::{Clock, UnixMs},
    config::{
        Channel, Config, Origin, Plugin, PluginSource, RetryPolicy, Scope, Tenant, TenantLimits,
    },
    generation::{Current, Generation},
    ids::{Digest, PluginName, TenantId},
    observe::{HealthBoard, Metrics},
    outcomes::{Ending, Outcomes},
    sandbox::{BodyLimit, LengthUnit, LoadedPlugin, Manifest},
};

pub(super) const NOW: UnixMs = UnixMs(1_763_746_800_000);

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1 }
}

pub(super) fn channel(name: &str, plugin: &str) -> Channel {
    Channel {
        name: name.parse().unwrap(),
        plugin: plugin.parse().unwrap(),
        options: Arc::default(),
        secrets: BTreeMap::new(),
        fallback: Vec::new(),
        retry: RetryPolicy::default(),
        throttle: None,
        origin: origin(),
    }
}

pub(super) fn manifest(name: &str) -> Manifest {
    Manifest {
        name: String::from(name),
        version: semver::Version::new(1, 2, 3),
        summary: String::from("A channel for tests."),
        options_schema: serde_json::json!({"type": "object"}),
        secrets: Vec::new(),
        hosts: Vec::new(),
        body_max: None,
        formats: Vec::new(),
        attachments_max: 0,
        deduplication_key_max: None,
        rates: Vec::new(),
    }
}

/// A tenant with the channels "log" and "chat" and the key "key-{number}".
pub(super) fn tenant(number: u128) -> Tenant {
    let channels = [channel("log", "log"), channel("chat", "chat"), channel("lazy", "lazy")];
    Tenant {
        id: TenantId(uuid::Uuid::from_u128(number)),
        name: Arc::from(format!("Tenant {number}")),
        slug: Arc::from(format!("tenant-{number}")),
        key_hashes: vec![Digest::of(format!("key-{number}").as_bytes()).0],
        key_envs: Vec::new(),
        domains: vec![Arc::from(format!("t{number}.example"))],
        ports: Vec::new(),
        plugins: std::collections::BTreeSet::new(),
        cors: vec![Arc::from(format!("https://app{number}.example"))],
        limits: TenantLimits { rate_per_s: None, burst: 1, queue_max: 1_000, weight: 1 },
        access_sources: Vec::new(),
        callbacks: Vec::new(),
        channels: channels.map(|channel| (channel.name.clone(), Arc::new(channel))).into(),
        origin: origin(),
    }
}

fn loaded(name: &str, body_max: Option<u32>) -> (PluginName, Arc<LoadedPlugin>) {
    let name: PluginName = name.parse().unwrap();
    let mut manifest = manifest(name.as_str());
    manifest.body_max = body_max.map(|length| BodyLimit { length, unit: LengthUnit::Characters });
    let plugin = LoadedPlugin::described(name.clone(), Digest::of(b"wasm"), manifest);
    (name, Arc::new(plugin))
}

pub(super) fn generation(number: u64, tenants: Vec<Tenant>) -> Generation {
    let names = ["log", "chat", "lazy"];
    let plugin = |name: &str| {
        let name: PluginName = name.parse().unwrap();
        let plugin = Plugin {
            name: name.clone(),
            source: PluginSource::Builtin,
            digest: None,
            scope: Scope::Shared,
            requires: Vec::new(),
            lazy: false,
            options: crate::config::Object::new(),
            grants: Arc::default(),
            limits: Arc::default(),
            origin: origin(),
        };
        (name, Arc::new(plugin))
    };
    let config = Config {
        plugins: names.into_iter().map(plugin).collect(),
        tenants: tenants.into_iter().map(|tenant| (tenant.id, Arc::new(tenant))).collect(),
        ..Config::default()
    };
    let plugins = BTreeMap::from([loaded("log", None), loaded("chat", Some(10))]);
    Generation::new(number, NOW, Arc::new(config), plugins)
}

/// Nothing is in quarantine, and a host that is asked to reload goes down.
struct Idle;

impl super::Operate for Idle {
    fn release(&self, _: TenantId, _: &crate::ids::ChannelName) -> bool {
        false
    }
    fn reload(&self) -> std::pin::Pin<Box<dyn Future<Output = Option<super::Reloaded>> + Send>> {
        Box::pin(std::future::ready(None))
    }
}

/// A host with two tenants.
pub(super) struct Host {
    pub(super) surface: Surface,
    pub(super) state: ApiState,
    pub(super) store: Arc<FakeStore>,
}

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The slug of a problem, after a look at its form.
    #[track_caller]
    pub(super) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert!(body["title"].is_string() && body["detail"].is_string(), "{body}");
        body["type"].as_str().unwrap().strip_prefix("/problems/").unwrap().to_owned()
    }
}

impl Host {
    pub(super) fn new() -> Self {
        Self::with(vec![tenant(1), tenant(2)])
    }

    pub(super) fn with(tenants: Vec<Tenant>) -> Self {
        let store = Arc::new(FakeStore::default());
        let health = Arc::new(HealthBoard::default());
        let clock = Clock::manual(NOW);
        let state = ApiState {
            tasks: crate::tasks::Tasks::new(Arc::clone(&health), clock.clone()),
            current: Arc::new(Current::new(Arc::new(generation(1, tenants)))),
            store: Arc::clone(&store) as Arc<dyn crate::store::Store>,
            outcomes: Arc::new(Outcomes::default()),
            metrics: Arc::new(Metrics::new()),
            health,
            clock,
            stopping: crate::stopping::Stopping::new(),
            admin_key_hash: Some(Digest::of(b"admin").0),
            bindings: Arc::new(Vec::new),
            guests: Arc::new(crate::observe::GuestsReport::default),
            breakers: Arc::new(crate::observe::BreakersReport::default),
            operate: Arc::new(Idle),
        };
        Self { surface: Surface::new(state.clone()), state, store }
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.surface.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Answer { status: parts.status, headers: parts.headers, text }
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.send(call(Method::GET, path, Body::empty())).await
    }

    pub(super) async fn post(&self, body: &Value) -> Answer {
        self.send(post(body, &[])).await
    }

    /// Ends the next notification that is accepted as `ending`, like a dispatcher would.
    pub(super) fn dispatch_next(&self, ending: Ending, after: Duration) {
        let (store, outcomes) = (Arc::clone(&self.store), Arc::clone(&self.state.outcomes));
        tokio::task::spawn_local(async move {
            let id = store.next_accepted().await;
            tokio::time::sleep(after).await;
            store.end(id, &ending);
            outcomes.tell(id, ending);
        });
    }
}

/// A request of tenant 1.
pub(super) fn call(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "localhost")
        .header(header::AUTHORIZATION, "Bearer key-1")
        .body(body)
        .unwrap()
}

/// A notification of tenant 1.
pub(super) fn post(body: &Value, headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = call(Method::POST, "/notifications", Body::from(body.to_string()));
    request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}
