//! Accepting notifications.

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
    store::{Enqueued, EventKind, Idempotency, NewNotification, State},
};

/// What a row costs on disk beside its payload, about.
pub(super) const ROW_BYTES: usize = 256;

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

/// What a notification is to a parent.
#[derive(Clone, Copy)]
pub(super) struct Member {
    pub(super) parent: NotificationId,
    pub(super) branch: u32,
}

fn accept(batch: &mut Batch<'_>, item: &NewNotification) -> Result<Enqueued> {
    let now = batch.now();
    if let Some(key) = &item.idempotency
        && let Some(first) = used_before(batch, item.lane.tenant, key, now)?
    {
        return Ok(first);
    }
    let live = batch.live(item.lane.tenant);
    if live >= item.live_max {
        return Ok(same_id(batch, item)?.unwrap_or(Enqueued::OverQuota { live }));
    }
    if !put(batch, item, None, now)? {
        return Ok(same_id(batch, item)?.unwrap_or(Enqueued::OverQuota { live }));
    }
    Ok(Enqueued::Accepted)
}

/// Accepts a follow-up, unless it is known: without a look at the quota, for what has been accepted
/// must end, and somebody must be told.
pub(super) fn follow(
    batch: &mut Batch<'_>,
    item: &NewNotification,
    member: Option<Member>,
) -> Result<()> {
    let now = batch.now();
    if let Some(key) = &item.idempotency
        && used_before(batch, item.lane.tenant, key, now)?.is_some()
    {
        return Ok(());
    }
    put(batch, item, member, now).map(drop)
}

/// Writes a notification down with all that belongs to it; not if its id is taken.
pub(super) fn put(
    batch: &mut Batch<'_>,
    item: &NewNotification,
    member: Option<Member>,
    now: UnixMs,
) -> Result<bool> {
    let named = batch.memory.names.intern(batch.conn, &item.lane)?;
    let Some(seq) = insert(batch, item, &named, member, now)? else { return Ok(false) };
    if let Some(key) = item.idempotency.as_ref().filter(|_| member.is_none()) {
        remember(batch, named.tenant, key, item.id, now)?;
    }
    batch.event(&of_notification(&named, (item.id, seq), now, EventKind::Accepted))?;
    batch.moved(&named, None, State::Queued);
    let first = match item.ordering_key.as_deref() {
        Some(key) => serial::join(batch.conn, (named.n, key), seq)?,
        None => true,
    };
    if first {
        serial::add_job(batch, named.n, item.priority, item.due, seq)?;
    }
    Ok(true)
}

/// Remembers for what the tenant used the key.
pub(super) fn remember(
    batch: &Batch<'_>,
    tenant: i64,
    key: &Idempotency,
    id: NotificationId,
    now: UnixMs,
) -> Result<()> {
    batch
        .conn
        .prepare_cached("INSERT OR REPLACE INTO idem VALUES(?1, ?2, ?3, ?4, ?5)")?
        .execute((tenant, &key.key[..], id, &key.body_hash[..], now.after(key.ttl)))?;
    Ok(())
}

/// The rows of the notification itself; none if its id is taken.
fn insert(
    batch: &mut Batch<'_>,
    item: &NewNotification,
    lane: &Arc<Named>,
    member: Option<Member>,
    now: UnixMs,
) -> Result<Option<i64>> {
    let seq = batch.memory.last_seq + 1;
    let written = batch
        .conn
        .prepare_cached(
            "INSERT INTO notif(lane, seq, id, state, prio, created, updated, due, expires,
               generation, attempts, parent, branch, okey)
             VALUES(?1, ?2, ?3, 0, ?4, ?5, ?5, ?6, ?7, 0, 0, ?8, ?9, ?10)
             ON CONFLICT(id) DO NOTHING",
        )?
        .execute((
            lane.n,
            seq,
            item.id,
            item.priority,
            now,
            item.due,
            item.expires,
            member.map(|member| member.parent),
            member.map(|member| member.branch),
            item.ordering_key.as_deref(),
        ))?;
    if written == 0 {
        return Ok(None);
    }
    let seq = batch.next_seq(now);
    batch
        .conn
        .prepare_cached("INSERT INTO body(seq, payload) VALUES(?1, ?2)")?
        .execute((seq, &item.payload[..]))?;
    Ok(Some(seq))
}

/// The notification that the tenant used this key for, while the key is remembered.
pub(super) fn used_before(
    batch: &Batch<'_>,
    tenant: TenantId,
    key: &Idempotency,
    now: UnixMs,
) -> Result<Option<Enqueued>> {
    let Some(tenant) = batch.memory.names.tenant(tenant) else { return Ok(None) };
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

pub(super) const fn duplicate(id: NotificationId, same_body: bool) -> Enqueued {
    Enqueued::Duplicate { id, same_body }
}
