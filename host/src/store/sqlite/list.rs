//! Listings. Rows lie under their lane, so a tenant's listing merges its lanes; each lane is asked
//! only for what is newer than the worst row that is already in the page. However many rows of other
//! lanes, states or times there are, none of them is walked over.

use rusqlite::{Connection, Result};

use super::{
    reads::{COLUMNS, COLUMNS_LEN, row},
    schema::SPAN_MS,
};
use crate::{
    clock::UnixMs,
    ids::ChannelName,
    limits::LIST_LIMIT_MAX,
    store::{Lane, ListQuery, Page, Row},
};

/// [`crate::store::Store::list`].
pub(super) fn list(conn: &Connection, query: &ListQuery) -> Result<Page<Row>> {
    let picture = conn.unchecked_transaction()?;
    let limit = query.limit.clamp(1, LIST_LIMIT_MAX);
    let (mut after, mut before) = bounds(&picture, query)?;
    before = before.min(query.cursor.unwrap_or(i64::MAX));
    let mut best: Vec<(i64, Row)> = Vec::new();
    for (lane, channel) in lanes(&picture, query)? {
        of_lane(&picture, query, (lane, channel), (after, before), limit + 1, &mut best)?;
        best.sort_unstable_by_key(|(seq, _)| std::cmp::Reverse(*seq));
        best.truncate(limit + 1);
        // A full page: of the lanes to come, only what is newer than its last row matters.
        if let Some((last, _)) = best.get(limit) {
            after = *last;
        }
    }
    let more = best.len() > limit;
    best.truncate(limit);
    let next = best.last().map(|(seq, _)| *seq).filter(|_| more);
    Ok(Page { items: best.into_iter().map(|(_, row)| row).collect(), next })
}

/// The tenant's lanes that are asked for.
fn lanes(conn: &Connection, query: &ListQuery) -> Result<Vec<(i64, ChannelName)>> {
    conn.prepare_cached(
        "SELECT n, channel FROM lane WHERE tenant=(SELECT n FROM tenant WHERE id=?1)
         AND (?2 IS NULL OR channel=?2) ORDER BY n DESC",
    )?
    .query_map((query.tenant, &query.channel), |sql| Ok((sql.get(0)?, sql.get(1)?)))?
    .collect()
}

/// The numbers between which everything of the asked time lies, both exclusive.
fn bounds(conn: &Connection, query: &ListQuery) -> Result<(i64, i64)> {
    if query.from.is_none() && query.to.is_none() {
        return Ok((0, i64::MAX));
    }
    let slot = |at: UnixMs| at.0.div_euclid(SPAN_MS);
    let (from, to) = (query.from.map_or(i64::MIN, slot), query.to.map_or(i64::MAX, slot));
    let (first, last): (Option<i64>, Option<i64>) = conn
        .prepare_cached("SELECT min(first), max(last) FROM span WHERE slot BETWEEN ?1 AND ?2")?
        .query_row((from, to), |sql| Ok((sql.get(0)?, sql.get(1)?)))?;
    Ok(match (first, last) {
        (Some(first), Some(last)) => (first - 1, last.saturating_add(1)),
        _ => (0, 0),
    })
}

/// The newest rows of a lane.
fn of_lane(
    conn: &Connection,
    query: &ListQuery,
    (lane, channel): (i64, ChannelName),
    (after, before): (i64, i64),
    limit: usize,
    into: &mut Vec<(i64, Row)>,
) -> Result<()> {
    // `INDEXED BY` and not the planner's guess: it has no statistics, and a wrong guess is a walk.
    let source = if query.state.is_some() {
        "notif INDEXED BY notif_state WHERE state=?2"
    } else {
        "notif WHERE ?2 IS NULL"
    };
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {COLUMNS}, seq FROM {source} AND lane=?1 AND seq>?3 AND seq<?4
         AND created>=?5 AND created<?6 ORDER BY seq DESC LIMIT ?7"
    ))?;
    let from = query.from.unwrap_or(UnixMs(i64::MIN));
    let to = query.to.unwrap_or(UnixMs(i64::MAX));
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query((lane, query.state, after, before, from, to, limit))?;
    while let Some(sql) = rows.next()? {
        let lane = Lane { tenant: query.tenant, channel: channel.clone() };
        into.push((sql.get(COLUMNS_LEN)?, row(sql, lane)?));
    }
    Ok(())
}
