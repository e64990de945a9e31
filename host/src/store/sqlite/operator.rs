//! What people do to notifications: take them back, send them again. (Removing them is `discard.rs`.)

use std::sync::Arc;

use rusqlite::{OptionalExtension, Result};

use super::{
    events::of_notification,
    names::Named,
    queue::Class,
    serial,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{
        EventKind, Priority, State,
        group::{Branches, overall},
    },
};

/// [`crate::store::Store::cancel`].
pub(super) struct Cancel(pub(super) TenantId, pub(super) NotificationId);

/// [`crate::store::Store::replay`].
pub(super) struct Replay(pub(super) TenantId, pub(super) NotificationId);

pub(super) struct Found {
    pub(super) id: NotificationId,
    pub(super) lane: Arc<Named>,
    pub(super) seq: i64,
    pub(super) state: State,
    priority: Priority,
    due: Option<UnixMs>,
    key: Option<Box<str>>,
    pub(super) parent: Option<NotificationId>,
}

pub(super) struct Child {
    pub(super) id: NotificationId,
    branch: u32,
    pub(super) state: State,
}

pub(super) fn find(
    batch: &Batch<'_>,
    tenant: TenantId,
    id: NotificationId,
) -> Result<Option<Found>> {
    let row = batch
        .conn
        .prepare_cached("SELECT lane, seq, state, prio, due, okey, parent FROM notif WHERE id=?1")?
        .query_row([id], |row| {
            let lane: i64 = row.get(0)?;
            let of_job = (row.get(3)?, row.get(4)?);
            Ok((lane, row.get(1)?, row.get(2)?, of_job, row.get(5)?, row.get(6)?))
        })
        .optional()?;
    let Some((lane, seq, state, (priority, due), key, parent)) = row else { return Ok(None) };
    let lane = batch.memory.names.numbered(lane).filter(|named| named.lane.tenant == tenant);
    let found = |lane| Found { id, lane, seq, state, priority, due, key, parent };
    Ok(lane.map(Arc::clone).map(found))
}

/// The children of a parent of the tenant's, in the order in which they were accepted.
pub(super) fn children(
    batch: &Batch<'_>,
    tenant: TenantId,
    parent: NotificationId,
) -> Result<Option<Vec<Child>>> {
    let Some(n) = batch.memory.names.tenant(tenant) else { return Ok(None) };
    let mut known = batch.conn.prepare_cached("SELECT 1 FROM parent WHERE id=?1 AND tenant=?2")?;
    if !known.exists((parent, n))? {
        return Ok(None);
    }
    batch
        .conn
        .prepare_cached("SELECT id, branch, state FROM notif WHERE parent=?1 ORDER BY seq")?
        .query_map([parent], |row| {
            Ok(Child { id: row.get(0)?, branch: row.get(1)?, state: row.get(2)? })
        })?
        .collect::<Result<Vec<_>>>()
        .map(Some)
}

impl Work for Cancel {
    type Answer = Option<State>;
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<Option<State>> {
        if let Some(found) = find(batch, self.0, self.1)? {
            return cancel(batch, &found).map(Some);
        }
        let Some(children) = children(batch, self.0, self.1)? else { return Ok(None) };
        let mut states = Vec::with_capacity(children.len());
        for child in &children {
            // Looked at again: the one before it may have made way for it, which moves its job.
            if let Some(found) = find(batch, self.0, child.id)? {
                states.push(cancel(batch, &found)?);
            }
        }
        Ok(Some(overall(states.into_iter())))
    }
}

/// Takes one back, if it is not sent. Its state afterwards.
fn cancel(batch: &mut Batch<'_>, found: &Found) -> Result<State> {
    if !matches!(found.state, State::Queued | State::Retrying) {
        return Ok(found.state);
    }
    let now = batch.now();
    // Nothing, for one that waits for others of its ordering key.
    batch
        .conn
        .prepare_cached("DELETE FROM job WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4")?
        .execute((found.lane.n, found.priority, found.due, found.seq))?;
    batch
        .conn
        .prepare_cached("UPDATE notif SET state=5, updated=?3, due=NULL WHERE lane=?1 AND seq=?2")?
        .execute((found.lane.n, found.seq, now))?;
    if let Some(key) = &found.key {
        serial::leave(batch, (found.lane.n, key), found.seq)?;
    }
    let line = of_notification(&found.lane, (found.id, found.seq), now, EventKind::Cancelled);
    batch.event(&line)?;
    batch.moved(&found.lane, Some(found.state), State::Cancelled);
    Ok(State::Cancelled)
}

impl Work for Replay {
    type Answer = Option<State>;
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<Option<State>> {
        if let Some(found) = find(batch, self.0, self.1)? {
            if found.state.is_terminal() {
                replay(batch, &found)?;
            }
            return Ok(Some(found.state));
        }
        let Some(children) = children(batch, self.0, self.1)? else { return Ok(None) };
        let before = overall(children.iter().map(|child| child.state));
        if before.is_terminal() {
            let stands = children.iter().map(|child| (child.branch, child.state));
            for branch in Branches::failed_of(stands) {
                let first = children.iter().find(|child| child.branch == branch);
                let found = first.map(|child| find(batch, self.0, child.id)).transpose()?.flatten();
                found.map_or(Ok(()), |found| replay(batch, &found))?;
            }
        }
        Ok(Some(before))
    }
}

/// Puts one that is over back into the queue.
fn replay(batch: &mut Batch<'_>, found: &Found) -> Result<()> {
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
    let first = match found.key.as_deref() {
        Some(key) => serial::join(batch.conn, (found.lane.n, key), found.seq)?,
        None => true,
    };
    if first {
        serial::add_job(batch, found.lane.n, found.priority, now, found.seq)?;
    }
    let line = of_notification(&found.lane, (found.id, found.seq), now, EventKind::Replayed);
    batch.event(&line)?;
    batch.moved(&found.lane, Some(found.state), State::Queued);
    Ok(())
}
