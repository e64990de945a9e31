//! One notification, or one parent with its notifications: read it, take it back.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequestParts, RawPathParams, State},
    http::{Response, StatusCode, request::Parts},
};

use super::{
    Shared,
    answer::{json, state_word},
    auth::Caller,
    group_view::{ParentDetail, Story},
    json::shorten,
    kinds,
    problem::Problem,
    refusals::store_failed,
    views::{NotificationDetail, StateView},
};
use crate::{
    ids::{NotificationId, TenantId},
    limits::PARENT_NOTIFICATIONS_SHOWN_MAX,
    outcomes::Ending,
    store::{self, ParentStatus},
};

/// The `{id}` of a path.
pub(super) struct PathId(pub(super) NotificationId);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        let params = params.map_err(|_| unknown("…"))?;
        let text = params.iter().next().map_or("", |(_, value)| value);
        text.parse().map(Self).map_err(|_| unknown(text))
    }
}

pub(super) fn unknown(id: &str) -> Problem {
    let id = shorten(id);
    Problem::new(
        kinds::UNKNOWN_NOTIFICATION,
        format!("The tenant has no notification \"{id}\"; it may not be kept any more."),
    )
}

/// Everything about one notification, or about a parent and its notifications.
pub(super) async fn read(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    let status = shared.api.store.status(tenant, id).await;
    if let Some(status) = status.map_err(|error| store_failed(&error))? {
        return Ok(json(StatusCode::OK, &NotificationDetail::from(status)));
    }
    match parent(&shared, tenant, id).await? {
        Some(parent) => Ok(json(StatusCode::OK, &whole(&shared, tenant, &parent).await?)),
        None => Err(unknown(&id.to_string())),
    }
}

pub(super) async fn parent(
    shared: &Shared,
    tenant: TenantId,
    id: NotificationId,
) -> Result<Option<ParentStatus>, Problem> {
    shared.api.store.parent(tenant, id).await.map_err(|error| store_failed(&error))
}

/// A parent with the attempts of its notifications.
async fn whole(
    shared: &Shared,
    tenant: TenantId,
    parent: &ParentStatus,
) -> Result<ParentDetail, Problem> {
    let mut known = BTreeMap::new();
    for child in parent.children.iter().rev().take(PARENT_NOTIFICATIONS_SHOWN_MAX) {
        let status = shared.api.store.status(tenant, child.row.id).await;
        if let Some(status) = status.map_err(|error| store_failed(&error))? {
            known.insert(child.row.id, status);
        }
    }
    Ok(ParentDetail::of(parent, known))
}

/// Takes back what has not been sent.
pub(super) async fn cancel(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    let state = shared.api.store.cancel(tenant, id).await;
    let state = match state.map_err(|error| store_failed(&error))? {
        Some(store::State::Cancelled) => {
            shared.api.outcomes.tell(id, Ending::Cancelled);
            tell_parent(&shared, tenant, id).await;
            let view = StateView { id, status: state_word(store::State::Cancelled) };
            return Ok(json(StatusCode::OK, &view));
        }
        Some(state) => state,
        None => return Err(unknown(&id.to_string())),
    };
    // Of a parent, some may have been taken back and others not.
    let parent = parent(&shared, tenant, id).await?;
    let is_cancelled = |child: &store::Child| child.row.state == store::State::Cancelled;
    if let Some(parent) = parent.filter(|parent| parent.children.iter().any(is_cancelled)) {
        if parent.open == 0 {
            shared.api.outcomes.tell(id, Ending::Cancelled);
        }
        let view = StateView { id, status: Story::of(&parent).word() };
        return Ok(json(StatusCode::OK, &view));
    }
    Err(match state {
        store::State::Sending => {
            conflict(id, state, "It is being sent at this moment and cannot be cancelled.")
        }
        _ => conflict(id, state, "It is over already and cannot be cancelled."),
    })
}

/// Tells who waits for the whole, if what was taken back was the last of it that was open. A sibling
/// that ends in the same moment tells them too; the first one is heard.
async fn tell_parent(shared: &Shared, tenant: TenantId, id: NotificationId) {
    let store = &shared.api.store;
    let found = async {
        let Some(status) = store.status(tenant, id).await? else { return Ok(None) };
        let Some(parent) = status.row.parent else { return Ok(None) };
        store.parent(tenant, parent).await
    };
    match found.await {
        Ok(Some(parent)) if parent.open == 0 => {
            shared.api.outcomes.tell(parent.id, Ending::Cancelled);
        }
        Ok(_) => {}
        // It is cancelled all the same; who waits hears of it when their patience ends.
        Err(error) => tracing::warn!(notification = %id, %error, "its parent was not told"),
    }
}

/// Its state does not allow it.
pub(super) fn conflict(id: NotificationId, state: store::State, detail: &'static str) -> Problem {
    Problem::new(kinds::STATE_CONFLICT, detail)
        .with("id", id.to_string())
        .with("notificationStatus", state_word(state))
}
