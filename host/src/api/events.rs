//! `GET /events`: what happens to a tenant's notifications, as server-sent events (WHATWG HTML,
//! section 9.2).
//!
//! The events are those of the store, so a stream that was cut resumes behind the last one that was
//! seen, without a gap. A stream reads a page when the reader has taken the one before: a slow
//! reader costs a page of memory and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Response, request::Parts},
    response::{
        IntoResponse, Sse,
        sse::{self, KeepAlive},
    },
};
use futures_util::stream;
use serde::Serialize;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    auth::Caller,
    json::shorten,
    kinds,
    notification::invalid,
    problem::{FieldError, Problem},
    query::Parameters,
};
use crate::{
    ids::{ChannelName, NotificationId, TenantId},
    limits::{
        EVENT_STREAM_KEEP_ALIVE, EVENT_STREAM_PAGE, EVENT_STREAM_PAUSE, EVENT_STREAMS_MAX,
        EVENT_STREAMS_PER_TENANT_MAX, UNAVAILABLE_RETRY_AFTER,
    },
    store::{Event, EventKind, EventQuery},
};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// nginx would hold events back until a buffer is full.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

/// Streams that are open. Bounded, see [`Streams::enter`].
#[derive(Default)]
pub(super) struct Streams(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: usize,
    of: HashMap<TenantId, usize>,
}

/// One stream's place; given up when it is dropped.
struct Place {
    shared: Arc<Shared>,
    tenant: TenantId,
}

impl Streams {
    fn enter(shared: &Arc<Shared>, tenant: TenantId) -> Result<Place, Problem> {
        let mut open = shared.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = open.of.get(&tenant).copied().unwrap_or(0);
        let detail = if own >= EVENT_STREAMS_PER_TENANT_MAX {
            format!(
                "The tenant has {own} streams open and may have {EVENT_STREAMS_PER_TENANT_MAX}."
            )
        } else if open.all >= EVENT_STREAMS_MAX {
            format!("The host has {EVENT_STREAMS_MAX} streams open, as many as it may.")
        } else {
            open.all += 1;
            open.of.insert(tenant, own + 1);
            return Ok(Place { shared: Arc::clone(shared), tenant });
        };
        Err(Problem::new(kinds::TOO_MANY_STREAMS, detail).retry_after(UNAVAILABLE_RETRY_AFTER))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.shared.streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(own) = open.of.get_mut(&self.tenant) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.of.remove(&self.tenant);
            }
        }
    }
}

/// Follows the tenant's events.
pub(super) async fn follow(
    State(shared): State<Arc<Shared>>,
    caller: Caller,
    request: Request,
) -> Result<Response<Body>, Problem> {
    let (parts, _) = request.into_parts();
    let last = shared.api.store.last_event();
    let newest = *last.borrow();
    let after = read_start(&parts, newest)?.unwrap_or(newest);
    let tenant = caller.tenant.id;
    let stream = Stream {
        place: Streams::enter(&shared, tenant)?,
        published: shared.api.current.subscribe(),
        generation: caller.generation.number,
        parts,
        last,
        after,
        looked: after,
        page: VecDeque::new(),
        next_read: Instant::now(),
    };
    let events = stream::unfold(stream, Stream::next);
    let keep_alive = KeepAlive::new().interval(EVENT_STREAM_KEEP_ALIVE).text("still here");
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let (name, value) = NO_BUFFERING;
    response.headers_mut().insert(name, value);
    Ok(response)
}

/// The event to go on after: of `Last-Event-ID`, which a browser sends when it comes back, or else
/// of `after`.
fn read_start(parts: &Parts, newest: i64) -> Result<Option<i64>, Problem> {
    let check = |text: &str| match text.trim().parse() {
        Ok(number) if (0..=newest).contains(&number) => Ok(number),
        Ok(_) => Err(format!("is not the number of an event yet; the newest is {newest}")),
        Err(_) => Err(format!("\"{}\" is not the number of an event", shorten(text))),
    };
    let mut parameters = Parameters::of(&parts.uri)?;
    let after = parameters.take("after", check);
    parameters.finish(&["after"])?;
    let wrong = |detail: String| invalid(vec![FieldError::header("Last-Event-ID", detail)]);
    match last_event_id(&parts.headers) {
        None => Ok(after),
        Some(Ok(text)) => check(text).map(Some).map_err(wrong),
        Some(Err(())) => Err(wrong(String::from("has characters outside of ASCII"))),
    }
}

fn last_event_id(headers: &HeaderMap) -> Option<Result<&str, ()>> {
    let text = headers.get(LAST_EVENT_ID)?.to_str().map_err(|_| ());
    // Empty is what a client sends that has seen no event (WHATWG HTML, section 9.2.4).
    Some(text).filter(|text| text.is_err() || text.is_ok_and(|text| !text.is_empty()))
}

/// A stream between two events.
struct Stream {
    place: Place,
    /// The head of the request, to look at again when keys may have changed.
    parts: Parts,
    last: watch::Receiver<i64>,
    published: watch::Receiver<u64>,
    /// In which the caller's right was last looked at.
    generation: u64,
    /// The last event that was given.
    after: i64,
    /// Up to where the store was asked.
    looked: i64,
    page: VecDeque<Event>,
    next_read: Instant,
}

impl Stream {
    /// The next event, when there is one; none when the stream ends.
    async fn next(mut self) -> Option<(Result<sse::Event, Infallible>, Self)> {
        loop {
            if let Some(event) = self.page.pop_front() {
                self.after = event.seq;
                return Some((Ok(written(&event)), self));
            }
            if self.is_over() {
                return None;
            }
            if *self.last.borrow_and_update() > self.looked {
                self.read().await?;
            } else {
                self.wait().await?;
            }
        }
    }

    /// Whether the host goes down, or a reload has taken the caller's right away.
    fn is_over(&mut self) -> bool {
        let api = &self.place.shared.api;
        if api.stopping.is_cancelled() {
            return true;
        }
        let generation = *self.published.borrow_and_update();
        if std::mem::replace(&mut self.generation, generation) == generation {
            return false;
        }
        let caller = Caller::identify(api.current.load(), &self.parts);
        caller.ok().is_none_or(|(caller, _)| caller.tenant.id != self.place.tenant)
    }

    /// Reads the next page.
    async fn read(&mut self) -> Option<()> {
        let api = &self.place.shared.api;
        tokio::select! {
            () = sleep_until(self.next_read) => {}
            () = api.stopping.cancelled() => return None,
        }
        // What comes after this look is looked for again.
        let newest = *self.last.borrow_and_update();
        let query = EventQuery {
            tenant: Some(self.place.tenant),
            after: self.after,
            limit: EVENT_STREAM_PAGE,
        };
        let page = match api.store.events(query).await {
            Ok(page) => page,
            Err(error) => {
                // The client comes back and resumes where it was.
                tracing::warn!(%error, "a stream of events ended");
                return None;
            }
        };
        self.looked = page.next.unwrap_or(newest);
        self.page = page.items.into();
        self.next_read = Instant::now() + EVENT_STREAM_PAUSE;
        Some(())
    }

    /// Waits until there may be more, or until something changes that ends the stream.
    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            changed = self.last.changed() => changed.ok(),
            changed = self.published.changed() => changed.ok(),
            () = self.place.shared.api.stopping.cancelled() => None,
        }
    }
}

/// The data of an event.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventView {
    /// Its number; they rise, and other tenants' are between them.
    seq: i64,
    /// When.
    at: String,
    /// notification.accepted, .delivered, .retrying, .dead, .cancelled, .replayed, .purged or .lost;
    /// key-used, admin, security, security.context-mismatch, plugin.quarantined or plugin.released.
    r#type: String,
    /// Which notification or parent it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    notification_id: Option<NotificationId>,
    /// Its channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    channel: Option<ChannelName>,
    /// The number of the attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempt: Option<u32>,
    /// The attempt's outcome, or what was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

fn written(event: &Event) -> sse::Event {
    let name = name_of(event.kind);
    let view = EventView {
        seq: event.seq,
        at: event.at.rfc3339(),
        r#type: name.clone(),
        notification_id: event.notification,
        channel: event.channel.clone(),
        attempt: Some(event.attempt).filter(|attempt| *attempt > 0),
        detail: event.detail.as_deref().map(String::from),
    };
    // Texts and numbers on one line: there is nothing that JSON could not say.
    let data = serde_json::to_string(&view).unwrap_or_default();
    sse::Event::default().id(event.seq.to_string()).event(name).data(data)
}

fn name_of(kind: EventKind) -> String {
    match kind {
        EventKind::Accepted
        | EventKind::Delivered
        | EventKind::Retrying
        | EventKind::Dead
        | EventKind::Cancelled
        | EventKind::Replayed
        | EventKind::Lost
        | EventKind::Purged => format!("notification.{}", kind.word()),
        EventKind::Reload
        | EventKind::KeyUsed
        | EventKind::Admin
        | EventKind::Security
        | EventKind::Host
        | EventKind::Quarantined
        | EventKind::Released
        | EventKind::RolledBack
        | EventKind::ContextMismatch => String::from(kind.word()),
    }
}

#[cfg(test)]
mod tests;
