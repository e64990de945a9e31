//! One notification: read it, take it back, send it again.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, State},
    http::{Response, StatusCode, header, request::Parts},
};

use super::{
    Shared,
    answer::{json, location, state_word},
    auth::Caller,
    json::shorten,
    kinds,
    problem::Problem,
    refusals::store_failed,
    views::{NotificationDetail, StateView},
};
use crate::{ids::NotificationId, outcomes::Ending, store};

/// The `{id}` of a path.
pub(super) struct PathId(NotificationId);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| unknown("…"))?;
        let text = params.iter().next().map_or("", |(_, value)| value);
        text.parse().map(Self).map_err(|_| unknown(text))
    }
}

fn unknown(id: &str) -> Problem {
    let id = shorten(id);
    Problem::new(
        kinds::UNKNOWN_NOTIFICATION,
        format!("The tenant has no notification \"{id}\"; it may not be kept any more."),
    )
}

/// Everything about one notification.
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let status = shared.api.store.status(caller.tenant.id, id).await;
    match status.map_err(|error| store_failed(&error))? {
        Some(status) => Ok(json(StatusCode::OK, &NotificationDetail::from(status))),
        None => Err(unknown(&id.to_string())),
    }
}

/// Takes a notification back that has not been sent.
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let state = shared.api.store.cancel(caller.tenant.id, id).await;
    match state.map_err(|error| store_failed(&error))? {
        Some(store::State::Cancelled) => {
            shared.api.outcomes.tell(id, Ending::Cancelled);
            let view = StateView { id, status: state_word(store::State::Cancelled) };
            Ok(json(StatusCode::OK, &view))
        }
        Some(state @ store::State::Sending) => {
            Err(conflict(id, state, "It is being sent at this moment and cannot be cancelled."))
        }
        Some(state) => Err(conflict(id, state, "It is over already and cannot be cancelled.")),
        None => Err(unknown(&id.to_string())),
    }
}

/// Sends a notification again that is over.
pub(super) async fn replay(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    shared.rates.check(&caller.generation, caller.tenant.id, &caller.tenant.limits)?;
    let before = shared.api.store.replay(caller.tenant.id, id).await;
    match before.map_err(|error| store_failed(&error))? {
        Some(state) if state.is_terminal() => {
            let view = StateView { id, status: state_word(store::State::Queued) };
            let mut response = json(StatusCode::ACCEPTED, &view);
            response.headers_mut().insert(header::LOCATION, location(id));
            Ok(response)
        }
        Some(state) => Err(conflict(id, state, "It is on its way still and cannot be replayed.")),
        None => Err(unknown(&id.to_string())),
    }
}

fn conflict(id: NotificationId, state: store::State, detail: &'static str) -> Problem {
    Problem::new(kinds::STATE_CONFLICT, detail)
        .with("id", id.to_string())
        .with("notificationStatus", state_word(state))
}
