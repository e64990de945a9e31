//! How notifications and their attempts are shown.

use serde::Serialize;

use super::{answer::state_word, notification::priority_word};
use crate::{
    envelope::Envelope,
    ids::{ChannelName, NotificationId},
    store::{Attempt, Row, Status},
};

/// A notification in a listing.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationView {
    /// Its id (UUIDv7).
    #[schema(value_type = uuid::Uuid)]
    id: NotificationId,
    /// Its channel.
    channel: String,
    /// queued, sending, retrying, delivered, dead or cancelled.
    status: &'static str,
    /// low, normal, high or urgent.
    priority: &'static str,
    /// When it was accepted.
    created_at: String,
    /// When it last changed.
    updated_at: String,
    /// Attempts that were begun, since the last replay.
    attempt_count: u32,
    /// How often it was replayed.
    replay_count: u32,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// What the last failed attempt said.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// The parent, if the request that made it went to several channels or has a fallback.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    parent_id: Option<NotificationId>,
}

impl From<Row> for NotificationView {
    fn from(row: Row) -> Self {
        Self {
            id: row.id,
            channel: row.lane.channel.to_string(),
            status: state_word(row.state),
            priority: priority_word(row.priority),
            created_at: row.created.rfc3339(),
            updated_at: row.updated.rfc3339(),
            attempt_count: row.attempts,
            replay_count: row.generation,
            provider_id: row.provider_id,
            error: row.last_error,
            parent_id: row.parent,
        }
    }
}

/// A notification with all there is to know about it.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationDetail {
    #[serde(flatten)]
    notification: NotificationView,
    /// When the next attempt is due, while there is one to come.
    #[serde(skip_serializing_if = "Option::is_none")]
    due_at: Option<String>,
    /// The notification at the head of its `orderingKey`, while this one waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<uuid::Uuid>)]
    blocked_by: Option<NotificationId>,
    /// Of the attempts that have ended since the last replay, those that the channel's retry policy
    /// counts (`counts` of each): what is compared with its `attempts`.
    attempts_counted: usize,
    /// The channels that have given up before this one took over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    took_over_from: Vec<ChannelName>,
    /// The message.
    message: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// To whom or where.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    /// Every attempt, oldest first.
    attempts: Vec<AttemptView>,
}

impl From<Status> for NotificationDetail {
    fn from(status: Status) -> Self {
        let envelope = Envelope::decode(&status.payload).unwrap_or_default();
        let since_replay =
            status.attempts.iter().filter(|(replay, ..)| *replay == status.row.generation);
        let attempts_counted = since_replay.filter(|(.., attempt)| attempt.counts).count();
        Self {
            attempts_counted,
            notification: status.row.into(),
            due_at: status.due.map(crate::clock::UnixMs::rfc3339),
            blocked_by: status.blocked_by,
            took_over_from: envelope.took_over_from,
            message: envelope.message,
            title: envelope.title,
            target_id: envelope.target_id,
            attempts: status.attempts.into_iter().map(AttemptView::of).collect(),
        }
    }
}

/// One attempt.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AttemptView {
    /// 0, or which replay it belongs to.
    replay: u32,
    /// From 1 in each replay.
    number: u32,
    /// Whether it is one of those that the retry policy allows. It is not where the provider itself
    /// said when to come back, as with a 429: time is the bound then.
    counts: bool,
    /// When the plugin was called.
    started_at: String,
    /// How long it took.
    took_ms: u32,
    /// delivered, accepted, rejected, misconfigured, retry, unknown, moved, crashed, timeout, limit,
    /// unavailable, expired or lost.
    outcome: String,
    /// The provider's or plugin's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// One sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// Which file ran.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
}

impl AttemptView {
    fn of((replay, number, attempt): (u32, u32, Attempt)) -> Self {
        Self {
            replay,
            number,
            counts: attempt.counts,
            started_at: attempt.started.rfc3339(),
            took_ms: attempt.took_ms,
            outcome: attempt.outcome.into_owned(),
            code: attempt.code,
            detail: attempt.detail,
            provider_id: attempt.provider_id,
            digest: attempt.digest.as_deref().map(String::from),
        }
    }
}

/// One page of a listing.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotificationPage {
    /// Newest first.
    pub(super) items: Vec<NotificationView>,
    /// For the next page's `cursor`; not there on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_cursor: Option<String>,
}

/// What became of a notification that was cancelled or replayed.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct StateView {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub(super) id: NotificationId,
    /// Where it now stands.
    pub(super) status: &'static str,
}
