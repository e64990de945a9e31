//! What happened, in the order in which it happened: the audit trail and the outbox in one table,
//! written in the transaction of the thing itself.

use rusqlite::{Connection, Result};

use crate::clock::UnixMs;

/// What happened. The numbers are on disk: they never change.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Accepted = 1,
    Delivered = 2,
    Retrying = 3,
    Dead = 4,
    Cancelled = 5,
    Replayed = 6,
    /// A lease ended without a word of how the attempt went: it may have been delivered.
    Lost = 7,
}

/// One line of the trail.
pub(super) struct Event<'a> {
    pub(super) at: UnixMs,
    pub(super) kind: Kind,
    /// The tenant's number.
    pub(super) tenant: i64,
    pub(super) seq: i64,
    pub(super) attempt: u32,
    pub(super) detail: Option<&'a str>,
}

/// Writes it down.
pub(super) fn record(conn: &Connection, event: &Event<'_>) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO event(at, kind, tenant, seq, attempt, detail) VALUES(?1,?2,?3,?4,?5,?6)",
    )?
    .execute((
        event.at,
        event.kind as i64,
        event.tenant,
        event.seq,
        event.attempt,
        event.detail,
    ))?;
    Ok(())
}
