//! The HTTP surface: authentication, validation, acceptance, the wait for the outcome, and the
//! questions people ask afterwards. See docs/openapi.json.
//!
//! * Every error of every route is a [`problem::Problem`].
//! * A request sees one generation from its start to its end ([`auth::Caller`]).
//! * What is accepted is on disk; what is refused left nothing behind.

mod admin;
mod answer;
mod audit;
pub mod auth;
mod batch;
mod body;
mod channels;
mod cors;
mod dead_letters;
mod deliveries;
mod edge;
mod events;
mod fields;
mod fits;
mod group;
mod group_view;
mod guesses;
mod health;
mod idempotency;
mod json;
pub mod kinds;
#[cfg(test)]
mod kit;
mod listing;
mod lookup;
mod notification;
mod notify;
pub mod openapi;
mod prefer;
pub mod problem;
mod purge;
mod query;
mod rate;
mod refusals;
mod replay;
mod routing;
mod scrape;
pub mod server;
#[cfg(test)]
mod tests;
mod views;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
    routing::{delete, get, post},
};
use tower::Service;

use crate::{
    clock::Clock,
    generation::Current,
    ids::{ChannelName, TenantId},
    observe::{BindingReport, BreakersReport, GuestsReport, HealthBoard, Metrics, ReloadOutcome},
    outcomes::Outcomes,
    stopping::Stopping,
    store::Store,
    tasks::Tasks,
};

/// What the surface stands on.
#[derive(Clone)]
pub struct ApiState {
    /// The generation in force.
    pub current: Arc<Current>,
    /// The queue.
    pub store: Arc<dyn Store>,
    /// Who waits for what.
    pub outcomes: Arc<Outcomes>,
    /// The numbers.
    pub metrics: Arc<Metrics>,
    /// Reloads and tasks.
    pub health: Arc<HealthBoard>,
    /// The time.
    pub clock: Clock,
    /// Cancelled when the host goes down: nothing new is taken, waiting callers are answered.
    pub stopping: Stopping,
    /// SHA-256 of the operator's key.
    pub admin_key_hash: Option<[u8; 32]>,
    /// How the channels are.
    pub bindings: Arc<dyn Fn() -> Vec<BindingReport> + Send + Sync>,
    /// What all guests have.
    pub guests: Arc<dyn Fn() -> GuestsReport + Send + Sync>,
    /// What writes the surface's events down runs among these.
    pub tasks: Tasks,
    /// The breakers that are not closed.
    pub breakers: Arc<dyn Fn() -> BreakersReport + Send + Sync>,
    /// What the operator's calls have done.
    pub operate: Arc<dyn Operate>,
}

/// What the operator can have done.
pub trait Operate: Send + Sync {
    /// Ends a channel's quarantine. False if it is in none.
    fn release(&self, tenant: TenantId, channel: &ChannelName) -> bool;
    /// Reads the configuration and the plugins again, those too that were refused before. None if
    /// the host goes down before there is a result.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Option<Reloaded>> + Send>>;
}

/// What came of a reload that the operator asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reloaded {
    /// How it ended.
    pub outcome: ReloadOutcome,
    /// The generation in force after it.
    pub generation: u64,
    /// What changed, in one line.
    pub changes: Option<String>,
    /// What is wrong: all of it.
    pub errors: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

/// The state of all handlers: what they were given, and what they keep themselves.
pub(crate) struct Shared {
    api: ApiState,
    rates: rate::Rates,
    answering: idempotency::Answering,
    origins: cors::Origins,
    audit: audit::Audit,
    streams: events::Streams,
    guesses: guesses::Guesses,
}

/// The whole surface: the routes, and what happens around every request. Cheap to clone.
#[derive(Clone)]
pub struct Surface {
    shared: Arc<Shared>,
    routes: Router,
}

impl Surface {
    /// Puts it on what it stands on.
    #[must_use]
    pub fn new(state: ApiState) -> Self {
        let audit = audit::Audit::start(&state);
        let shared = Arc::new(Shared {
            api: state,
            audit,
            streams: events::Streams::default(),
            guesses: guesses::Guesses::default(),
            rates: rate::Rates::default(),
            answering: idempotency::Answering::default(),
            origins: cors::Origins::default(),
        });
        let routes = Router::new()
            .route("/notifications", post(notify::notify).get(listing::list))
            .route("/notifications/batch", post(batch::batch))
            .route("/notifications/replay", post(replay::replay_range))
            .route("/notifications/{id}", get(deliveries::read).delete(deliveries::cancel))
            .route("/notifications/{id}/replay", post(replay::replay))
            .route("/notifications/purge", post(purge::purge_range))
            .route("/notifications/{id}/purge", post(purge::purge))
            .route("/events", get(events::follow))
            .route("/admin/audit", get(admin::audit))
            .route("/admin/bindings", get(admin::bindings::list))
            .route("/admin/notifications", get(admin::list))
            .route("/admin/plugins", get(admin::plugins::list))
            .route(
                "/admin/quarantine",
                get(admin::quarantine::list).delete(admin::quarantine::release_all),
            )
            .route("/admin/quarantine/{tenant}/{channel}", delete(admin::quarantine::release))
            .route("/admin/reload", post(admin::reload::reload))
            .route("/channels", get(channels::list))
            .route("/health", get(health::health))
            .route("/ready", get(health::ready))
            .route("/metrics", get(scrape::metrics))
            .route("/openapi.json", get(openapi::serve))
            .fallback(refusals::unknown_path)
            .method_not_allowed_fallback(refusals::method_not_allowed)
            .with_state(Arc::clone(&shared));
        Self { shared, routes }
    }
}

impl Service<Request<Body>> for Surface {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let Self { shared, routes } = self.clone();
        Box::pin(async move { Ok(edge::edge(&shared, routes, request).await) })
    }
}

/// Whether `body` is a notification, before the tenant's channels are looked at.
///
/// # Errors
/// The 400 that its sender would get.
pub fn check_body(body: &[u8], now: crate::clock::UnixMs) -> Result<(), problem::Problem> {
    notification::read(json::parse(body)?, now).map(drop)
}
