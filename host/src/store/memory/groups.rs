//! Parents and ordering keys.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

use super::table::{Job, Table};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{
        Child, Enqueued, EventKind, Hint, Hints, NewEvent, NewGroup, ParentEnd, ParentStatus,
        State, group::Branches,
    },
};

/// A parent: what it is, and the numbers of its children, oldest first. As long as one of them is
/// known, so is the parent.
#[derive(Debug)]
pub(super) struct Parent {
    tenant: TenantId,
    created: UnixMs,
    payload: Bytes,
    pub(super) children: Vec<i64>,
}

/// All parents by id, and the notifications of every ordering key of a lane in their order; the
/// first of them has a job.
#[derive(Default, Debug)]
pub(super) struct Ties {
    pub(super) parents: HashMap<NotificationId, Parent>,
    keys: HashMap<(i64, Box<str>), VecDeque<i64>>,
}

impl Ties {
    /// Puts a notification behind the others of its key. Whether it is the first.
    pub(super) fn join(&mut self, lane: i64, key: &str, seq: i64) -> bool {
        let line = self.keys.entry((lane, Box::from(key))).or_default();
        line.push_back(seq);
        line.len() == 1
    }

    /// Takes one that is over out. The one that is the first now, if it was the first before.
    fn leave(&mut self, lane: i64, key: &str, seq: i64) -> Option<i64> {
        let of_key = (lane, Box::from(key));
        let line = self.keys.get_mut(&of_key)?;
        let was_first = line.front() == Some(&seq);
        line.retain(|other| *other != seq);
        let next = line.front().copied().filter(|_| was_first);
        if line.is_empty() {
            self.keys.remove(&of_key);
        }
        next
    }

    /// The first of the key, if that is another one.
    pub(super) fn blocker(&self, lane: i64, key: &str, seq: i64) -> Option<i64> {
        let line = self.keys.get(&(lane, Box::from(key)))?;
        line.front().copied().filter(|first| *first != seq)
    }

    /// A child is forgotten; its parent goes with the last one.
    pub(super) fn forget(&mut self, parent: NotificationId, seq: i64) {
        if let Some(found) = self.parents.get_mut(&parent) {
            found.children.retain(|child| *child != seq);
            if found.children.is_empty() {
                self.parents.remove(&parent);
            }
        }
    }
}

impl Table {
    pub(super) fn enqueue_group(
        &mut self,
        group: NewGroup,
        now: UnixMs,
        hints: &Hints,
    ) -> Enqueued {
        let NewGroup { id, tenant, idempotency, payload, live_max, children } = group;
        if let Some(key) = &idempotency
            && let Some(first) = self.keys.used_before(tenant, key, now)
        {
            return first;
        }
        if let Some(known) = self.ties.parents.get(&id) {
            let same_body = known.tenant == tenant && known.payload == payload;
            return Enqueued::Duplicate { id, same_body };
        }
        let mut own = std::collections::HashSet::from([id]);
        let taken = children.iter().any(|child| !own.insert(child.id))
            || own.iter().any(|id| self.seq_of(*id).is_some());
        if taken {
            return Enqueued::Duplicate { id, same_body: false };
        }
        let live = self.counters(tenant).live();
        if live.saturating_add(children.len() as u64) > live_max {
            return Enqueued::OverQuota { live };
        }
        self.next_seq();
        let parent = Parent { tenant, created: now, payload, children: Vec::new() };
        self.ties.parents.insert(id, parent);
        let accepted = NewEvent {
            kind: EventKind::Accepted,
            tenant: Some(tenant),
            notification: Some(id),
            detail: None,
        };
        self.trail.record(accepted, now);
        for (branch, child) in (0..).zip(children) {
            self.put(child, Some((id, branch)), now, hints);
        }
        if let Some(key) = idempotency {
            self.keys.remember(tenant, key, id, now);
        }
        Enqueued::Accepted
    }

    /// The children of a parent of the tenant's: number, branch, state.
    pub(super) fn children(
        &self,
        tenant: TenantId,
        parent: NotificationId,
    ) -> Option<Vec<(i64, u32, State)>> {
        let parent = self.ties.parents.get(&parent).filter(|parent| parent.tenant == tenant)?;
        let stands = |seq: &i64| {
            let record = self.record(*seq)?;
            Some((*seq, record.branch, record.row.state))
        };
        Some(parent.children.iter().filter_map(stands).collect())
    }

    pub(super) fn parent(&self, tenant: TenantId, id: NotificationId) -> Option<ParentStatus> {
        let parent = self.ties.parents.get(&id).filter(|parent| parent.tenant == tenant)?;
        let child = |seq: &i64| {
            let record = self.record(*seq)?;
            Some(Child { branch: record.branch, row: record.row.clone() })
        };
        let children: Vec<_> = parent.children.iter().filter_map(child).collect();
        let sum = Branches::of(children.iter().map(|child| (child.branch, child.row.state)));
        Some(ParentStatus {
            id,
            created: parent.created,
            payload: parent.payload.clone(),
            branches: sum.all,
            open: sum.open,
            delivered: sum.delivered,
            failed: sum.failed(),
            children,
        })
    }

    /// The parent's end, if all of its branches have ended.
    pub(super) fn parent_end(&self, tenant: TenantId, id: NotificationId) -> Option<ParentEnd> {
        let children = self.children(tenant, id)?;
        Branches::of(children.into_iter().map(|(_, branch, state)| (branch, state))).end(id)
    }

    /// A notification with a key is over: the next one of its key gets its job.
    pub(super) fn leave_key(
        &mut self,
        (lane, key): (i64, &str),
        seq: i64,
        now: UnixMs,
        hints: &Hints,
    ) {
        let Some(next) = self.ties.leave(lane, key, seq) else { return };
        let Some(record) = self.record_mut(next) else { return };
        record.due = record.due.max(now);
        let place = (record.row.priority, record.due, next);
        self.add_job(lane, place, hints);
    }

    /// A new job that nobody has tried.
    pub(super) fn add_job(&mut self, lane: i64, place: super::table::Place, hints: &Hints) {
        if let Some(lane) = self.lane_mut(lane) {
            lane.jobs.insert(place, Job { attempt: 0, free: 0, leased: false });
            hints.add(&lane.lane, Hint { due: place.1, priority: place.0 });
        }
    }
}
