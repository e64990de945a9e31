//! `GET /notifications`: a tenant's notifications, newest first, page by page.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode, Uri},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{
    Shared,
    answer::{STATES, json, state_word},
    auth::Caller,
    json::shorten,
    problem::Problem,
    query::Parameters,
    refusals::store_failed,
    views::{NotificationPage, NotificationView},
};
use crate::{
    ids::TenantId,
    limits::{LIST_LIMIT_DEFAULT, LIST_LIMIT_MAX},
    store::{self, ListQuery},
};

/// One page of the tenant's notifications.
pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response<Body>, Problem> {
    let query = read_query(caller.tenant.id, &uri)?;
    let page = shared.api.store.list(query).await.map_err(|error| store_failed(&error))?;
    let view = NotificationPage {
        items: page.items.into_iter().map(NotificationView::from).collect(),
        next_cursor: page.next.map(write_cursor),
    };
    Ok(json(StatusCode::OK, &view))
}

fn read_query(tenant: TenantId, uri: &Uri) -> Result<ListQuery, Problem> {
    let mut parameters = Parameters::of(uri)?;
    let query = ListQuery {
        tenant,
        state: parameters.take("status", read_state),
        channel: parameters.take("channel", |text| {
            text.parse().map_err(|error: crate::ids::NameError| error.to_string())
        }),
        from: parameters.moment("from"),
        to: parameters.moment("to"),
        cursor: parameters.take("cursor", |text| {
            read_cursor(text).ok_or_else(|| String::from("is not a cursor of a page before"))
        }),
        limit: parameters.take("limit", read_limit).unwrap_or(LIST_LIMIT_DEFAULT),
    };
    parameters.finish(&["status", "channel", "from", "to", "cursor", "limit"])?;
    Ok(query)
}

pub(super) fn read_state(text: &str) -> Result<store::State, String> {
    STATES.iter().copied().find(|state| state_word(*state) == text).ok_or_else(|| {
        let known: Vec<&str> = STATES.iter().map(|state| state_word(*state)).collect();
        format!("\"{}\" is not a status; known are {}", shorten(text), known.join(", "))
    })
}

pub(super) fn read_limit(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(limit @ 1..=LIST_LIMIT_MAX) => Ok(limit),
        _ => Err(format!("\"{}\" is not a number from 1 to {LIST_LIMIT_MAX}", shorten(text))),
    }
}

/// A cursor is opaque, so that its content can change.
pub(super) fn write_cursor(position: i64) -> String {
    URL_SAFE_NO_PAD.encode(position.to_be_bytes())
}

pub(super) fn read_cursor(text: &str) -> Option<i64> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMs;

    fn query(text: &str) -> Result<ListQuery, Problem> {
        let tenant = TenantId(uuid::Uuid::nil());
        read_query(tenant, &format!("/notifications{text}").parse().unwrap())
    }

    #[test]
    fn every_parameter_reaches_its_place() {
        let cursor = write_cursor(-7);
        let found = query(&format!(
            "?status=dead&channel=log&from=2025-11-21T18:40:00%2B01:00&to=2025-11-21T18:40:00+01:00\
             &limit=7&cursor={cursor}"
        ))
        .unwrap();
        assert_eq!(found.state, Some(store::State::Dead));
        assert_eq!(found.channel.unwrap().as_str(), "log");
        assert_eq!(found.from, Some(UnixMs(1_763_746_800_000)));
        assert_eq!(found.to, found.from);
        assert_eq!((found.limit, found.cursor), (7, Some(-7)));
        let empty = query("?status=&cursor=").unwrap();
        assert_eq!((empty.state, empty.cursor, empty.limit), (None, None, LIST_LIMIT_DEFAULT));
    }

    #[test]
    fn all_that_is_wrong_with_a_query_is_said_at_once() {
        let text = "?status=gone&channel=A&from=now&limit=201&cursor=x&stat=1&limit=3";
        let problem = query(text).unwrap_err().to_json();
        let errors = problem["errors"].as_array().unwrap();
        let names: Vec<_> = errors.iter().map(|e| e["parameter"].as_str().unwrap()).collect();
        assert_eq!(names.len(), 7, "{names:?}");
        assert!(names.contains(&"stat") && names.contains(&"limit"));
    }
}
