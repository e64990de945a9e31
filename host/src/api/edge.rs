//! What happens around every request: counting, browsers' cross-origin rules, the refusal of new
//! work while the host goes down, and the last net under a defect.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Router,
    extract::Request,
    http::{HeaderValue, Method, Version, header},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tower::Service as _;

use super::{Shared, cors, kinds, notify, problem::Problem, refusals};
use crate::{limits::HEADER_BYTES_MAX, observe::Route};

/// Answers a request. It stands around the routes and is no layer of theirs: a layer would be boxed
/// and cloned with every request.
pub(super) async fn edge(shared: &Arc<Shared>, routes: Router, request: Request) -> Response {
    let started = Instant::now();
    let route = route_of(request.method(), request.uri().path());
    let version = request.version();
    let cross_origin = cors::Question::of(&request);
    let is_preflight = cross_origin.as_ref().is_some_and(cors::Question::is_preflight);
    let refused = shared.api.stopping.is_cancelled() && !is_for_operators(route);
    let head_bytes = head_bytes(&request);
    let mut response = if refused {
        refusals::stopping().into_response()
    } else if head_bytes > HEADER_BYTES_MAX {
        refusals::head_too_large(head_bytes).into_response()
    } else if is_preflight {
        cors::preflight()
    } else {
        answer(shared, routes, route, request).await
    };
    if let Some(question) = cross_origin {
        question.answer(shared, response.headers_mut());
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

/// The size of a request's line and headers, as HTTP/1.1 writes them. The library bounds what it keeps
/// of a head that is not complete; one that came in a single piece can be larger.
fn head_bytes(request: &Request) -> usize {
    /// Two spaces and the version behind the line, or a colon and a space behind a name; and the
    /// line's end.
    const LINE: usize = 12;
    const HEADER: usize = 4;
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let headers = request.headers().iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + HEADER);
    request.method().as_str().len() + target + LINE + headers.sum::<usize>()
}

/// Runs the handler; its panic becomes a 500.
async fn answer(
    shared: &Arc<Shared>,
    mut routes: Router,
    route: Route,
    request: Request,
) -> Response {
    let handled = async {
        match route {
            // The road that nearly all requests take is not looked for.
            Route::Notify => Ok(notify::direct(Arc::clone(shared), request).await),
            _ => routes.call(request).await,
        }
    };
    match AssertUnwindSafe(handled).catch_unwind().await {
        Ok(Ok(response)) => response,
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

/// The name of a route, for its numbers.
fn route_of(method: &Method, path: &str) -> Route {
    let post = method == Method::POST;
    // As GET: the routes answer HEAD in the same way.
    let get = method == Method::GET;
    match path {
        "/notifications" if post => Route::Notify,
        "/notifications" if get => Route::List,
        "/notifications/batch" if post => Route::Batch,
        "/notifications/replay" if post => Route::ReplayRange,
        "/notifications/purge" if post => Route::PurgeRange,
        "/events" if get => Route::Events,
        "/admin/audit" if get => Route::AdminAudit,
        "/admin/notifications" if get => Route::AdminList,
        "/admin/bindings" if get => Route::AdminBindings,
        "/admin/plugins" if get => Route::AdminPlugins,
        "/admin/quarantine" if get => Route::AdminQuarantine,
        "/admin/quarantine" if method == Method::DELETE => Route::AdminReleaseAll,
        "/admin/reload" if post => Route::AdminReload,
        "/channels" if get => Route::Channels,
        "/health" => Route::Health,
        "/ready" => Route::Ready,
        "/metrics" => Route::Metrics,
        "/openapi.json" => Route::OpenApi,
        _ => match path.strip_prefix("/notifications/").map(|rest| rest.split_once('/')) {
            Some(None) if get => Route::Read,
            Some(None) if method == Method::DELETE => Route::Cancel,
            Some(Some((_, "replay"))) if post => Route::Replay,
            Some(Some((_, "purge"))) if post => Route::Purge,
            None if method == Method::DELETE && path.starts_with("/admin/quarantine/") => {
                Route::AdminRelease
            }
            _ => Route::Other,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_head_is_that_of_its_text() {
        let request = axum::http::Request::post("/a?b=c").header("x-y", "z").header("v", "");
        let request = request.body(axum::body::Body::empty()).unwrap();
        let text = "POST /a?b=c HTTP/1.1\r\nx-y: z\r\nv: \r\n";
        assert_eq!(head_bytes(&request), text.len());
    }

    #[test]
    fn a_route_is_known_by_method_and_path() {
        for (method, path, route) in [
            (Method::POST, "/notifications", Route::Notify),
            (Method::GET, "/notifications", Route::List),
            (Method::PUT, "/notifications", Route::Other),
            (Method::POST, "/notifications/batch", Route::Batch),
            (Method::GET, "/notifications/01a", Route::Read),
            (Method::DELETE, "/notifications/01a", Route::Cancel),
            (Method::POST, "/notifications/01a", Route::Other),
            (Method::POST, "/notifications/01a/replay", Route::Replay),
            (Method::GET, "/notifications/01a/replay/x", Route::Other),
            (Method::POST, "/notifications/replay", Route::ReplayRange),
            (Method::POST, "/notifications/01a/purge", Route::Purge),
            (Method::POST, "/notifications/purge", Route::PurgeRange),
            (Method::GET, "/events", Route::Events),
            (Method::GET, "/admin/audit", Route::AdminAudit),
            (Method::GET, "/health", Route::Health),
            (Method::GET, "/admin/plugins", Route::AdminPlugins),
            (Method::DELETE, "/admin/quarantine", Route::AdminReleaseAll),
            (Method::DELETE, "/admin/quarantine/t/c", Route::AdminRelease),
            (Method::POST, "/admin/reload", Route::AdminReload),
            (Method::GET, "/nowhere", Route::Other),
        ] {
            assert_eq!(route_of(&method, path) as usize, route as usize, "{method} {path}");
        }
    }
}
