//! The questions.

use rusqlite::{Connection, OptionalExtension, Result, Row as SqlRow};

use super::{attempts, serial};
use crate::{
    clock::UnixMs,
    ids::{ChannelName, NotificationId, TenantId},
    store::{Lane, Ready, Row, State, Status},
};

/// The columns of a [`Row`], in the order of [`row`].
pub(super) const COLUMNS: &str =
    "id, state, prio, created, updated, attempts, generation, provider_id, last_error, parent";

/// How many they are.
pub(super) const COLUMNS_LEN: usize = 10;

/// A [`Row`] from [`COLUMNS`].
pub(super) fn row(sql: &SqlRow<'_>, lane: Lane) -> Result<Row> {
    Ok(Row {
        id: sql.get(0)?,
        lane,
        state: sql.get(1)?,
        priority: sql.get(2)?,
        created: sql.get(3)?,
        updated: sql.get(4)?,
        attempts: sql.get(5)?,
        generation: sql.get(6)?,
        provider_id: sql.get(7)?,
        last_error: sql.get(8)?,
        parent: sql.get(9)?,
    })
}

/// [`crate::store::Store::status`].
pub(super) fn status(
    conn: &Connection,
    tenant: TenantId,
    id: NotificationId,
) -> Result<Option<Status>> {
    // One transaction, so that row, payload and attempts are of one moment.
    let picture = conn.unchecked_transaction()?;
    let found = picture
        .prepare_cached(&format!(
            "SELECT {COLUMNS}, notif.due, notif.seq, channel, notif.lane, okey
             FROM notif JOIN lane ON lane.n=notif.lane
             WHERE id=?1 AND lane.tenant=(SELECT n FROM tenant WHERE id=?2)"
        ))?
        .query_row((id, tenant), |sql| {
            let channel: ChannelName = sql.get(COLUMNS_LEN + 2)?;
            let (lane, key): (i64, Option<Box<str>>) =
                (sql.get(COLUMNS_LEN + 3)?, sql.get(COLUMNS_LEN + 4)?);
            let due: Option<UnixMs> = sql.get(COLUMNS_LEN)?;
            let seq: i64 = sql.get(COLUMNS_LEN + 1)?;
            Ok((row(sql, Lane { tenant, channel })?, due, seq, key.map(|key| (lane, key))))
        })
        .optional()?;
    let Some((row, due, seq, key)) = found else { return Ok(None) };
    let blocked_by = match key {
        Some((lane, key)) if row.state == State::Queued => {
            serial::blocker(&picture, (lane, &key), seq)?
        }
        _ => None,
    };
    let payload: Vec<u8> = picture
        .prepare_cached("SELECT payload FROM body WHERE seq=?1")?
        .query_row([seq], |sql| sql.get(0))?;
    let attempts = attempts::of(&picture, seq)?;
    // While an attempt runs, `due` is the end of its lease; no further one is due yet.
    let due = due.filter(|_| row.state != State::Sending);
    Ok(Some(Status { row, due, blocked_by, payload: payload.into(), attempts }))
}

/// [`crate::store::Store::ready`]: from lane to lane by seeks, four more in each.
pub(super) fn ready(conn: &Connection) -> Result<Vec<Ready>> {
    conn.prepare_cached(
        "WITH RECURSIVE busy(n) AS (
           SELECT min(lane) FROM job
           UNION ALL
           SELECT (SELECT min(lane) FROM job WHERE lane>busy.n) FROM busy WHERE busy.n IS NOT NULL)
         SELECT tenant.id, lane.channel, level.column1,
           (SELECT min(due) FROM job WHERE lane=busy.n AND prio=level.column1) AS first
         FROM busy JOIN lane ON lane.n=busy.n JOIN tenant ON tenant.n=lane.tenant
         CROSS JOIN (VALUES(0), (1), (2), (3)) AS level
         WHERE first IS NOT NULL ORDER BY lane.n, level.column1",
    )?
    .query_map((), |sql| {
        Ok(Ready {
            lane: Lane { tenant: sql.get(0)?, channel: sql.get(1)? },
            priority: sql.get(2)?,
            due: sql.get(3)?,
        })
    })?
    .collect()
}
