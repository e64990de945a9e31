//! The record of every attempt.

use rusqlite::{Connection, Result};

use crate::store::Attempt;

/// Writes one down; `counts`: whether it is one of those that the retry policy allows.
pub(super) fn record(
    conn: &Connection,
    (seq, generation, number): (i64, u32, u32),
    attempt: &Attempt,
    counts: bool,
) -> Result<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO attempt(seq, generation, number, started, took_ms, outcome, code,
           detail, provider_id, digest, counts)
         VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
    )?
    .execute((
        seq,
        generation,
        number,
        attempt.started,
        attempt.took_ms,
        &attempt.outcome,
        &attempt.code,
        &attempt.detail,
        &attempt.provider_id,
        &attempt.digest,
        counts,
    ))?;
    Ok(())
}

/// All of a notification's, oldest first.
pub(super) fn of(conn: &Connection, seq: i64) -> Result<Vec<(u32, u32, Attempt)>> {
    conn.prepare_cached(
        "SELECT generation, number, started, took_ms, outcome, code, detail, provider_id, digest,
           counts
         FROM attempt WHERE seq=?1 ORDER BY generation, number",
    )?
    .query_map([seq], |row| {
        let attempt = Attempt {
            started: row.get(2)?,
            took_ms: row.get(3)?,
            outcome: row.get::<_, String>(4)?.into(),
            code: row.get(5)?,
            detail: row.get(6)?,
            provider_id: row.get(7)?,
            digest: row.get(8)?,
            counts: row.get(9)?,
        };
        Ok((row.get(0)?, row.get(1)?, attempt))
    })?
    .collect()
}
