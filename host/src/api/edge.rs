//! What happens around every request: counting, browsers' cross-origin rules, the refusal of new
//! work while the host goes down, and the last net under a defect.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    extract::{MatchedPath, Request, State},
    http::{HeaderValue, Method, Version, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;

use super::{Shared, cors, kinds, problem::Problem, refusals};
use crate::observe::Route;

/// The layer around all routes.
pub(super) async fn edge(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let route = route_of(&request);
    let version = request.version();
    let cross_origin = cors::Question::of(&request);
    let is_preflight = cross_origin.as_ref().is_some_and(cors::Question::is_preflight);
    let refused = shared.api.stopping.is_cancelled() && !is_for_operators(route);
    let mut response = if refused {
        refusals::stopping().into_response()
    } else if is_preflight {
        cors::preflight()
    } else {
        answer(next, request).await
    };
    if let Some(question) = cross_origin {
        question.answer(&shared, response.headers_mut());
    }
    match version {
        Version::HTTP_10 | Version::HTTP_11 if shared.api.stopping.is_cancelled() => {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Version::HTTP_10 | Version::HTTP_11 => {}
        // HTTP/2 and later have no such header.
        _ => drop(response.headers_mut().remove(header::CONNECTION)),
    }
    shared.api.metrics.http(route, response.status().as_u16(), started.elapsed());
    response
}

/// Runs the handler; its panic becomes a 500.
async fn answer(next: Next, request: Request) -> Response {
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let why = panic
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
                .or_else(|| panic.downcast_ref::<String>().cloned());
            tracing::error!(why, "a handler panicked");
            Problem::new(
                kinds::INTERNAL,
                "This is a defect of the host; its log says more. Repeat the request with the same \
                 Idempotency-Key, so that it is carried out once.",
            )
            .into_response()
        }
    }
}

/// Routes that answer while the host goes down.
const fn is_for_operators(route: Route) -> bool {
    matches!(route, Route::Health | Route::Ready | Route::Metrics)
}

fn route_of(request: &Request) -> Route {
    let Some(path) = request.extensions().get::<MatchedPath>() else { return Route::Other };
    let method = request.method();
    match path.as_str() {
        "/notifications" if method == Method::POST => Route::Notify,
        "/notifications" if method == Method::GET => Route::List,
        "/notifications/batch" if method == Method::POST => Route::Batch,
        "/notifications/{id}" if method == Method::GET => Route::Read,
        "/notifications/{id}" if method == Method::DELETE => Route::Cancel,
        "/notifications/{id}/replay" if method == Method::POST => Route::Replay,
        "/channels" if method == Method::GET => Route::Channels,
        "/health" => Route::Health,
        "/ready" => Route::Ready,
        "/metrics" => Route::Metrics,
        "/openapi.json" => Route::OpenApi,
        _ => Route::Other,
    }
}
