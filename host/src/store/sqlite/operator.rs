//! What people do to notifications: take them back, send them again.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Result};

use super::{
    events::{self, Event, Kind},
    names::Named,
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{Priority, State},
};

/// [`crate::store::Store::cancel`].
pub(super) struct Cancel(pub(super) TenantId, pub(super) NotificationId);

/// [`crate::store::Store::replay`].
pub(super) struct Replay(pub(super) TenantId, pub(super) NotificationId);

struct Found {
    lane: Arc<Named>,
    seq: i64,
    state: State,
    priority: Priority,
    due: Option<UnixMs>,
}

fn find(batch: &Batch<'_>, tenant: TenantId, id: NotificationId) -> Result<Option<Found>> {
    let row = batch
        .conn
        .prepare_cached("SELECT lane, seq, state, prio, due FROM notif WHERE id=?1")?
        .query_row([id], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
        })
        .optional()?;
    let Some((lane, seq, state, priority, due)) = row else { return Ok(None) };
    let lane = batch.memory.names.numbered(lane).filter(|named| named.lane.tenant == tenant);
    Ok(lane.map(|lane| Found { lane: Arc::clone(lane), seq, state, priority, due }))
}

fn note(batch: &Batch<'_>, found: &Found, at: UnixMs, kind: Kind) -> Result<()> {
    let (tenant, seq) = (found.lane.tenant, found.seq);
    events::record(batch.conn, &Event { at, kind, tenant, seq, attempt: 0, detail: None })
}

impl Work for Cancel {
    type Answer = Option<State>;
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<Option<State>> {
        let Some(found) = find(batch, self.0, self.1)? else { return Ok(None) };
        if !matches!(found.state, State::Queued | State::Retrying) {
            return Ok(Some(found.state));
        }
        let now = batch.now();
        batch
            .conn
            .prepare_cached("DELETE FROM job WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4")?
            .execute((found.lane.n, found.priority, found.due, found.seq))?;
        batch
            .conn
            .prepare_cached(
                "UPDATE notif SET state=5, updated=?3, due=NULL WHERE lane=?1 AND seq=?2",
            )?
            .execute((found.lane.n, found.seq, now))?;
        note(batch, &found, now, Kind::Cancelled)?;
        batch.moved(&found.lane, Some(found.state), State::Cancelled);
        Ok(Some(State::Cancelled))
    }
}

impl Work for Replay {
    type Answer = Option<State>;
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<Option<State>> {
        let Some(found) = find(batch, self.0, self.1)? else { return Ok(None) };
        if !found.state.is_terminal() {
            return Ok(Some(found.state));
        }
        let now = batch.now();
        // An expiry that has passed goes: who replays wants it sent, not to see it die again.
        batch
            .conn
            .prepare_cached(
                "UPDATE notif SET state=0, updated=?3, due=?3, generation=generation+1, attempts=0,
                   provider_id=NULL, last_error=NULL, expires=iif(expires>?3, expires, NULL)
                 WHERE lane=?1 AND seq=?2",
            )?
            .execute((found.lane.n, found.seq, now))?;
        batch.conn.prepare_cached("INSERT INTO job VALUES(?1, ?2, ?3, ?4, 0, 0)")?.execute((
            found.lane.n,
            found.priority,
            now,
            found.seq,
        ))?;
        note(batch, &found, now, Kind::Replayed)?;
        batch.moved(&found.lane, Some(found.state), State::Queued);
        batch.hint(found.lane.n, now);
        Ok(Some(found.state))
    }
}
