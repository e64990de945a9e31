//! Removing dead letters before their retention is over: one, one parent, or a range.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode},
};
use futures_util::future::join_all;
use serde::Serialize;

use super::{
    Shared,
    answer::json,
    auth::Caller,
    dead_letters,
    deliveries::{PathId, conflict, unknown},
    listing::write_cursor,
    problem::Problem,
    refusals::store_failed,
};
use crate::{
    ids::{NotificationId, TenantId},
    store::{self, Discarded},
};

/// What came of a purge.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct PurgeView {
    /// How many notifications are gone, with all that belonged to them.
    purged: usize,
    /// How many dead letters were passed over, because another channel of the same request has
    /// delivered it or still tries, or because they were replayed in this moment.
    skipped: usize,
    /// For the next request's `cursor`; not there when the range is at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Removes one dead letter, or a parent that is over and of which something is dead.
pub(super) async fn purge(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    shared.rates.check(&caller.generation, tenant, &caller.tenant.limits)?;
    let discarded = shared.api.store.discard(tenant, id).await;
    match discarded.map_err(|error| store_failed(&error))? {
        Some(Discarded::Gone(purged)) => {
            let view = PurgeView { purged, skipped: 0, next_cursor: None };
            Ok(json(StatusCode::OK, &view))
        }
        Some(Discarded::Stays(state)) => Err(stays(&shared, tenant, id, state).await),
        None => Err(unknown(&id.to_string())),
    }
}

/// Why one was not removed.
async fn stays(
    shared: &Shared,
    tenant: TenantId,
    id: NotificationId,
    state: store::State,
) -> Problem {
    // Only for the words: what cannot be read now is told without the parent.
    let status = shared.api.store.status(tenant, id).await.ok().flatten();
    let parent = status
        .filter(|status| status.row.state == store::State::Dead)
        .and_then(|status| status.row.parent);
    match parent {
        Some(parent) if state.is_terminal() => {
            let detail = "Another channel of the same request has delivered it. The whole request \
                          can be purged by its parentId.";
            conflict(id, state, detail).with("parentId", parent.to_string())
        }
        Some(parent) => {
            let detail = "Another channel of the same request still tries. When that is over, or \
                          cancelled, it can be purged.";
            conflict(id, state, detail).with("parentId", parent.to_string())
        }
        None if state.is_terminal() => {
            let detail = "It was not given up. Only dead letters are purged; retention removes \
                          what was delivered or cancelled.";
            conflict(id, state, detail)
        }
        None => {
            let detail = "It is on its way still. Only dead letters are purged; DELETE takes back \
                          what is not sent yet.";
            conflict(id, state, detail)
        }
    }
}

/// Removes a range of dead letters, newest first, a bounded number of them.
pub(super) async fn purge_range(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    let page = dead_letters::chosen(&shared, &caller, request).await?;

    // At once, so that the store removes them in one transaction.
    let ids = page.items.iter().map(|row| row.id);
    let discards = ids.map(|id| shared.api.store.discard(tenant, id));
    let (mut purged, mut skipped) = (0, 0);
    for discarded in join_all(discards).await {
        match discarded.map_err(|error| store_failed(&error))? {
            Some(Discarded::Gone(count)) => purged += count,
            Some(Discarded::Stays(_)) => skipped += 1,
            // It went with a sibling before it, and is counted there.
            None => {}
        }
    }
    let next_cursor = page.next.map(write_cursor);
    Ok(json(StatusCode::OK, &PurgeView { purged, skipped, next_cursor }))
}

#[cfg(test)]
mod tests;
