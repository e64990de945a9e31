//! What people do to notifications: take them back, send them again.

use super::table::{Job, Table};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{Hints, State},
};

impl Table {
    pub(super) fn cancel(
        &mut self,
        tenant: TenantId,
        id: NotificationId,
        now: UnixMs,
    ) -> Option<State> {
        let (seq, record) = self.find(tenant, id)?;
        let (lane, place) = (record.lane, (record.row.priority, record.due, seq));
        if !matches!(record.row.state, State::Queued | State::Retrying) {
            return Some(record.row.state);
        }
        if let Some(lane) = self.lane_mut(lane) {
            lane.jobs.remove(&place);
        }
        self.update(seq, State::Cancelled, now, |_| {});
        Some(State::Cancelled)
    }

    pub(super) fn replay(
        &mut self,
        tenant: TenantId,
        id: NotificationId,
        now: UnixMs,
        hints: &Hints,
    ) -> Option<State> {
        let (seq, record) = self.find(tenant, id)?;
        let (before, lane) = (record.row.state, record.lane);
        let place = (record.row.priority, now, seq);
        if !before.is_terminal() {
            return Some(before);
        }
        if let Some(lane) = self.lane_mut(lane) {
            lane.jobs.insert(place, Job { attempt: 0, leased: false });
            hints.add(&lane.lane, now);
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
        Some(before)
    }
}
