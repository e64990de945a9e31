//! What people do to notifications: take them back, send them again, remove them.

use super::table::Table;
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{
        Discarded, EventKind, Hints, NewEvent, State,
        group::{Branches, overall},
    },
};

impl Table {
    pub(super) fn cancel(
        &mut self,
        tenant: TenantId,
        id: NotificationId,
        now: UnixMs,
        hints: &Hints,
    ) -> Option<State> {
        if let Some((seq, _)) = self.find(tenant, id) {
            return self.cancel_one(seq, now, hints);
        }
        let children = self.children(tenant, id)?;
        let cancelled =
            children.into_iter().filter_map(|(seq, ..)| self.cancel_one(seq, now, hints));
        Some(overall(cancelled))
    }

    /// Takes one back, if it is not sent. Its state afterwards.
    fn cancel_one(&mut self, seq: i64, now: UnixMs, hints: &Hints) -> Option<State> {
        let record = self.record(seq)?;
        let (lane, place) = (record.lane, (record.row.priority, record.due, seq));
        if !matches!(record.row.state, State::Queued | State::Retrying) {
            return Some(record.row.state);
        }
        let key = record.key.clone();
        if let Some(lane) = self.lane_mut(lane) {
            lane.jobs.remove(&place);
        }
        self.update(seq, State::Cancelled, now, |_| {});
        self.note(seq, EventKind::Cancelled, now);
        if let Some(key) = key {
            self.leave_key((lane, &key), seq, now, hints);
        }
        Some(State::Cancelled)
    }

    pub(super) fn replay(
        &mut self,
        tenant: TenantId,
        id: NotificationId,
        now: UnixMs,
        hints: &Hints,
    ) -> Option<State> {
        if let Some((seq, record)) = self.find(tenant, id) {
            let before = record.row.state;
            if before.is_terminal() {
                self.replay_one(seq, now, hints);
            }
            return Some(before);
        }
        let children = self.children(tenant, id)?;
        let before = overall(children.iter().map(|(_, _, state)| *state));
        if before.is_terminal() {
            let stands = children.iter().map(|(_, branch, state)| (*branch, *state));
            for failed in Branches::failed_of(stands) {
                if let Some((seq, ..)) = children.iter().find(|(_, branch, _)| *branch == failed) {
                    self.replay_one(*seq, now, hints);
                }
            }
        }
        Some(before)
    }

    /// Puts one that is over back into the queue.
    fn replay_one(&mut self, seq: i64, now: UnixMs, hints: &Hints) {
        let Some(record) = self.record(seq) else { return };
        let (lane, place) = (record.lane, (record.row.priority, now, seq));
        let key = record.key.clone();
        if key.is_none_or(|key| self.ties.join(lane, &key, seq)) {
            self.add_job(lane, place, hints);
        }
        self.update(seq, State::Queued, now, |record| {
            record.due = now;
            record.row.generation = record.row.generation.saturating_add(1);
            record.row.attempts = 0;
            record.row.provider_id = None;
            record.row.last_error = None;
            // An expiry that has passed goes: who replays wants it sent, not to see it die again.
            record.expires = record.expires.filter(|expires| *expires > now);
        });
        self.note(seq, EventKind::Replayed, now);
    }

    /// Removes a dead letter, or a parent of such.
    pub(super) fn discard(
        &mut self,
        tenant: TenantId,
        id: NotificationId,
        now: UnixMs,
    ) -> Option<Discarded> {
        let of_record =
            self.find(tenant, id).map(|(seq, record)| (seq, record.row.state, record.row.parent));
        match of_record {
            Some((_, state, _)) if state != State::Dead => Some(Discarded::Stays(state)),
            Some((_, _, Some(parent))) => self.discard_whole(tenant, parent, false, now),
            Some((seq, ..)) => {
                self.discard_one(seq, now);
                Some(Discarded::Gone(1))
            }
            None => self.discard_whole(tenant, id, true, now),
        }
    }

    fn discard_whole(
        &mut self,
        tenant: TenantId,
        parent: NotificationId,
        delivered_too: bool,
        now: UnixMs,
    ) -> Option<Discarded> {
        let children = self.children(tenant, parent)?;
        let state = overall(children.iter().map(|(_, _, state)| *state));
        let any_dead = children.iter().any(|(_, _, state)| *state == State::Dead);
        let may_go = state.is_terminal() && (state != State::Delivered || delivered_too);
        if !any_dead || !may_go {
            return Some(Discarded::Stays(state));
        }
        for (seq, ..) in &children {
            self.discard_one(*seq, now);
        }
        let kind = EventKind::Purged;
        let (tenant, notification) = (Some(tenant), Some(parent));
        self.trail.record(NewEvent { kind, tenant, notification, detail: None }, now);
        Some(Discarded::Gone(children.len()))
    }

    fn discard_one(&mut self, seq: i64, now: UnixMs) {
        self.note(seq, EventKind::Purged, now);
        self.remove(seq);
    }

    fn note(&mut self, seq: i64, kind: EventKind, now: UnixMs) {
        if let Some(record) = self.records.get(&seq) {
            self.trail.note(&record.row.lane, record.row.id, now, (kind, 0, None));
        }
    }
}
