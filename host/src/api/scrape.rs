//! `GET /metrics`.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderValue, Response, header},
};

use super::Shared;

/// The numbers, for Prometheus.
pub(super) async fn metrics(State(shared): State<Arc<Shared>>) -> Response<Body> {
    // A store that does not answer is seen in health; the other numbers are needed then most.
    let totals = shared.api.store.totals().await.ok();
    shared.api.metrics.tasks(shared.api.tasks.running());
    shared.api.metrics.guests(&(shared.api.guests)());
    let mut response = Response::new(Body::from(shared.api.metrics.encode(totals)));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
    );
    response
}
