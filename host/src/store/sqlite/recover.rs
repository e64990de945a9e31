//! A new incarnation of the host: nobody of the one before is alive, so its leases fall due at once,
//! and the attempts that they were for are on record as lost.

use rusqlite::{Connection, Result};

use super::{
    attempts,
    events::{Line, Link, of_notification},
    names::Names,
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{EventKind, Priority, lost::lost_attempt},
};

struct Orphan {
    id: NotificationId,
    lane: i64,
    tenant: i64,
    seq: i64,
    priority: Priority,
    due: UnixMs,
    generation: u32,
    attempt: u32,
    started: UnixMs,
}

/// Counts the incarnation up, releases all leases, and says who we are.
pub(super) fn recover(
    conn: &Connection,
    names: &Names,
    chain: &mut Link,
    now: UnixMs,
) -> Result<i64> {
    conn.execute_batch("BEGIN IMMEDIATE")?;
    let incarnation =
        conn.query_row("UPDATE meta SET v=v+1 WHERE k='incarnation' RETURNING v", (), |row| {
            row.get(0)
        })?;
    let orphans = orphans(conn)?;
    for orphan in &orphans {
        release(conn, orphan, now)?;
        if let Some(lane) = names.numbered(orphan.lane) {
            let line = of_notification(lane, (orphan.id, orphan.seq), now, EventKind::Lost);
            chain.append(conn, &Line { attempt: orphan.attempt, ..line })?;
        }
    }
    conn.execute_batch("COMMIT")?;
    if !orphans.is_empty() {
        tracing::warn!(
            leases = orphans.len(),
            "attempts of the last run did not end; they are due"
        );
    }
    Ok(incarnation)
}

fn orphans(conn: &Connection) -> Result<Vec<Orphan>> {
    conn.prepare(
        "SELECT lane.n, lane.tenant, seq, prio, due, generation, attempts, updated, id
         FROM lane CROSS JOIN notif INDEXED BY notif_state ON notif.lane=lane.n AND notif.state=1",
    )?
    .query_map((), |row| {
        Ok(Orphan {
            lane: row.get(0)?,
            tenant: row.get(1)?,
            seq: row.get(2)?,
            priority: row.get(3)?,
            due: row.get(4)?,
            generation: row.get(5)?,
            attempt: row.get(6)?,
            started: row.get(7)?,
            id: row.get(8)?,
        })
    })?
    .collect()
}

fn release(conn: &Connection, orphan: &Orphan, now: UnixMs) -> Result<()> {
    let Orphan { lane, tenant, seq, priority, due, generation, attempt, started, .. } = *orphan;
    conn.prepare_cached(
        "UPDATE job SET due=?5, owner=0 WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4",
    )?
    .execute((lane, priority, due, seq, now))?;
    conn.prepare_cached("UPDATE notif SET state=2, due=?3, updated=?3 WHERE lane=?1 AND seq=?2")?
        .execute((lane, seq, now))?;
    for (state, by) in [(1, -1), (2, 1)] {
        conn.prepare_cached(
            "INSERT INTO counter(tenant, state, n) VALUES(?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET n=n+excluded.n",
        )?
        .execute((tenant, state, by))?;
    }
    attempts::record(conn, (seq, generation, attempt), &lost_attempt(started, now), true)
}
