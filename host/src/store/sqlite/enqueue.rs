//! Accepting notifications.

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
    ids::NotificationId,
    store::{Enqueued, Idempotency, Lane, NewNotification, State},
};

/// What a row costs on disk beside its payload, about.
const ROW_BYTES: usize = 256;

/// [`crate::store::Store::enqueue`].
pub(super) struct Enqueue(pub(super) Vec<NewNotification>);

impl Work for Enqueue {
    type Answer = Vec<Enqueued>;
    const CLASS: Class = Class::Enqueue;

    fn items(&self) -> usize {
        self.0.len()
    }

    fn bytes(&self) -> usize {
        self.0.iter().map(|item| item.payload.len() + ROW_BYTES).sum()
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<Vec<Enqueued>> {
        self.0.iter().map(|item| accept(batch, item)).collect()
    }
}

fn accept(batch: &mut Batch<'_>, item: &NewNotification) -> Result<Enqueued> {
    let now = batch.now();
    if let Some(key) = &item.idempotency
        && let Some(first) = used_before(batch, &item.lane, key, now)?
    {
        return Ok(first);
    }
    let live = batch.live(item.lane.tenant);
    if live >= item.live_max {
        return Ok(same_id(batch, item)?.unwrap_or(Enqueued::OverQuota { live }));
    }
    let named = batch.memory.names.intern(batch.conn, &item.lane)?;
    let Some(seq) = insert(batch, item, &named, now)? else {
        return Ok(same_id(batch, item)?.unwrap_or(Enqueued::OverQuota { live }));
    };
    if let Some(key) = &item.idempotency {
        batch
            .conn
            .prepare_cached("INSERT OR REPLACE INTO idem VALUES(?1, ?2, ?3, ?4, ?5)")?
            .execute((
                named.tenant,
                &key.key[..],
                item.id,
                &key.body_hash[..],
                now.after(key.ttl),
            ))?;
    }
    let (kind, tenant) = (Kind::Accepted, named.tenant);
    events::record(batch.conn, &Event { at: now, kind, tenant, seq, attempt: 0, detail: None })?;
    batch.moved(&named, None, State::Queued);
    batch.hint(named.n, item.due);
    Ok(Enqueued::Accepted)
}

/// The rows of the notification itself; none if its id is taken.
fn insert(
    batch: &mut Batch<'_>,
    item: &NewNotification,
    lane: &Arc<Named>,
    now: UnixMs,
) -> Result<Option<i64>> {
    let seq = batch.memory.last_seq + 1;
    let written = batch
        .conn
        .prepare_cached(
            "INSERT INTO notif(lane, seq, id, state, prio, created, updated, due, expires,
               generation, attempts)
             VALUES(?1, ?2, ?3, 0, ?4, ?5, ?5, ?6, ?7, 0, 0) ON CONFLICT(id) DO NOTHING",
        )?
        .execute((lane.n, seq, item.id, item.priority, now, item.due, item.expires))?;
    if written == 0 {
        return Ok(None);
    }
    let seq = batch.next_seq(now);
    batch
        .conn
        .prepare_cached("INSERT INTO body(seq, payload) VALUES(?1, ?2)")?
        .execute((seq, &item.payload[..]))?;
    batch
        .conn
        .prepare_cached(
            "INSERT INTO job(lane, prio, due, seq, attempt, owner) VALUES(?1, ?2, ?3, ?4, 0, 0)",
        )?
        .execute((lane.n, item.priority, item.due, seq))?;
    Ok(Some(seq))
}

/// The notification that the tenant used this key for, while the key is remembered.
fn used_before(
    batch: &Batch<'_>,
    lane: &Lane,
    key: &Idempotency,
    now: UnixMs,
) -> Result<Option<Enqueued>> {
    let Some(tenant) = batch.memory.names.tenant(lane.tenant) else { return Ok(None) };
    batch
        .conn
        .prepare_cached(
            "SELECT id, body_hash=?3 FROM idem WHERE tenant=?1 AND key=?2 AND expires>?4",
        )?
        .query_row((tenant, &key.key[..], &key.body_hash[..], now), |row| {
            Ok(Enqueued::Duplicate { id: row.get(0)?, same_body: row.get(1)? })
        })
        .optional()
}

/// The same id again: a repetition after an answer that got lost, if all of it is the same.
fn same_id(batch: &Batch<'_>, item: &NewNotification) -> Result<Option<Enqueued>> {
    let known: Option<(i64, i64)> = batch
        .conn
        .prepare_cached("SELECT lane, seq FROM notif WHERE id=?1")?
        .query_row([item.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((lane, seq)) = known else { return Ok(None) };
    let payload: Vec<u8> = batch
        .conn
        .prepare_cached("SELECT payload FROM body WHERE seq=?1")?
        .query_row([seq], |row| row.get(0))?;
    let same_lane = batch.memory.names.numbered(lane).is_some_and(|named| named.lane == item.lane);
    Ok(Some(duplicate(item.id, same_lane && payload == item.payload)))
}

const fn duplicate(id: NotificationId, same_body: bool) -> Enqueued {
    Enqueued::Duplicate { id, same_body }
}
