//! Parents: accepting them with their children, and how their branches stand.

use rusqlite::{Connection, OptionalExtension, Result};

use super::{
    enqueue::{Member, ROW_BYTES, duplicate, put, remember, used_before},
    events::{Line, Of},
    queue::Class,
    reads::{COLUMNS, COLUMNS_LEN, row},
    work::{Batch, Work},
};
use crate::{
    ids::{ChannelName, NotificationId, TenantId},
    store::{Child, Enqueued, EventKind, Lane, NewGroup, ParentStatus, group::Branches},
};

/// [`crate::store::Store::enqueue_groups`].
pub(super) struct EnqueueGroups(pub(super) Vec<NewGroup>);

impl Work for EnqueueGroups {
    type Answer = Vec<Enqueued>;
    const CLASS: Class = Class::Enqueue;

    fn items(&self) -> usize {
        self.0.iter().map(|group| 1 + group.children.len()).sum()
    }

    fn bytes(&self) -> usize {
        let of_child = |child: &crate::store::NewNotification| child.payload.len() + ROW_BYTES;
        let of_group = |group: &NewGroup| {
            group.payload.len() + ROW_BYTES + group.children.iter().map(of_child).sum::<usize>()
        };
        self.0.iter().map(of_group).sum()
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<Vec<Enqueued>> {
        self.0.iter().map(|group| accept(batch, group)).collect()
    }
}

fn accept(batch: &mut Batch<'_>, group: &NewGroup) -> Result<Enqueued> {
    let now = batch.now();
    if let Some(key) = &group.idempotency
        && let Some(first) = used_before(batch, group.tenant, key, now)?
    {
        return Ok(first);
    }
    if let Some(known) = same_id(batch, group)? {
        return Ok(known);
    }
    let live = batch.live(group.tenant);
    if live.saturating_add(group.children.len() as u64) > group.live_max {
        return Ok(Enqueued::OverQuota { live });
    }
    let tenant = batch.memory.names.intern_tenant(batch.conn, group.tenant)?;
    let seq = batch.next_seq(now);
    batch
        .conn
        .prepare_cached("INSERT INTO parent(seq, id, tenant, created) VALUES(?1, ?2, ?3, ?4)")?
        .execute((seq, group.id, tenant, now))?;
    batch
        .conn
        .prepare_cached("INSERT INTO body(seq, payload) VALUES(?1, ?2)")?
        .execute((seq, &group.payload[..]))?;
    batch.event(&Line {
        at: now,
        kind: EventKind::Accepted,
        of: Of::Tenant(group.tenant, tenant),
        about: Some((group.id, seq)),
        attempt: 0,
        detail: None,
    })?;
    for (branch, child) in (0_u32..).zip(&group.children) {
        // Its id is free: it was looked for above.
        put(batch, child, Some(Member { parent: group.id, branch }), now)?;
    }
    if let Some(key) = &group.idempotency {
        remember(batch, tenant, key, group.id, now)?;
    }
    Ok(Enqueued::Accepted)
}

/// The same id again, or one that is something else's. A group is accepted whole, so all of its ids
/// are looked at before anything is written.
fn same_id(batch: &Batch<'_>, group: &NewGroup) -> Result<Option<Enqueued>> {
    let known: Option<(TenantId, Vec<u8>)> = batch
        .conn
        .prepare_cached(
            "SELECT tenant.id, payload FROM parent JOIN body ON body.seq=parent.seq
             JOIN tenant ON tenant.n=parent.tenant WHERE parent.id=?1",
        )?
        .query_row([group.id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    if let Some((tenant, payload)) = known {
        let same = tenant == group.tenant && payload == group.payload;
        return Ok(Some(duplicate(group.id, same)));
    }
    let mut taken = batch.conn.prepare_cached("SELECT 1 FROM notif WHERE id=?1")?;
    let mut own = std::collections::HashSet::from([group.id]);
    for child in &group.children {
        if !own.insert(child.id) {
            return Ok(Some(duplicate(group.id, false)));
        }
    }
    for id in own {
        if taken.exists([id])? {
            return Ok(Some(duplicate(group.id, false)));
        }
    }
    Ok(None)
}

/// How the branches of a parent stand.
pub(super) fn branches(conn: &Connection, parent: NotificationId) -> Result<Branches> {
    let children = conn
        .prepare_cached("SELECT branch, state FROM notif WHERE parent=?1")?
        .query_map([parent], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<_>>>()?;
    Ok(Branches::of(children.into_iter()))
}

/// The parent's children, in the order in which they were accepted.
pub(super) fn children(
    conn: &Connection,
    tenant: TenantId,
    parent: NotificationId,
) -> Result<Vec<Child>> {
    conn.prepare_cached(&format!(
        "SELECT {COLUMNS}, branch, channel FROM notif JOIN lane ON lane.n=notif.lane
         WHERE parent=?1 ORDER BY seq"
    ))?
    .query_map([parent], |sql| {
        let channel: ChannelName = sql.get(COLUMNS_LEN + 1)?;
        Ok(Child { branch: sql.get(COLUMNS_LEN)?, row: row(sql, Lane { tenant, channel })? })
    })?
    .collect()
}

/// [`crate::store::Store::parent`].
pub(super) fn status(
    conn: &Connection,
    tenant: TenantId,
    id: NotificationId,
) -> Result<Option<ParentStatus>> {
    // One transaction, so that parent and children are of one moment.
    let picture = conn.unchecked_transaction()?;
    let found = picture
        .prepare_cached(
            "SELECT created, payload FROM parent JOIN body ON body.seq=parent.seq
             WHERE id=?1 AND tenant=(SELECT n FROM tenant WHERE id=?2)",
        )?
        .query_row((id, tenant), |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))
        .optional()?;
    let Some((created, payload)) = found else { return Ok(None) };
    let children = children(&picture, tenant, id)?;
    let sum = Branches::of(children.iter().map(|child| (child.branch, child.row.state)));
    Ok(Some(ParentStatus {
        id,
        created,
        payload: payload.into(),
        branches: sum.all,
        open: sum.open,
        delivered: sum.delivered,
        failed: sum.failed(),
        children,
    }))
}
