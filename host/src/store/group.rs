//! One request that became several notifications: the parent, its branches, and how they stand.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Idempotency, NewNotification, Row, State};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
};

/// A parent and its children, to be accepted together.
#[derive(Clone, Debug)]
pub struct NewGroup {
    /// The parent's id: what the caller is told, and what it asks for.
    pub id: NotificationId,
    /// Whose. The children's lanes are this tenant's.
    pub tenant: TenantId,
    /// The caller's own key; the children's are ignored.
    pub idempotency: Option<Idempotency>,
    /// What was asked for; opaque to the store.
    pub payload: Bytes,
    /// The tenant's bound on live notifications; if the children would go over it, the group is
    /// refused.
    pub live_max: u64,
    /// One for each branch.
    pub children: Vec<NewNotification>,
}

/// A parent whose last branch has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParentEnd {
    /// Which one.
    pub id: NotificationId,
    /// Branches in which a notification was delivered.
    pub delivered: u32,
    /// Branches in which none was.
    pub failed: u32,
}

/// One notification of a parent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Child {
    /// Which branch it belongs to, from 0.
    pub branch: u32,
    /// How it stands.
    pub row: Row,
}

/// A parent as it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ParentStatus {
    /// Which one.
    pub id: NotificationId,
    /// When it was accepted.
    pub created: UnixMs,
    /// As it was accepted.
    pub payload: Bytes,
    /// Branches in all.
    pub branches: u32,
    /// Branches that have not ended.
    pub open: u32,
    /// Branches that have ended and in which a notification was delivered.
    pub delivered: u32,
    /// Branches that have ended without.
    pub failed: u32,
    /// Its notifications, in the order in which they were accepted.
    pub children: Vec<Child>,
}

impl ParentStatus {
    /// The state of the whole.
    #[must_use]
    pub fn state(&self) -> State {
        overall(self.children.iter().map(|child| child.row.state))
    }
}

/// What one state says of many: what is under way first, then what went well, then what did not.
pub(super) fn overall(states: impl Iterator<Item = State>) -> State {
    let rank = |state: &State| match state {
        State::Sending => 0,
        State::Retrying => 1,
        State::Queued => 2,
        State::Delivered => 3,
        State::Dead => 4,
        State::Cancelled => 5,
    };
    states.min_by_key(rank).unwrap_or(State::Cancelled)
}

/// How the branches of a parent stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Branches {
    pub(super) all: u32,
    pub(super) open: u32,
    pub(super) delivered: u32,
}

/// Whether a branch has a live notification, and a delivered one.
type Stands = BTreeMap<u32, (bool, bool)>;

fn by_branch(children: impl Iterator<Item = (u32, State)>) -> Stands {
    let mut branches = Stands::new();
    for (branch, state) in children {
        let (open, delivered) = branches.entry(branch).or_default();
        *open |= !state.is_terminal();
        *delivered |= state == State::Delivered;
    }
    branches
}

impl Branches {
    /// Counts them from the branch and the state of every child.
    pub(super) fn of(children: impl Iterator<Item = (u32, State)>) -> Self {
        let mut sum = Self::default();
        for (open, delivered) in by_branch(children).into_values() {
            sum.all += 1;
            sum.open += u32::from(open);
            sum.delivered += u32::from(delivered && !open);
        }
        sum
    }

    /// Which of them have ended without a delivery.
    pub(super) fn failed_of(children: impl Iterator<Item = (u32, State)>) -> Vec<u32> {
        let failed =
            by_branch(children).into_iter().filter(|(_, stands)| *stands == (false, false));
        failed.map(|(branch, _)| branch).collect()
    }

    /// Branches that have ended without a delivery.
    pub(super) const fn failed(self) -> u32 {
        self.all - self.open - self.delivered
    }

    /// The parent's end, if all branches have ended.
    pub(super) const fn end(self, id: NotificationId) -> Option<ParentEnd> {
        if self.open > 0 {
            return None;
        }
        Some(ParentEnd { id, delivered: self.delivered, failed: self.failed() })
    }
}
