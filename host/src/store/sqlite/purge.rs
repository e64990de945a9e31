//! Retention: what is over for long enough goes, in chunks that hold nobody up.
//!
//! A chunk is a range of numbers, and everything is deleted by ranges or single values of a primary
//! key. A statement that looks for what to delete by any other column walks the whole history,
//! measured: a second for each thousand.

use rusqlite::Result;

use super::{
    events::Link,
    queue::Class,
    schema::SPAN_MS,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    limits::IDEMPOTENCY_FORGET_AFTER,
    store::{Purged, State},
};

/// [`crate::store::Store::purge`].
pub(super) struct Purge {
    pub(super) before: UnixMs,
    pub(super) after: i64,
    pub(super) limit: usize,
}

impl Work for Purge {
    type Answer = Purged;
    const CLASS: Class = Class::Maintenance;

    fn items(&self) -> usize {
        self.limit
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<Purged> {
        forget_keys(batch, self.limit)?;
        let Some(last) = chunk_end(batch, self)? else {
            batch
                .conn
                .prepare_cached("DELETE FROM span WHERE last<(SELECT min(seq) FROM body)")?
                .execute(())?;
            return Ok(Purged { removed: 0, next: None });
        };
        let mut gone = notifications(batch, self, last)?;
        let removed = gone.len();
        let parents = batch
            .conn
            .prepare_cached(
                "DELETE FROM parent WHERE seq>?1 AND seq<=?2
                   AND NOT EXISTS (SELECT 1 FROM notif WHERE notif.parent=parent.id)
                 RETURNING seq",
            )?
            .query_map((self.after, last), |row| row.get(0))?
            .collect::<Result<Vec<i64>>>()?;
        gone.extend(parents);
        let mut body = batch.conn.prepare_cached("DELETE FROM body WHERE seq=?1")?;
        let mut attempts = batch.conn.prepare_cached("DELETE FROM attempt WHERE seq=?1")?;
        for seq in gone {
            body.execute([seq])?;
            attempts.execute([seq])?;
        }
        Ok(Purged { removed, next: Some(last) })
    }
}

/// The last number of the chunk: so many rows on, not beyond what was accepted before the moment,
/// and never the newest of all, from which the next number is found when the file is opened.
fn chunk_end(batch: &Batch<'_>, chunk: &Purge) -> Result<Option<i64>> {
    let end: Option<i64> = batch
        .conn
        .prepare_cached("SELECT max(last) FROM span WHERE slot<=?1")?
        .query_row([chunk.before.0.div_euclid(SPAN_MS)], |row| row.get(0))?;
    let Some(end) = end else { return Ok(None) };
    let end = end.min(batch.memory.last_seq - 1);
    let limit = i64::try_from(chunk.limit.max(1)).unwrap_or(i64::MAX);
    batch
        .conn
        .prepare_cached(
            "SELECT max(seq) FROM
               (SELECT seq FROM body WHERE seq>?1 AND seq<=?2 ORDER BY seq LIMIT ?3)",
        )?
        .query_row((chunk.after, end, limit), |row| row.get(0))
}

/// Takes the notifications of the chunk out that may go: those that are over for long enough, and
/// so are all of the same parent. Their numbers.
fn notifications(batch: &mut Batch<'_>, chunk: &Purge, last: i64) -> Result<Vec<i64>> {
    let mut gone = Vec::new();
    for lane in batch.memory.names.all() {
        // `+`: by the primary key, not by the index of states.
        let rows = batch
            .conn
            .prepare_cached(
                "DELETE FROM notif WHERE lane=?1 AND seq>?2 AND seq<=?3 AND +state>=3
                   AND updated<?4 AND created<?4
                   AND (parent IS NULL OR NOT EXISTS (SELECT 1 FROM notif AS other
                     WHERE other.parent=notif.parent AND (other.state<3 OR other.updated>=?4)))
                 RETURNING seq, state",
            )?
            .query_map((lane.n, chunk.after, last, chunk.before), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<Result<Vec<(i64, State)>>>()?;
        for (seq, state) in rows {
            batch.memory.changes.removed((lane.lane.tenant, lane.tenant), state);
            gone.push(seq);
        }
    }
    Ok(gone)
}

/// Forgets idempotency keys whose time is over for a while.
fn forget_keys(batch: &Batch<'_>, limit: usize) -> Result<()> {
    let before = batch.now().before(IDEMPOTENCY_FORGET_AFTER);
    let until: Option<UnixMs> = batch
        .conn
        .prepare_cached(
            "SELECT max(expires) FROM
               (SELECT expires FROM idem WHERE expires<?1 ORDER BY expires LIMIT ?2)",
        )?
        .query_row((before, i64::try_from(limit).unwrap_or(i64::MAX)), |row| row.get(0))?;
    if let Some(until) = until {
        batch.conn.prepare_cached("DELETE FROM idem WHERE expires<=?1")?.execute([until])?;
    }
    Ok(())
}

/// [`crate::store::Store::purge_events`].
pub(super) struct PurgeEvents {
    pub(super) before: UnixMs,
    pub(super) limit: usize,
}

impl Work for PurgeEvents {
    type Answer = usize;
    const CLASS: Class = Class::Maintenance;

    fn items(&self) -> usize {
        self.limit
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<usize> {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        // The oldest, up to the first one that stays: the trail has a beginning and no holes.
        let mut statement =
            batch.conn.prepare_cached("SELECT eseq, at, hash FROM event ORDER BY eseq LIMIT ?1")?;
        let mut rows = statement.query([limit])?;
        let mut end: Option<(i64, Option<[u8; 32]>)> = None;
        while let Some(row) = rows.next()? {
            if row.get::<_, UnixMs>(1)? >= self.before {
                break;
            }
            end = Some((row.get(0)?, row.get(2)?));
        }
        drop(rows);
        let Some((seq, hash)) = end else { return Ok(0) };
        // What is left goes on from here; events from before the chain leave its beginning alone.
        if let Some(hash) = hash {
            Link { seq, hash }.begin(batch.conn)?;
        }
        batch.conn.prepare_cached("DELETE FROM event WHERE eseq<=?1")?.execute([seq])
    }
}
