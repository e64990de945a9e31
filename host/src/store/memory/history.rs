//! The questions.

use super::table::Table;
use crate::{
    ids::{NotificationId, TenantId},
    limits::LIST_LIMIT_MAX,
    store::{Counters, ListQuery, Page, Row, State, Status},
};

impl Table {
    pub(super) fn status(&self, tenant: TenantId, id: NotificationId) -> Option<Status> {
        let (seq, record) = self.find(tenant, id)?;
        let waits = matches!(record.row.state, State::Queued | State::Retrying);
        let key = record.key.as_ref().filter(|_| record.row.state == State::Queued);
        let blocker = key.and_then(|key| self.ties.blocker(record.lane, key, seq));
        Some(Status {
            row: record.row.clone(),
            due: waits.then_some(record.due),
            blocked_by: blocker.and_then(|seq| Some(self.record(seq)?.row.id)),
            payload: record.payload.clone(),
            attempts: record.attempts.clone(),
        })
    }

    pub(super) fn list(&self, query: &ListQuery) -> Page<Row> {
        let limit = query.limit.clamp(1, LIST_LIMIT_MAX);
        let before = query.cursor.unwrap_or(i64::MAX);
        let seqs = self.of_tenant(query.tenant).map(|of_tenant| &of_tenant.seqs);
        let wanted = |row: &&Row| {
            query.state.is_none_or(|state| row.state == state)
                && query.channel.as_ref().is_none_or(|channel| row.lane.channel == *channel)
                && query.from.is_none_or(|from| row.created >= from)
                && query.to.is_none_or(|to| row.created < to)
        };
        let mut found: Vec<(i64, Row)> = seqs
            .into_iter()
            .flat_map(|seqs| seqs.range(..before).rev())
            .filter_map(|seq| Some((*seq, &self.records.get(seq)?.row)))
            .filter(|(_, row)| wanted(row))
            .take(limit + 1)
            .map(|(seq, row)| (seq, row.clone()))
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().map(|(seq, _)| *seq).filter(|_| more);
        Page { items: found.into_iter().map(|(_, row)| row).collect(), next }
    }

    pub(super) fn counters(&self, tenant: TenantId) -> Counters {
        self.of_tenant(tenant).map(|of_tenant| of_tenant.counters).unwrap_or_default()
    }

    pub(super) const fn totals(&self) -> Counters {
        self.all
    }
}
