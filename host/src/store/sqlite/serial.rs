//! Ordering keys: of the notifications with one key in one lane, the first has a job and the others
//! wait here. What waits costs the schedule nothing.

use rusqlite::{Connection, OptionalExtension, Result};

use super::work::Batch;
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{Hint, Priority},
};

/// Puts a notification behind the others of its key. Whether it is the first, and is to have a job.
pub(super) fn join(conn: &Connection, (lane, key): (i64, &str), seq: i64) -> Result<bool> {
    let last: Option<i64> = conn
        .prepare_cached("SELECT max(place) FROM serial WHERE lane=?1 AND key=?2")?
        .query_row((lane, key), |row| row.get(0))?;
    conn.prepare_cached("INSERT INTO serial(seq, lane, key, place) VALUES(?1, ?2, ?3, ?4)")?
        .execute((seq, lane, key, last.unwrap_or(0).saturating_add(1)))?;
    Ok(last.is_none())
}

/// A notification with a key is over. If it was the first of its key, the next one gets its job.
pub(super) fn leave(batch: &mut Batch<'_>, (lane, key): (i64, &str), seq: i64) -> Result<()> {
    let left: Option<i64> = batch
        .conn
        .prepare_cached("DELETE FROM serial WHERE seq=?1 RETURNING place")?
        .query_row([seq], |row| row.get(0))
        .optional()?;
    let next: Option<(i64, i64)> = batch
        .conn
        .prepare_cached(
            "SELECT seq, place FROM serial WHERE lane=?1 AND key=?2 ORDER BY place LIMIT 1",
        )?
        .query_row((lane, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let (Some(left), Some((next, place))) = (left, next) else { return Ok(()) };
    if place < left {
        return Ok(());
    }
    let (priority, due): (Priority, UnixMs) = batch
        .conn
        .prepare_cached(
            "UPDATE notif SET due=max(due, ?3) WHERE lane=?1 AND seq=?2 RETURNING prio, due",
        )?
        .query_row((lane, next, batch.now()), |row| Ok((row.get(0)?, row.get(1)?)))?;
    add_job(batch, lane, priority, due, next)
}

/// A new job that nobody has tried.
pub(super) fn add_job(
    batch: &mut Batch<'_>,
    lane: i64,
    priority: Priority,
    due: UnixMs,
    seq: i64,
) -> Result<()> {
    batch
        .conn
        .prepare_cached(
            "INSERT INTO job(lane, prio, due, seq, attempt, owner, free)
             VALUES(?1, ?2, ?3, ?4, 0, 0, 0)",
        )?
        .execute((lane, priority, due, seq))?;
    batch.hint(lane, Hint { due, priority });
    Ok(())
}

/// The first of a key, if that is not `seq` itself.
pub(super) fn blocker(
    conn: &Connection,
    (lane, key): (i64, &str),
    seq: i64,
) -> Result<Option<NotificationId>> {
    let head: Option<(i64, NotificationId)> = conn
        .prepare_cached(
            "SELECT serial.seq, id FROM serial JOIN notif ON notif.lane=serial.lane
               AND notif.seq=serial.seq
             WHERE serial.lane=?1 AND serial.key=?2 ORDER BY place LIMIT 1",
        )?
        .query_row((lane, key), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(head.filter(|(first, _)| *first != seq).map(|(_, id)| id))
}
