//! How a parent and its branches are shown.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{answer::state_word, notification::priority_word, views::NotificationDetail};
use crate::{
    ids::{ChannelName, NotificationId},
    store::{NewNotification, ParentStatus, Row, State, Status},
};

/// How it went, or goes, for one of the channels that were asked for.
#[derive(Clone, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct BranchView {
    /// The channel that was asked for.
    #[schema(value_type = String)]
    pub(super) channel: ChannelName,
    /// The channel that has taken over from it, if one has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    via: Option<ChannelName>,
    /// The notification that decides (UUIDv7): the one that was delivered, or else the last.
    #[schema(value_type = uuid::Uuid)]
    id: NotificationId,
    /// queued, sending, retrying, delivered, dead or cancelled.
    status: &'static str,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<String>,
    /// What the last failed attempt said.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// Its notifications in full, in the order in which the channels took over. Only where a
    /// notification is read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notifications: Vec<NotificationDetail>,
}

impl BranchView {
    /// A branch that was accepted just now.
    pub(super) fn begun(child: &NewNotification) -> Self {
        Self {
            channel: child.lane.channel.clone(),
            via: None,
            id: child.id,
            status: state_word(State::Queued),
            provider_id: None,
            error: None,
            notifications: Vec::new(),
        }
    }
}

/// One branch: its notifications, in their order; never empty.
struct Branch<'p>(Vec<&'p Row>);

impl<'p> Branch<'p> {
    /// The one that says how the branch stands: what is under way, else what was delivered, else
    /// the last.
    fn deciding(&self) -> Option<&'p Row> {
        let find = |is: fn(&Row) -> bool| self.0.iter().rev().copied().find(|row| is(row));
        find(|row| !row.state.is_terminal())
            .or_else(|| find(|row| row.state == State::Delivered))
            .or_else(|| self.0.last().copied())
    }

    fn view(&self) -> Option<BranchView> {
        let (first, row) = (self.0.first()?, self.deciding()?);
        Some(BranchView {
            channel: first.lane.channel.clone(),
            via: Some(&row.lane.channel).filter(|via| **via != first.lane.channel).cloned(),
            id: row.id,
            status: state_word(row.state),
            provider_id: row.provider_id.clone(),
            error: row.last_error.clone().filter(|_| row.state != State::Delivered),
            notifications: Vec::new(),
        })
    }
}

/// A parent, by branches.
pub(super) struct Story<'p> {
    parent: &'p ParentStatus,
    branches: BTreeMap<u32, Branch<'p>>,
}

impl<'p> Story<'p> {
    pub(super) fn of(parent: &'p ParentStatus) -> Self {
        let mut branches = BTreeMap::<u32, Branch<'p>>::new();
        for child in &parent.children {
            branches.entry(child.branch).or_insert_with(|| Branch(Vec::new())).0.push(&child.row);
        }
        Self { parent, branches }
    }

    /// The notification that decides, of each branch.
    pub(super) fn deciding(&self) -> impl Iterator<Item = &'p Row> {
        self.branches.values().filter_map(Branch::deciding)
    }

    /// The same, if there is only one branch.
    pub(super) fn only(&self) -> Option<&'p Row> {
        self.deciding().next().filter(|_| self.branches.len() == 1)
    }

    pub(super) fn branches(&self) -> Vec<BranchView> {
        self.branches.values().filter_map(Branch::view).collect()
    }

    /// The branch of a notification that is to be sent again: the first of its notifications, if
    /// nothing of it was delivered or is under way.
    pub(super) fn first_of_failed(&self, id: NotificationId) -> Option<NotificationId> {
        let branch =
            self.branches.values().find(|branch| branch.0.iter().any(|row| row.id == id))?;
        let failed = branch.deciding()?.state == State::Dead;
        Some(branch.0.first().filter(|_| failed)?.id)
    }

    /// How the whole stands, in a word.
    pub(super) fn word(&self) -> &'static str {
        let parent = self.parent;
        if parent.open > 0 {
            return state_word(parent.state());
        }
        match (parent.delivered, parent.failed) {
            (0, _) if self.deciding().any(|row| row.state == State::Dead) => "dead",
            (0, _) => "cancelled",
            (_, 0) => "delivered",
            _ => "partial",
        }
    }

    /// The same for the answer to a request, while it is not over: queued, or retrying when
    /// something of it has failed before.
    pub(super) fn open_word(&self) -> &'static str {
        let again = |row: &Row| row.attempts > 1 || row.state == State::Retrying;
        let taken_over = self.branches.values().any(|branch| branch.0.len() > 1);
        let again = taken_over || self.parent.children.iter().any(|child| again(&child.row));
        if again { "retrying" } else { "queued" }
    }
}

/// A parent with all there is to know about it.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ParentDetail {
    /// Its id (UUIDv7).
    #[schema(value_type = uuid::Uuid)]
    id: NotificationId,
    /// queued, sending, retrying, delivered, partial (not by all channels), dead or cancelled.
    status: &'static str,
    /// low, normal, high or urgent.
    priority: &'static str,
    /// When it was accepted.
    created_at: String,
    /// When something of it last changed.
    updated_at: String,
    /// The message.
    message: String,
    /// Its title.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// To whom or where.
    #[serde(skip_serializing_if = "Option::is_none")]
    target_id: Option<String>,
    /// One for each channel that was asked for, in their order.
    channels: Vec<BranchView>,
    /// How many of its notifications are not shown, being older than those that are.
    #[serde(skip_serializing_if = "is_zero")]
    omitted: usize,
}

const fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl ParentDetail {
    /// Puts the story together from what is known of the notifications; what is not in `known` is
    /// left out.
    pub(super) fn of(parent: &ParentStatus, mut known: BTreeMap<NotificationId, Status>) -> Self {
        let story = Story::of(parent);
        let mut channels = story.branches();
        let omitted = parent.children.len().saturating_sub(known.len());
        let about = parent.children.iter().rev().find_map(|child| known.get(&child.row.id));
        let envelope =
            about.and_then(|status| crate::envelope::Envelope::decode(&status.payload).ok());
        let envelope = envelope.unwrap_or_default();
        for (view, branch) in channels.iter_mut().zip(story.branches.values()) {
            let statuses = branch.0.iter().filter_map(|row| known.remove(&row.id));
            view.notifications = statuses.map(NotificationDetail::from).collect();
        }
        let rows = parent.children.iter().map(|child| &child.row);
        let updated = rows.clone().map(|row| row.updated).max().unwrap_or(parent.created);
        let priority = rows.clone().next().map_or_else(Default::default, |row| row.priority);
        Self {
            id: parent.id,
            status: story.word(),
            priority: priority_word(priority),
            created_at: parent.created.rfc3339(),
            updated_at: updated.rfc3339(),
            message: envelope.message,
            title: envelope.title,
            target_id: envelope.target_id,
            channels,
            omitted,
        }
    }
}
