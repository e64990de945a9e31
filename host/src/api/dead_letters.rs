//! Which dead letters a request is about that replays or purges a range of them.

use axum::extract::Request;
use serde_json::Value;

use super::{
    Shared,
    auth::Caller,
    body,
    fields::Fields,
    json::parse,
    listing::read_cursor,
    notification::invalid,
    problem::{FieldError, Problem},
    refusals::store_failed,
};
use crate::{
    ids::{ChannelName, NameError, TenantId},
    limits::{DEAD_LETTERS_LIMIT_DEFAULT, LIST_LIMIT_MAX, REQUEST_BODY_BYTES_MAX},
    store::{self, ListQuery, Page, Row},
};

/// The dead letters that `request` is about, newest first.
///
/// # Errors
/// 429, what is wrong with the body, or that the store cannot be read.
pub(super) async fn chosen(
    shared: &Shared,
    caller: &Caller,
    request: Request,
) -> Result<Page<Row>, Problem> {
    let tenant = caller.tenant.id;
    shared.rates.check(&caller.generation, tenant, &caller.tenant.limits)?;
    let (parts, body) = request.into_parts();
    let text = body::read_json(&parts.headers, body, REQUEST_BODY_BYTES_MAX).await?;
    let query = read_range(tenant, parse(&text)?)?;
    shared.api.store.list(query).await.map_err(|error| store_failed(&error))
}

/// Reads which dead letters a request is about.
///
/// # Errors
/// A 400 with all that is wrong.
fn read_range(tenant: TenantId, value: Value) -> Result<ListQuery, Problem> {
    let mut errors = Vec::new();
    let query = read_fields(tenant, value, &mut errors);
    match query {
        Some(query) if errors.is_empty() => Ok(query),
        _ => Err(invalid(errors)),
    }
}

fn read_fields(tenant: TenantId, value: Value, errors: &mut Vec<FieldError>) -> Option<ListQuery> {
    const KNOWN: &[&str] = &["status", "channel", "from", "to", "limit", "cursor"];
    let mut fields = Fields::of(value, String::new(), errors)?;
    // Asked for although there is one choice: that it is about the dead must be said.
    let state = fields.required_text("status", 16).and_then(|word| match word.as_str() {
        "dead" => Some(store::State::Dead),
        _ => {
            fields.error("status", "is not \"dead\", the only status that such a range is of");
            None
        }
    });
    let channel = fields.text("channel", 256).and_then(|name| {
        let parsed: Result<ChannelName, NameError> = name.parse();
        parsed.map_err(|error| fields.error("channel", error.to_string())).ok()
    });
    let from = fields.moment("from");
    let to = fields.moment("to");
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        fields.error("to", "is not later than /from");
    }
    let limit = match fields.take("limit") {
        None => DEAD_LETTERS_LIMIT_DEFAULT,
        Some(value) => match value.as_u64().and_then(|limit| usize::try_from(limit).ok()) {
            Some(limit @ 1..=LIST_LIMIT_MAX) => limit,
            _ => {
                fields.error("limit", format!("is not a number from 1 to {LIST_LIMIT_MAX}"));
                return None;
            }
        },
    };
    let cursor = fields.text("cursor", 64).and_then(|text| {
        let cursor = read_cursor(&text);
        if cursor.is_none() {
            fields.error("cursor", "is not the nextCursor of an answer before");
        }
        cursor
    });
    fields.finish(KNOWN, &[]);
    Some(ListQuery { tenant, state: Some(state?), channel, from, to, cursor, limit })
}

#[cfg(test)]
mod tests;
