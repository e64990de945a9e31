//! Sending again what is over: one notification, one parent, or a range of dead letters.

use std::{collections::BTreeSet, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{Response, StatusCode, header},
};
use futures_util::future::join_all;
use serde::Serialize;

use super::{
    Shared,
    answer::{json, location, state_word},
    auth::Caller,
    dead_letters,
    deliveries::{PathId, conflict, parent, unknown},
    group_view::Story,
    listing::write_cursor,
    problem::Problem,
    refusals::store_failed,
    views::StateView,
};
use crate::{
    ids::{NotificationId, TenantId},
    store::{self, ParentStatus, Row},
};

/// Sends a notification again that is over, or what has failed of a parent that is over.
pub(super) async fn replay(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    PathId(id): PathId,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    shared.rates.check(&caller.generation, tenant, &caller.tenant.limits)?;
    if let Some(parent) = parent(&shared, tenant, id).await? {
        if parent.open > 0 {
            return Err(conflict(id, parent.state(), ON_ITS_WAY));
        }
        if parent.failed == 0 {
            let detail = "Every channel has delivered it; there is nothing to replay. One of its \
                          notifications can be replayed by its own id.";
            return Err(conflict(id, parent.state(), detail));
        }
    }
    let before = shared.api.store.replay(tenant, id).await;
    match before.map_err(|error| store_failed(&error))? {
        Some(state) if state.is_terminal() => {
            let view = StateView { id, status: state_word(store::State::Queued) };
            let mut response = json(StatusCode::ACCEPTED, &view);
            response.headers_mut().insert(header::LOCATION, location(id));
            Ok(response)
        }
        Some(state) => Err(conflict(id, state, ON_ITS_WAY)),
        None => Err(unknown(&id.to_string())),
    }
}

const ON_ITS_WAY: &str = "It is on its way still and cannot be replayed.";

/// What came of replaying a range.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplayView {
    /// How many are in the queue again.
    replayed: usize,
    /// How many dead letters were passed over, because another channel of the same branch has
    /// delivered the message, still tries, or was replayed for them.
    skipped: usize,
    /// For the next request's `cursor`; not there when the range is at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Replays a range of dead letters, newest first, a bounded number of them.
pub(super) async fn replay_range(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let tenant = caller.tenant.id;
    let page = dead_letters::chosen(&shared, &caller, request).await?;

    let listed = page.items.len();
    let chosen = choose(&shared, tenant, page.items).await?;
    // At once, so that the store writes them in one transaction.
    let replays = chosen.into_iter().map(|id| shared.api.store.replay(tenant, id));
    let mut replayed = 0;
    for before in join_all(replays).await {
        let before = before.map_err(|error| store_failed(&error))?;
        replayed += usize::from(before.is_some_and(store::State::is_terminal));
    }
    let skipped = listed.saturating_sub(replayed);
    let next_cursor = page.next.map(write_cursor);
    Ok(json(StatusCode::ACCEPTED, &ReplayView { replayed, skipped, next_cursor }))
}

/// What to replay of dead letters: themselves; of a parent's, the first of each branch that failed.
/// One that gave up and whose fallback delivered is dead, and must not be sent again.
async fn choose(
    shared: &Shared,
    tenant: TenantId,
    rows: Vec<Row>,
) -> Result<BTreeSet<NotificationId>, Problem> {
    let mut chosen = BTreeSet::new();
    // Children of one parent stand together: most of the time it is the one before.
    let mut seen: Option<ParentStatus> = None;
    for row in rows {
        let Some(id) = row.parent else {
            chosen.insert(row.id);
            continue;
        };
        if seen.as_ref().is_none_or(|seen| seen.id != id) {
            seen = parent(shared, tenant, id).await?;
        }
        let Some(parent) = &seen else { continue };
        chosen.extend(Story::of(parent).first_of_failed(row.id));
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests;
