//! `POST /notifications`: check, accept, and wait for the outcome as long as the caller wants to.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, header},
    response::IntoResponse,
};
use bytes::Bytes;

use super::{
    Shared,
    answer::{About, of_status},
    auth::Caller,
    body, group, idempotency, json, kinds,
    lookup::{To, prepare},
    notification::Wanted,
    prefer::Prefer,
    problem::Problem,
    refusals::store_failed,
};
use crate::{
    clock::UnixMs,
    config::Channel,
    ids::NotificationId,
    limits::{BUSY_RETRY_AFTER, REQUEST_BODY_BYTES_MAX, UNAVAILABLE_RETRY_AFTER},
    outcomes::{Ending, Waiter},
    store::{Enqueued, Idempotency, Lane, NewNotification, StoreError},
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const IDEMPOTENCY_REPLAY: HeaderName = HeaderName::from_static("idempotency-replay");

/// [`notify`] without a router.
pub(super) async fn direct(shared: Arc<Shared>, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let answered = match Caller::from_request_parts(&mut parts, &shared).await {
        Ok(caller) => notify(State(shared), caller, Request::from_parts(parts, body)).await,
        Err(problem) => Err(problem),
    };
    answered.unwrap_or_else(IntoResponse::into_response)
}

/// Accepts a notification.
pub(super) async fn notify(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let limits = &caller.tenant.limits;
    let left = shared.rates.check(&caller.generation, caller.tenant.id, limits)?;
    let (parts, body) = request.into_parts();
    let text = body::read_json(&parts.headers, body, REQUEST_BODY_BYTES_MAX).await?;
    let prefer = Prefer::read(&parts.headers);
    let result = accept(&shared, &caller, &parts.headers, &text, prefer).await;
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("prefer"));
    if let Some(applied) = prefer.applied() {
        headers.insert(PREFERENCE_APPLIED, applied);
    }
    if let Some(left) = left {
        left.put_on(headers);
    }
    Ok(response)
}

async fn accept(
    shared: &Shared,
    caller: &Caller,
    headers: &HeaderMap,
    text: &Bytes,
    prefer: Prefer,
) -> Result<Response<Body>, Problem> {
    let now = shared.api.clock.now();
    let (wanted, to) = prepare(caller, json::parse(text)?, now)?;
    let key = idempotency::read(headers, text)?;
    let wait = patience(&wanted, now, prefer);
    let channel = match to {
        To::One(channel) => channel,
        To::Group(channels) => {
            let asked = group::Asked { wanted: &wanted, channels: &channels, key, wait, now };
            // Boxed, so that the common case need not carry the room for it.
            return Box::pin(group::accept(shared, caller, asked)).await;
        }
    };

    let id = NotificationId::generate();
    // Everything that can miss the end is in place before the end can come.
    let waiter = (!wait.is_zero()).then(|| shared.api.outcomes.register(id));
    let place = key.as_ref().map(|_| shared.answering.enter(id));

    let new = new_notification(caller, channel, &wanted, key, id, now);
    let enqueued = shared.api.store.enqueue(vec![new]).await;
    if let Some((first, same_body)) = used_before(shared, caller, enqueued, 1)? {
        drop((place, waiter));
        return repeat(shared, caller, first, same_body).await;
    }
    let about = About {
        tenant: &caller.tenant,
        id,
        channel: channel.name.as_str(),
        message: &wanted.envelope.message,
        priority: wanted.priority,
        created: now,
    };
    let Some(waiter) = waiter else { return Ok(about.pending("queued")) };
    match wait_for(shared, waiter, wait).await {
        Some(ending) => about.ended(&ending),
        None => match shared.api.store.status(caller.tenant.id, id).await {
            Ok(Some(status)) => of_status(&caller.tenant, &status),
            // It is on disk; that its state cannot be read now does not change that.
            Ok(None) | Err(_) => Ok(about.pending("queued")),
        },
    }
}

/// What became of an accept of one request, of `count` notifications: the first one with its key, and
/// whether that was for the same body, if the key was used before.
///
/// # Errors
/// Why nothing was accepted.
pub(super) fn used_before(
    shared: &Shared,
    caller: &Caller,
    enqueued: Result<Vec<Enqueued>, StoreError>,
    count: usize,
) -> Result<Option<(NotificationId, bool)>, Problem> {
    match enqueued.map_err(|error| store_failed(&error))?.pop() {
        Some(Enqueued::Accepted) => {
            shared.api.metrics.accepted(u64::try_from(count).unwrap_or(u64::MAX));
            Ok(None)
        }
        Some(Enqueued::Duplicate { id, same_body }) => Ok(Some((id, same_body))),
        Some(Enqueued::OverQuota { live }) => Err(queue_full(live, caller)),
        None => Err(store_failed(&StoreError::Unknown(String::from("it said nothing")))),
    }
}

/// How long to wait: not at all for what is not due before the wait would be over.
fn patience(wanted: &Wanted, now: UnixMs, prefer: Prefer) -> Duration {
    let wait = prefer.wait();
    match wanted.send_at {
        Some(due) if due >= now.after(wait) => Duration::ZERO,
        _ => wait,
    }
}

/// The notification as the store takes it.
pub(super) fn new_notification(
    caller: &Caller,
    channel: &Channel,
    wanted: &Wanted,
    idempotency: Option<Idempotency>,
    id: NotificationId,
    now: UnixMs,
) -> NewNotification {
    NewNotification {
        id,
        lane: Lane { tenant: caller.tenant.id, channel: channel.name.clone() },
        priority: wanted.priority,
        due: wanted.send_at.map_or(now, |due| due.max(now)),
        expires: wanted.expires_at,
        idempotency,
        payload: wanted.envelope.encode(),
        live_max: caller.tenant.limits.queue_max,
        parent: None,
        ordering_key: wanted.ordering_key.clone(),
    }
}

/// The end, if it comes in time and before the host goes down.
pub(super) async fn wait_for(
    shared: &Shared,
    mut waiter: Waiter,
    wait: Duration,
) -> Option<Ending> {
    let _waiting = shared.api.metrics.waiting();
    tokio::time::timeout(wait, waiter.ending()).await.ok().flatten()
}

/// Answers a request whose key was used before.
pub(super) async fn repeat(
    shared: &Shared,
    caller: &Caller,
    first: NotificationId,
    same_body: bool,
) -> Result<Response<Body>, Problem> {
    if !same_body {
        return Err(reused_key(first));
    }
    if shared.answering.contains(first) {
        return Err(Problem::new(
            kinds::IDEMPOTENCY_IN_PROGRESS,
            "The first request with this key has not been answered yet. Try again.",
        )
        .with("id", first.to_string())
        .retry_after(BUSY_RETRY_AFTER));
    }
    let status = shared.api.store.status(caller.tenant.id, first).await;
    let result = match status.map_err(|error| store_failed(&error))? {
        Some(status) => of_status(&caller.tenant, &status),
        None => Box::pin(group::again(shared, &caller.tenant, first)).await,
    };
    let mut response = result.unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().insert(IDEMPOTENCY_REPLAY, HeaderValue::from_static("true"));
    Ok(response)
}

/// Same key, other body.
pub(super) fn reused_key(first: NotificationId) -> Problem {
    Problem::new(
        kinds::IDEMPOTENCY_KEY_REUSED,
        "The key was used for a request with another body. Use a new key for a new request.",
    )
    .with("id", first.to_string())
}

/// The tenant has as many live notifications as it may.
pub(super) fn queue_full(live: u64, caller: &Caller) -> Problem {
    let max = caller.tenant.limits.queue_max;
    Problem::new(
        kinds::QUEUE_FULL,
        format!("The tenant has {live} live notifications and may have {max}; nothing was stored."),
    )
    .with("live", live)
    .with("liveMax", max)
    .retry_after(UNAVAILABLE_RETRY_AFTER)
}

#[cfg(test)]
mod tests;
