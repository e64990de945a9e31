//! What the operator's key opens: the trail of events, the notifications of all tenants, and what
//! its submodules are named after.

pub(super) mod plugins;
pub(super) mod quarantine;
pub(super) mod reload;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequestParts, State},
    http::{HeaderValue, Response, StatusCode, Uri, header, request::Parts},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{
    Shared,
    answer::json,
    auth::{bearer, is_admin, peer},
    json::shorten,
    kinds,
    listing::{read_limit, read_state},
    problem::Problem,
    query::Parameters,
    refusals::store_failed,
    views::NotificationView,
};
use crate::{
    config::Tenant,
    ids::TenantId,
    limits::{ADMIN_TENANTS_PER_PAGE, EVENTS_LIMIT_MAX, LIST_LIMIT_DEFAULT},
    store::{EventLine, EventQuery, ListQuery},
};

/// Somebody with the operator's key.
pub(super) struct Operator;

impl FromRequestParts<Arc<Shared>> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        bearer(&parts.headers)?;
        let expected = shared.api.admin_key_hash.as_ref();
        if is_admin(expected, &parts.headers) {
            shared.audit.admin_used(parts, shared.api.clock.now());
            return Ok(Self);
        }
        shared.audit.refused(kinds::WRONG_KEY, peer(&parts.extensions));
        let detail = match expected {
            Some(_) => "This is for the operator's key only (CONDUCTOR_ADMIN_KEY).",
            None => "No operator's key is set; put CONDUCTOR_ADMIN_KEY into .env and restart.",
        };
        Err(Problem::new(kinds::WRONG_KEY, detail))
    }
}

/// One page of the trail as JSON lines, oldest first.
pub(super) async fn audit(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let after = parameters.take("after", |text| match text.parse() {
        Ok(number @ 0..) => Ok(number),
        _ => Err(format!("\"{}\" is not the number of an event", shorten(text))),
    });
    let limit = parameters.take("limit", |text| match text.parse() {
        Ok(limit @ 1..=EVENTS_LIMIT_MAX) => Ok(limit),
        _ => Err(format!("\"{}\" is not a number from 1 to {EVENTS_LIMIT_MAX}", shorten(text))),
    });
    parameters.finish(&["after", "limit"])?;
    let query = EventQuery {
        tenant: None,
        after: after.unwrap_or(0),
        limit: limit.unwrap_or(EVENTS_LIMIT_MAX),
    };
    let page = shared.api.store.events(query).await.map_err(|error| store_failed(&error))?;
    let mut lines = Vec::new();
    for event in &page.items {
        if serde_json::to_writer(&mut lines, &EventLine::from(event)).is_err() {
            return Err(Problem::new(kinds::INTERNAL, "An event could not be written."));
        }
        lines.push(b'\n');
    }
    let mut response = Response::new(Body::from(lines));
    let ndjson = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(header::CONTENT_TYPE, ndjson);
    Ok(response)
}

/// A tenant's notification in the operator's listing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
struct AdminNotificationView {
    /// Whose it is.
    #[schema(value_type = uuid::Uuid)]
    tenant_id: TenantId,
    /// What the tenant is called.
    tenant_name: String,
    #[serde(flatten)]
    notification: NotificationView,
}

/// One page of the operator's listing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminPage {
    /// By tenants in the order of their ids, and of each tenant the newest first.
    items: Vec<AdminNotificationView>,
    /// For the next page's `cursor`; not there on the last page. A page before the last may be
    /// empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// Where a page begins: in which tenant, and where in its notifications.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Cursor(TenantId, Option<i64>);

/// One page of the notifications of all configured tenants, or of one.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    _operator: Operator,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let mut parameters = Parameters::of(&uri)?;
    let state = parameters.take("status", read_state);
    let only: Option<TenantId> = parameters.take("tenant", |text| {
        text.parse().map_err(|_| format!("\"{}\" is not the id of a tenant", shorten(text)))
    });
    let from = parameters.moment("from");
    let to = parameters.moment("to");
    let cursor = parameters.take("cursor", |text| {
        read_cursor(text).ok_or_else(|| String::from("is not a cursor of a page before"))
    });
    let limit = parameters.take("limit", read_limit).unwrap_or(LIST_LIMIT_DEFAULT);
    parameters.finish(&["status", "tenant", "from", "to", "cursor", "limit"])?;

    let generation = shared.api.current.load();
    let begin = cursor.map_or(TenantId(uuid::Uuid::nil()), |Cursor(tenant, _)| tenant);
    let mut tenants: Vec<&Tenant> = Vec::new();
    for (id, tenant) in generation.config.tenants.range(begin..) {
        if only.is_none_or(|only| only == *id) {
            tenants.push(tenant);
        }
        // One more than is looked at: where the next page begins.
        if tenants.len() > ADMIN_TENANTS_PER_PAGE {
            break;
        }
    }
    let mut within = cursor.and_then(|Cursor(_, within)| within);
    let mut items = Vec::new();
    let mut next = None;
    for (index, tenant) in tenants.iter().enumerate() {
        if items.len() >= limit || index >= ADMIN_TENANTS_PER_PAGE {
            next = Some(Cursor(tenant.id, None));
            break;
        }
        // The place inside a tenant is of no use in the next one, should that tenant be gone.
        let inside = within.take().filter(|_| tenant.id == begin);
        let query = ListQuery {
            tenant: tenant.id,
            state,
            channel: None,
            from,
            to,
            cursor: inside,
            limit: limit - items.len(),
        };
        let page = shared.api.store.list(query).await.map_err(|error| store_failed(&error))?;
        items.extend(page.items.into_iter().map(|row| AdminNotificationView {
            tenant_id: tenant.id,
            tenant_name: tenant.name.to_string(),
            notification: row.into(),
        }));
        if let Some(position) = page.next {
            next = Some(Cursor(tenant.id, Some(position)));
            break;
        }
    }
    Ok(json(StatusCode::OK, &AdminPage { items, next_cursor: next.map(write_cursor) }))
}

fn write_cursor(Cursor(tenant, within): Cursor) -> String {
    let mut bytes = Vec::from(tenant.0.as_bytes().as_slice());
    bytes.extend(within.map(i64::to_be_bytes).into_iter().flatten());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn read_cursor(text: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (tenant, within) = bytes.split_at_checked(16)?;
    let tenant = TenantId(uuid::Uuid::from_slice(tenant).ok()?);
    if within.is_empty() {
        return Some(Cursor(tenant, None));
    }
    Some(Cursor(tenant, Some(i64::from_be_bytes(within.try_into().ok()?))))
}

#[cfg(test)]
mod tests;
