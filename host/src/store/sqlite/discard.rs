//! Removing dead letters before their retention is over, because their owner wants them gone.
//!
//! What several channels were asked for goes as a whole or stays as a whole: a parent that has lost
//! the branch that failed would say that all went well.

use rusqlite::{Result, params};

use super::{
    events::{Line, Of, of_notification},
    operator::{Child, Found, children, find},
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    store::{Discarded, EventKind, State, group::overall},
};

/// [`crate::store::Store::discard`].
pub(super) struct Discard(pub(super) TenantId, pub(super) NotificationId);

impl Work for Discard {
    type Answer = Option<Discarded>;
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<Option<Discarded>> {
        let now = batch.now();
        match find(batch, self.0, self.1)? {
            Some(found) if found.state != State::Dead => Ok(Some(Discarded::Stays(found.state))),
            Some(Found { parent: Some(parent), .. }) => {
                let family = children(batch, self.0, parent)?.unwrap_or_default();
                whole(batch, (self.0, parent), &family, false, now).map(Some)
            }
            Some(found) => {
                remove(batch, &found, now)?;
                Ok(Some(Discarded::Gone(1)))
            }
            None => match children(batch, self.0, self.1)? {
                Some(family) => whole(batch, (self.0, self.1), &family, true, now).map(Some),
                None => Ok(None),
            },
        }
    }
}

/// Removes a parent with its children, if it is over and one of them is dead. `delivered_too`: also
/// if something of it was delivered.
fn whole(
    batch: &mut Batch<'_>,
    (tenant, parent): (TenantId, NotificationId),
    family: &[Child],
    delivered_too: bool,
    now: UnixMs,
) -> Result<Discarded> {
    let state = overall(family.iter().map(|child| child.state));
    let any_dead = family.iter().any(|child| child.state == State::Dead);
    let may_go = match state {
        State::Delivered => delivered_too && any_dead,
        other => other.is_terminal() && any_dead,
    };
    if !may_go {
        return Ok(Discarded::Stays(state));
    }
    for child in family {
        if let Some(found) = find(batch, tenant, child.id)? {
            remove(batch, &found, now)?;
        }
    }
    let (seq, tenant_n): (i64, i64) = batch
        .conn
        .prepare_cached("DELETE FROM parent WHERE id=?1 RETURNING seq, tenant")?
        .query_row([parent], |row| Ok((row.get(0)?, row.get(1)?)))?;
    batch.conn.prepare_cached("DELETE FROM body WHERE seq=?1")?.execute([seq])?;
    batch.event(&Line {
        at: now,
        kind: EventKind::Purged,
        of: Of::Tenant(tenant, tenant_n),
        about: Some((parent, seq)),
        attempt: 0,
        detail: None,
    })?;
    Ok(Discarded::Gone(family.len()))
}

/// Takes one that is over out of everything. It has no job, and no place in the line of its key.
fn remove(batch: &mut Batch<'_>, found: &Found, now: UnixMs) -> Result<()> {
    let Found { id, lane, seq, state, .. } = found;
    batch
        .conn
        .prepare_cached("DELETE FROM notif WHERE lane=?1 AND seq=?2")?
        .execute(params![lane.n, seq])?;
    batch.conn.prepare_cached("DELETE FROM body WHERE seq=?1")?.execute([seq])?;
    batch.conn.prepare_cached("DELETE FROM attempt WHERE seq=?1")?.execute([seq])?;
    batch.memory.changes.removed((lane.lane.tenant, lane.tenant), *state);
    batch.event(&of_notification(lane, (*id, *seq), now, EventKind::Purged))
}
