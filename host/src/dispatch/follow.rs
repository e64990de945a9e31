//! What follows from the end of an attempt: another channel takes over, and those who asked are told.
//!
//! Both are notifications of their own, which the store accepts in the transaction that settles the
//! one they follow from. So neither can be lost, and neither happens twice.

use std::time::Duration;

use serde::Serialize;

use super::{delivery::Completed, policy};
use crate::{
    clock::UnixMs,
    config::{CallbackEvent, Channel, Tenant},
    envelope::{CallbackTo, Envelope, FallbackStep},
    generation::Generation,
    ids::{ChannelName, NotificationId, TenantId},
    limits,
    store::{Attempt, Lane, NewNotification, Priority},
};

/// What became of the notification.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Became {
    Delivered,
    Retrying,
    Dead,
}

/// Whether another channel would take over.
pub(super) fn has_next(channel: &Channel, envelope: &Envelope) -> bool {
    !envelope.fallback.is_empty()
        || (envelope.took_over_from.is_empty() && !channel.fallback.is_empty())
}

/// When another channel takes over although this one may still have attempts.
pub(super) fn budget_end(envelope: &Envelope, since: UnixMs) -> Option<UnixMs> {
    let after_ms = envelope.fallback.first()?.after_ms?;
    Some(since.after(Duration::from_millis(after_ms)))
}

/// What follows from an attempt, and which of it takes over.
#[derive(Default)]
pub(super) struct Following {
    pub(super) new: Vec<NewNotification>,
    pub(super) takes_over: Option<NotificationId>,
}

/// Finds what follows. The common case, a delivery that nobody asked about, reads nothing.
pub(super) fn of(
    generation: &Generation,
    completed: &Completed,
    attempt: &Attempt,
    became: Became,
    now: UnixMs,
) -> Following {
    let mut following = Following::default();
    let lane = &completed.leased.lane;
    let Some(tenant) = generation.config.tenants.get(&lane.tenant) else { return following };
    let channel = tenant.channels.get(&lane.channel);
    let configured = channel.is_some_and(|channel| !channel.fallback.is_empty());
    let dead = became == Became::Dead;
    let nothing_asked =
        tenant.callbacks.is_empty() && !completed.asks_for_more && !(dead && configured);
    if lane.channel.is_callbacks() || nothing_asked {
        return following;
    }
    let Ok(envelope) = Envelope::decode(&completed.leased.payload) else { return following };
    if dead && may_take_over(attempt, completed) {
        let fallback = channel.map_or(&[][..], |channel| &channel.fallback);
        if let Some(new) = next_channel(tenant, fallback, completed, &envelope, now) {
            following.takes_over = Some(new.id);
            following.new.push(new);
        }
    }
    let event = match became {
        Became::Delivered => CallbackEvent::Delivered,
        Became::Dead if following.takes_over.is_none() => CallbackEvent::Failed,
        // Another channel is another attempt.
        Became::Dead | Became::Retrying => CallbackEvent::Retrying,
    };
    for to in receivers(tenant, &envelope, event) {
        following.new.push(callback(to, completed, attempt, event, now));
    }
    following
}

/// Not where another channel would deliver too late, or a second time what is rather never delivered
/// than twice.
fn may_take_over(attempt: &Attempt, completed: &Completed) -> bool {
    match &*attempt.outcome {
        "expired" => false,
        "unknown" => policy::may_repeat(&completed.policy, completed.deduplicates),
        _ => true,
    }
}

/// The notification for the next channel that there is.
fn next_channel(
    tenant: &Tenant,
    configured: &[ChannelName],
    completed: &Completed,
    envelope: &Envelope,
    now: UnixMs,
) -> Option<NewNotification> {
    let leased = &completed.leased;
    let mut steps = envelope.fallback.clone();
    if steps.is_empty() && envelope.took_over_from.is_empty() {
        let step =
            |channel: &ChannelName| FallbackStep { channel: channel.clone(), after_ms: None };
        steps = configured.iter().map(step).collect();
    }
    let mut took_over_from = envelope.took_over_from.clone();
    took_over_from.push(leased.lane.channel.clone());
    if took_over_from.len() >= limits::FALLBACK_STEPS_MAX {
        return None;
    }
    let usable = |step: &FallbackStep| {
        tenant.channels.contains_key(&step.channel) && !took_over_from.contains(&step.channel)
    };
    let next = steps.iter().position(usable)?;
    // A budget counts from where its channel begins; the steps that were left out had none to use.
    let mut left = steps.split_off(next);
    let step = left.remove(0);
    let envelope = Envelope { fallback: left, took_over_from, send_at: None, ..envelope.clone() };
    Some(NewNotification {
        id: NotificationId::generate(),
        lane: Lane { tenant: leased.lane.tenant, channel: step.channel },
        priority: leased.token.priority,
        due: now,
        expires: leased.expires,
        idempotency: None,
        payload: envelope.encode(),
        // What has been accepted once is not refused later.
        live_max: u64::MAX,
        parent: leased.parent,
        ordering_key: None,
    })
}

/// Who is told of `event`.
fn receivers(tenant: &Tenant, envelope: &Envelope, event: CallbackEvent) -> Vec<CallbackTo> {
    let mut all: Vec<CallbackTo> = tenant
        .callbacks
        .iter()
        .filter(|callback| callback.events.contains(&event))
        .filter_map(|callback| callback.url.as_ref())
        .map(|url| CallbackTo { url: url.to_string(), requested: false })
        .collect();
    let requested = envelope.callback_url.as_ref();
    if let Some(url) = requested.filter(|url| all.iter().all(|to| to.url != **url))
        && let Some(callback) = tenant.callback_for(url, true)
        && callback.events.contains(&event)
    {
        all.push(CallbackTo { url: url.clone(), requested: true });
    }
    all
}

/// The body of a callback: the members that Standard Webhooks 1.0.0 recommends.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: String,
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    id: NotificationId,
    tenant_id: TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<NotificationId>,
    channel: &'a ChannelName,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'a str>,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    attempts: u32,
}

fn callback(
    to: CallbackTo,
    completed: &Completed,
    attempt: &Attempt,
    event: CallbackEvent,
    now: UnixMs,
) -> NewNotification {
    let leased = &completed.leased;
    let payload = Payload {
        r#type: format!("notification.{}", event.as_str()),
        timestamp: now.rfc3339(),
        data: Data {
            id: leased.id,
            tenant_id: leased.lane.tenant,
            parent_id: leased.parent,
            channel: &leased.lane.channel,
            status: match event {
                CallbackEvent::Delivered => "delivered",
                CallbackEvent::Failed => "dead",
                CallbackEvent::Retrying => "retrying",
            },
            provider_id: attempt.provider_id.as_deref(),
            outcome: &attempt.outcome,
            code: attempt.code.as_deref(),
            detail: attempt.detail.as_deref(),
            attempts: leased.token.attempt,
        },
    };
    let envelope = Envelope {
        // Texts, numbers and names: there is nothing that JSON could not say.
        message: serde_json::to_string(&payload).unwrap_or_default(),
        target_id: Some(to.url.clone()),
        callback: Some(to),
        ..Envelope::default()
    };
    NewNotification {
        id: NotificationId::generate(),
        lane: Lane { tenant: leased.lane.tenant, channel: ChannelName::callbacks() },
        priority: Priority::Normal,
        due: now,
        expires: Some(now.after(limits::RETRY_SPAN)),
        idempotency: None,
        payload: envelope.encode(),
        live_max: u64::MAX,
        parent: None,
        ordering_key: None,
    }
}

#[cfg(test)]
mod tests;
