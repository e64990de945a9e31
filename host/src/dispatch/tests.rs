//! The dispatcher as a whole, on a queue in memory and with a clock that the tests move. No plugin
//! is loaded: what is looked at here is what happens without one.

use std::{collections::BTreeMap, time::Instant};

use axum::{Router, http::HeaderMap, routing::post};
use tokio::net::TcpListener;

use super::*;
use crate::{
    clock::UnixMs,
    config::{
        Callback, CallbackEvent, Channel, ChannelSecret, Config, Origin, RetryPolicy, Tenant,
        TenantLimits,
    },
    egress::{Denial, FetchError},
    envelope::{CallbackTo, Envelope, FallbackStep},
    generation::Generation,
    ids::{ChannelName, NotificationId, TenantId},
    observe::HealthBoard,
    sandbox::{Engine, Fault, FaultKind, GuestBounds, LoadedPlugin, Usage},
    secrets::Secret,
    store::{ListQuery, NewNotification, Priority, Row, State, memory::MemoryStore},
};

const NOW: UnixMs = UnixMs(1_763_746_800_000);
const PATIENCE: Duration = Duration::from_secs(30);

/// Nobody counts.
struct Nobody;

impl Observer for Nobody {
    fn begun(&self, _: &PluginName) -> Box<dyn Send> {
        Box::new(())
    }
    fn attempt(&self, _: &PluginName, _: &'static str, _: Option<Duration>) {}
    fn lanes(&self, _: usize) {}
    fn wanted(&self, _: &PluginName) {}
    fn breaker_opened(&self, _: &PluginName, _: BreakerScope) -> Box<dyn Send> {
        Box::new(())
    }
    fn throttled(&self, _: &PluginName, _: ThrottleScope) {}
}

impl crate::sandbox::Observer for Nobody {
    fn instance_started(&self, _: &PluginName) {}
    fn call(&self, _: &PluginName, _: &Usage) {}
    fn fault(&self, _: &PluginName, _: FaultKind) {}
    fn quarantined(&self, _: &Lane, _: &PluginName, _: &Fault) -> Box<dyn Send> {
        Box::new(())
    }
    fn released(&self, _: &Lane, _: &PluginName, _: &str) {}
    fn connection_stopped(
        &self,
        _: &Lane,
        _: &PluginName,
        _: &crate::sandbox::Problem,
    ) -> Box<dyn Send> {
        Box::new(())
    }
    fn connection_released(&self, _: &Lane, _: &PluginName, _: &str) {}
    fn instance_ended(&self, _: &PluginName) {}
    fn refused(&self, _: &PluginName, _: crate::sandbox::Refusal) {}
    fn fetched(&self, _: &PluginName, _: Result<u16, &FetchError>) {}
    fn denied(&self, _: &Lane, _: &PluginName, _: &Denial) {}
    fn revealed(&self, _: &Lane, _: &PluginName, _: &str, _: bool) {}
    fn proven(&self, _: &LoadedPlugin) {}
    fn probation_failed(&self, _: &LoadedPlugin, _: &Fault) {}
}

fn origin() -> Origin {
    Origin { file: Arc::from("test"), line: 1 }
}

fn tenant_id() -> TenantId {
    TenantId(uuid::Uuid::from_u128(1))
}

/// A tenant with the channels a and b, whose plugin is not there, and a receiver of callbacks.
fn generation(receiver: &str) -> Generation {
    let channel = |name: &str| Channel {
        name: name.parse().unwrap(),
        plugin: "p".parse().unwrap(),
        options: Arc::default(),
        secrets: BTreeMap::new(),
        fallback: Vec::new(),
        retry: RetryPolicy::default(),
        throttle: None,
        origin: origin(),
    };
    let callback = Callback {
        url: Some(Arc::from(receiver)),
        secrets: vec![ChannelSecret {
            value: Secret::new(String::from("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")),
            source: Arc::from("test"),
        }],
        events: CallbackEvent::ALL.into(),
        addresses: vec!["127.0.0.0/8".parse().unwrap()],
        origin: origin(),
    };
    let tenant = Tenant {
        id: tenant_id(),
        name: Arc::from("T"),
        slug: Arc::from("t"),
        key_hashes: Vec::new(),
        key_envs: Vec::new(),
        domains: Vec::new(),
        ports: Vec::new(),
        plugins: std::collections::BTreeSet::new(),
        cors: Vec::new(),
        limits: TenantLimits { rate_per_s: None, burst: 1, queue_max: 100, weight: 1 },
        access_sources: Vec::new(),
        callbacks: vec![Arc::new(callback)],
        channels: ["a", "b"].map(|name| (name.parse().unwrap(), Arc::new(channel(name)))).into(),
        origin: origin(),
    };
    let mut config = Config::default();
    config.tenants.insert(tenant.id, Arc::new(tenant));
    Generation::new(1, NOW, Arc::new(config), BTreeMap::new())
}

struct Host {
    clock: Clock,
    store: Arc<dyn Store>,
    _running: Running,
}

impl Host {
    fn start(receiver: &str) -> Self {
        let clock = Clock::manual(NOW);
        let tasks = Tasks::new(Arc::new(HealthBoard::default()), clock.clone());
        let egress = Egress::new(&[]).unwrap();
        let engine = Engine::new(GuestBounds::default()).unwrap();
        let sandbox = Sandbox::new(engine, Arc::clone(&egress), Arc::new(Nobody), tasks.clone());
        let store: Arc<dyn Store> = MemoryStore::new(clock.clone());
        let dispatch = Dispatch {
            store: Arc::clone(&store),
            current: Arc::new(Current::new(Arc::new(generation(receiver)))),
            sandbox,
            egress,
            outcomes: Arc::default(),
            observer: Arc::new(Nobody),
            clock: clock.clone(),
        };
        Self { _running: dispatch.start(&tasks), clock, store }
    }

    async fn accept(&self, channel: ChannelName, envelope: &Envelope) -> NotificationId {
        let id = NotificationId::generate();
        let new = NewNotification {
            id,
            lane: Lane { tenant: tenant_id(), channel },
            priority: Priority::Normal,
            due: self.clock.now(),
            expires: None,
            idempotency: None,
            payload: envelope.encode(),
            live_max: 100,
            parent: None,
            ordering_key: None,
        };
        self.store.enqueue(vec![new]).await.unwrap();
        id
    }

    async fn rows(&self) -> Vec<Row> {
        let (tenant, limit) = (tenant_id(), 100);
        let query = ListQuery {
            tenant,
            state: None,
            channel: None,
            from: None,
            to: None,
            cursor: None,
            limit,
        };
        self.store.list(query).await.unwrap().items
    }

    /// Waits for a notification of `channel` in `state`.
    async fn until(&self, channel: &str, state: State) -> Row {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let rows = self.rows().await;
            let found =
                rows.iter().find(|row| row.lane.channel.as_str() == channel && row.state == state);
            if let Some(row) = found {
                return row.clone();
            }
            assert!(Instant::now() < deadline, "no {state:?} in {channel}: {rows:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn when_the_time_for_a_channel_is_over_the_next_one_takes_over() {
    let host = Host::start("http://127.0.0.1:1/");
    let step = FallbackStep { channel: "b".parse().unwrap(), after_ms: Some(300_000) };
    let envelope = Envelope { fallback: vec![step], ..Envelope::default() };
    let id = host.accept("a".parse().unwrap(), &envelope).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let row = host.rows().await.into_iter().find(|row| row.id == id).unwrap();
    assert_eq!((row.state, row.attempts), (State::Queued, 0), "its plugin is not there: it waits");
    host.clock.advance_ms(300_000);
    let row = host.until("a", State::Dead).await;
    assert!(row.last_error.unwrap().contains("the next one takes over"));
    let next = host.until("b", State::Queued).await;
    let status = host.store.status(tenant_id(), next.id).await.unwrap().unwrap();
    let envelope = Envelope::decode(&status.payload).unwrap();
    assert_eq!(envelope.took_over_from, ["a".parse().unwrap()]);
    assert!(envelope.fallback.is_empty());
}

#[tokio::test]
async fn a_callback_waits_as_long_as_its_receiver_asked_and_that_costs_no_attempt() {
    let (sender, mut seen) = mpsc::channel(16);
    let answer = async move |headers: HeaderMap, body: String| {
        let id = headers["webhook-id"].to_str().unwrap().to_owned();
        let first = sender.capacity() == sender.max_capacity();
        sender.send((id, body)).await.unwrap();
        let status = if first { 429 } else { 204 };
        (axum::http::StatusCode::from_u16(status).unwrap(), [("retry-after", "3600")])
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/told", listener.local_addr().unwrap());
    let router = Router::new().route("/told", post(answer));
    #[expect(clippy::disallowed_methods, reason = "a double, which ends with the test")]
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let host = Host::start(&url);
    let to = CallbackTo { url, requested: false };
    let message = String::from("{\"type\":\"x\"}");
    let envelope = Envelope { message, callback: Some(to), ..Envelope::default() };
    let id = host.accept(ChannelName::callbacks(), &envelope).await;
    host.until("@callbacks", State::Retrying).await;
    host.clock.advance_ms(3_599_000);
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(seen.len(), 1, "not a second too early");
    host.clock.advance_ms(400_000);
    let row = host.until("@callbacks", State::Delivered).await;
    assert_eq!((row.id, row.attempts), (id, 2));
    let (first, second) = (seen.recv().await.unwrap(), seen.recv().await.unwrap());
    assert_eq!(first, second, "the same id and the same body");
    assert!(host.rows().await.len() == 1, "a callback is told to nobody");
}
