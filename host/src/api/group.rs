//! One request that becomes several notifications: it goes to several channels, or on to others when
//! the first has given up. The caller is told the id of the parent, and the parent's answer tells
//! how it went in each branch.

use std::time::Duration;

use axum::{
    body::Body,
    http::{Response, StatusCode, header},
};

use super::{
    Shared,
    answer::{Accepted, cancelled, json, kind_of_end, location, state_word},
    auth::Caller,
    group_view::{BranchView, Story},
    kinds,
    notification::{Wanted, priority_word},
    notify::{new_notification, repeat, used_before, wait_for},
    problem::Problem,
    refusals::store_failed,
};
use crate::{
    clock::UnixMs,
    config::{Channel, Tenant},
    envelope::Envelope,
    ids::NotificationId,
    store::{Idempotency, NewGroup, NewNotification, ParentStatus, Priority, State},
};

/// What is to be accepted.
pub(super) struct Asked<'a> {
    pub(super) wanted: &'a Wanted,
    /// One branch for each.
    pub(super) channels: &'a [&'a Channel],
    pub(super) key: Option<Idempotency>,
    pub(super) wait: Duration,
    pub(super) now: UnixMs,
}

/// Accepts a group and waits for its end, as [`super::notify`] does for one notification.
pub(super) async fn accept(
    shared: &Shared,
    caller: &Caller,
    asked: Asked<'_>,
) -> Result<Response<Body>, Problem> {
    let Asked { wanted, channels, key, wait, now } = asked;
    let id = NotificationId::generate();
    // Everything that can miss the end is in place before the end can come.
    let waiter = (!wait.is_zero()).then(|| shared.api.outcomes.register(id));
    let place = key.as_ref().map(|_| shared.answering.enter(id));

    let group = new_group(caller, channels, wanted, key, id, now);
    let at_first: Vec<BranchView> = group.children.iter().map(BranchView::begun).collect();
    let enqueued = shared.api.store.enqueue_groups(vec![group]).await;
    if let Some((first, same_body)) = used_before(shared, caller, enqueued, channels.len())? {
        drop((place, waiter));
        return repeat(shared, caller, first, same_body).await;
    }
    let about = About {
        tenant: &caller.tenant,
        id,
        message: &wanted.envelope.message,
        priority: wanted.priority,
        created: now,
    };
    if let Some(waiter) = waiter {
        // However it was told, the record says it better: by branches.
        wait_for(shared, waiter, wait).await;
        // It is on disk; that its state cannot be read now does not change that.
        if let Ok(Some(parent)) = shared.api.store.parent(caller.tenant.id, id).await {
            return about.stands(shared, &parent).await;
        }
    }
    Ok(about.good(StatusCode::ACCEPTED, "queued", at_first, None))
}

/// The group as the store takes it.
pub(super) fn new_group(
    caller: &Caller,
    channels: &[&Channel],
    wanted: &Wanted,
    idempotency: Option<Idempotency>,
    id: NotificationId,
    now: UnixMs,
) -> NewGroup {
    let mut children: Vec<NewNotification> = Vec::with_capacity(channels.len());
    for channel in channels {
        let id = NotificationId::generate();
        let child = match children.first() {
            // What is written is the same for all and is written once.
            Some(first) => NewNotification {
                id,
                lane: crate::store::Lane {
                    tenant: caller.tenant.id,
                    channel: channel.name.clone(),
                },
                ..first.clone()
            },
            None => new_notification(caller, channel, wanted, None, id, now),
        };
        children.push(child);
    }
    NewGroup {
        id,
        tenant: caller.tenant.id,
        idempotency,
        // The children have all of it.
        payload: bytes::Bytes::new(),
        live_max: caller.tenant.limits.queue_max,
        children,
    }
}

/// Answers a request whose key was used before, for a group or for what is not kept any more.
pub(super) async fn again(
    shared: &Shared,
    tenant: &Tenant,
    first: NotificationId,
) -> Result<Response<Body>, Problem> {
    let parent = shared.api.store.parent(tenant.id, first).await;
    let parent = parent.map_err(|error| store_failed(&error))?;
    let Some((parent, child)) = parent.and_then(|parent| {
        let child = parent.children.first()?.row.clone();
        Some((parent, child))
    }) else {
        return Err(Problem::new(
            kinds::STATE_CONFLICT,
            "The key was used before, and the notification it made is not kept any more.",
        )
        .with("id", first.to_string()));
    };
    let status = shared.api.store.status(tenant.id, child.id).await;
    let payload = status.map_err(|error| store_failed(&error))?.map(|status| status.payload);
    let envelope = payload.and_then(|payload| Envelope::decode(&payload).ok()).unwrap_or_default();
    let about = About {
        tenant,
        id: first,
        message: &envelope.message,
        priority: child.priority,
        created: parent.created,
    };
    about.stands(shared, &parent).await
}

/// What an answer repeats.
struct About<'a> {
    tenant: &'a Tenant,
    id: NotificationId,
    message: &'a str,
    priority: Priority,
    created: UnixMs,
}

impl About<'_> {
    /// The answer for how a parent stands: 202 while a branch is open, 200 if anything was
    /// delivered, else the problem that it ended with.
    async fn stands(
        &self,
        shared: &Shared,
        parent: &ParentStatus,
    ) -> Result<Response<Body>, Problem> {
        let story = Story::of(parent);
        let branches = story.branches();
        if parent.open > 0 {
            return Ok(self.good(StatusCode::ACCEPTED, story.open_word(), branches, None));
        }
        if parent.delivered > 0 {
            let provider_id = story.only().and_then(|row| row.provider_id.as_deref());
            return Ok(self.good(StatusCode::OK, story.word(), branches, provider_id));
        }
        Err(self.bad(shared, &story, branches).await)
    }

    fn good(
        &self,
        code: StatusCode,
        status: &'static str,
        branches: Vec<BranchView>,
        provider_id: Option<&str>,
    ) -> Response<Body> {
        let only = match branches.as_slice() {
            [only] => Some(only.channel.clone()),
            _ => None,
        };
        let body = Accepted {
            success: status != "partial",
            id: self.id,
            tenant_id: self.tenant.id,
            tenant_name: &self.tenant.name,
            channel: only.as_ref().map(crate::ids::ChannelName::as_str),
            message: self.message,
            priority: priority_word(self.priority),
            timestamp: self.created.rfc3339(),
            status,
            provider_id,
            channels: branches,
        };
        let mut response = json(code, &body);
        if code == StatusCode::ACCEPTED {
            response.headers_mut().insert(header::LOCATION, location(self.id));
        }
        response
    }

    /// Nothing was delivered: of the kind that all branches have in common.
    async fn bad(&self, shared: &Shared, story: &Story<'_>, branches: Vec<BranchView>) -> Problem {
        let dead: Vec<_> = story.deciding().filter(|row| row.state == State::Dead).collect();
        if dead.is_empty() {
            return cancelled(self.id).with("channels", as_value(&branches));
        }
        let mut kind = None;
        let mut last = None;
        for row in &dead {
            let status = shared.api.store.status(self.tenant.id, row.id).await.ok().flatten();
            let attempt = status.and_then(|status| status.attempts.into_iter().next_back());
            let attempt = attempt.map(|(_, _, attempt)| attempt);
            let (found, _) = kind_of_end(attempt.as_ref().map_or("", |one| &*one.outcome));
            let common = kind.is_none_or(|kind| kind == found);
            kind = Some(if common { found } else { kinds::DELIVERY_FAILED });
            last = attempt;
        }
        let detail = match dead.as_slice() {
            [only] => match &only.last_error {
                Some(error) => format!("The channel \"{}\" gave it up: {error}", only.lane.channel),
                None => format!("The channel \"{}\" gave it up.", only.lane.channel),
            },
            all => format!("None of its {} channels could deliver it.", all.len()),
        };
        let problem = Problem::new(kind.unwrap_or(kinds::DELIVERY_FAILED), detail)
            .with("id", self.id.to_string())
            .with("notificationStatus", state_word(State::Dead))
            .with("channels", as_value(&branches))
            .header(header::LOCATION, location(self.id));
        match last.filter(|_| dead.len() == 1) {
            Some(attempt) => {
                let problem = problem.with("outcome", attempt.outcome);
                match attempt.code {
                    Some(code) => problem.with("code", code),
                    None => problem,
                }
            }
            None => problem,
        }
    }
}

fn as_value(branches: &[BranchView]) -> serde_json::Value {
    // Names, ids and texts: there is nothing that JSON could not say.
    serde_json::to_value(branches).unwrap_or_default()
}

#[cfg(test)]
mod tests;
