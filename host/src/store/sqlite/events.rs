//! What happened, written in the transaction of the thing itself, each line chained to the one
//! before by its hash.
//!
//! The chain shows that lines were changed, put in, or taken out of the middle. Who can write the
//! file can also write a new chain; that shows only if a hash was noted elsewhere before, which is
//! what an export is good for.

use std::{borrow::Cow, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Result};

use super::{
    names::Named,
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    limits::EVENTS_LIMIT_MAX,
    store::{Event, EventKind, EventQuery, NewEvent, Page, event::cut},
};

/// Where the chain ends, or begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Link {
    /// The number of the event.
    pub(super) seq: i64,
    /// Its hash.
    pub(super) hash: [u8; 32],
}

/// Whose affair an event is.
pub(super) enum Of<'a> {
    Host,
    /// The tenant and its number.
    Tenant(TenantId, i64),
    Lane(&'a Named),
}

/// An event to write down.
pub(super) struct Line<'a> {
    pub(super) at: UnixMs,
    pub(super) kind: EventKind,
    pub(super) of: Of<'a>,
    /// The notification and its number.
    pub(super) about: Option<(NotificationId, i64)>,
    pub(super) attempt: u32,
    pub(super) detail: Option<&'a str>,
}

impl Link {
    /// The event that the chain begins behind: what was before is purged, or of a version without
    /// a chain.
    pub(super) fn first(conn: &Connection) -> Result<Self> {
        conn.prepare_cached(
            "SELECT n.v, hash.v FROM meta AS n, meta AS hash
             WHERE n.k='chain_seq' AND hash.k='chain_hash'",
        )?
        .query_row((), |row| Ok(Self { seq: row.get(0)?, hash: row.get(1)? }))
    }

    /// The chain begins behind this event from now on.
    pub(super) fn begin(&self, conn: &Connection) -> Result<()> {
        let mut set = conn.prepare_cached("UPDATE meta SET v=?2 WHERE k=?1")?;
        set.execute(("chain_seq", self.seq))?;
        set.execute(("chain_hash", self.hash))?;
        Ok(())
    }

    /// The newest event.
    pub(super) fn last(conn: &Connection) -> Result<Self> {
        let first = Self::first(conn)?;
        let last = conn
            .query_row("SELECT eseq, hash FROM event ORDER BY eseq DESC LIMIT 1", (), |row| {
                Ok((row.get(0)?, row.get::<_, Option<[u8; 32]>>(1)?))
            })
            .optional()?;
        Ok(match last {
            // A number is never given twice, whatever was done to the file.
            Some((seq, hash)) if seq > first.seq => Self { seq, hash: hash.unwrap_or(first.hash) },
            _ => first,
        })
    }

    /// Writes an event behind the last one.
    pub(super) fn append(&mut self, conn: &Connection, line: &Line<'_>) -> Result<()> {
        let (tenant, tenant_n, channel, lane_n) = match line.of {
            Of::Host => (None, 0, None, 0),
            Of::Tenant(tenant, n) => (Some(tenant), n, None, 0),
            Of::Lane(lane) => {
                (Some(lane.lane.tenant), lane.tenant, Some(lane.lane.channel.clone()), lane.n)
            }
        };
        let event = Event {
            seq: self.seq + 1,
            at: line.at,
            kind: line.kind,
            tenant,
            notification: line.about.map(|(id, _)| id),
            channel,
            attempt: line.attempt,
            detail: line.detail.map(|text| Cow::Owned(text.to_owned())),
            hash: None,
        };
        let hash = event.hash_after(&self.hash);
        conn.prepare_cached(
            "INSERT INTO event(eseq, at, kind, tenant, seq, attempt, detail, hash, id, lane)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute((
            event.seq,
            event.at,
            event.kind,
            tenant_n,
            line.about.map_or(0, |(_, seq)| seq),
            event.attempt,
            line.detail,
            hash,
            event.notification,
            lane_n,
        ))?;
        *self = Self { seq: event.seq, hash };
        Ok(())
    }
}

/// [`crate::store::Store::record_event`].
pub(super) struct Record(pub(super) NewEvent);

impl Work for Record {
    type Answer = ();
    const CLASS: Class = Class::Maintenance;

    fn run(&self, batch: &mut Batch<'_>) -> Result<()> {
        let NewEvent { kind, tenant, notification, detail } = &self.0;
        let of = match tenant {
            Some(id) => Of::Tenant(*id, batch.memory.names.intern_tenant(batch.conn, *id)?),
            None => Of::Host,
        };
        let detail = detail.clone().map(cut);
        batch.event(&Line {
            at: batch.now(),
            kind: *kind,
            of,
            about: notification.map(|id| (id, 0)),
            attempt: 0,
            detail: detail.as_deref(),
        })
    }
}

/// An event of a lane's notification.
pub(super) fn of_notification<'a>(
    lane: &'a Arc<Named>,
    about: (NotificationId, i64),
    at: UnixMs,
    kind: EventKind,
) -> Line<'a> {
    Line { at, kind, of: Of::Lane(lane), about: Some(about), attempt: 0, detail: None }
}

/// [`crate::store::Store::events`].
pub(super) fn events(conn: &Connection, query: &EventQuery) -> Result<Page<Event>> {
    let limit = query.limit.clamp(1, EVENTS_LIMIT_MAX);
    let of_tenant = match query.tenant {
        // `tenant` and number are the index; without a tenant the number is the key.
        Some(_) => "event.tenant=(SELECT n FROM tenant WHERE id=?3) AND",
        None => "?3 IS NULL AND",
    };
    let mut items = conn
        .prepare_cached(&format!(
            "SELECT eseq, at, kind, tenant.id, event.id, lane.channel, attempt, detail, hash
             FROM event LEFT JOIN tenant ON tenant.n=event.tenant
             LEFT JOIN lane ON lane.n=event.lane
             WHERE {of_tenant} eseq>?1 ORDER BY eseq LIMIT ?2"
        ))?
        .query_map(
            (query.after, i64::try_from(limit + 1).unwrap_or(i64::MAX), query.tenant),
            |sql| {
                Ok(Event {
                    seq: sql.get(0)?,
                    at: sql.get(1)?,
                    kind: sql.get(2)?,
                    tenant: sql.get(3)?,
                    notification: sql.get(4)?,
                    channel: sql.get(5)?,
                    attempt: sql.get(6)?,
                    detail: sql.get::<_, Option<String>>(7)?.map(Cow::Owned),
                    hash: sql.get(8)?,
                })
            },
        )?
        .collect::<Result<Vec<_>>>()?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().map(|event| event.seq).filter(|_| more);
    Ok(Page { items, next })
}
