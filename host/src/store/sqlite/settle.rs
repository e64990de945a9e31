//! Ending leases.

use std::sync::Arc;

use rusqlite::Result;

use super::{
    attempts,
    enqueue::{self, Member},
    events::{Line, of_notification},
    groups,
    queue::Class,
    serial,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{EventKind, Hint, LeaseToken, Outcome, Settle, Settled, State},
};

/// [`crate::store::Store::settle`].
pub(super) struct SettleAll(pub(super) Vec<Settle>);

impl Work for SettleAll {
    type Answer = Vec<Settled>;
    const CLASS: Class = Class::Settle;

    fn items(&self) -> usize {
        self.0.iter().map(|item| 1 + item.follow.len()).sum()
    }

    fn bytes(&self) -> usize {
        let follow = self.0.iter().flat_map(|item| &item.follow);
        follow.map(|item| item.payload.len() + enqueue::ROW_BYTES).sum()
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<Vec<Settled>> {
        self.0.iter().map(|item| settle(batch, item)).collect()
    }
}

/// Where the job goes.
struct Next {
    state: State,
    due: Option<UnixMs>,
    attempts: u32,
    /// Attempts, of these, that do not count from now on.
    free: u32,
    event: Option<EventKind>,
}

fn next(item: &Settle) -> Next {
    let attempts = item.token.attempt;
    let end = |state, kind| Next { state, due: None, attempts, free: 0, event: Some(kind) };
    match item.outcome {
        Outcome::Delivered => end(State::Delivered, EventKind::Delivered),
        Outcome::Dead => end(State::Dead, EventKind::Dead),
        Outcome::Retry { due, counts } => {
            let free = u32::from(!counts);
            Next { due: Some(due), free, ..end(State::Retrying, EventKind::Retrying) }
        }
        Outcome::Release { due } => {
            let attempts = attempts.saturating_sub(1);
            let state = if attempts == 0 { State::Queued } else { State::Retrying };
            Next { state, due: Some(due), attempts, free: 0, event: None }
        }
    }
}

fn settle(batch: &mut Batch<'_>, item: &Settle) -> Result<Settled> {
    let token = &item.token;
    let Some(lane) = batch.memory.names.numbered(token.lane).map(Arc::clone) else {
        return Ok(Settled::LeaseLost);
    };
    let next = next(item);
    if !move_job(batch, token, &next)? {
        return Ok(Settled::LeaseLost);
    }
    let now = batch.now();
    // A release was no attempt: it leaves no record.
    let record = item.attempt.as_ref().filter(|_| next.event.is_some());
    let failed = matches!(next.state, State::Retrying | State::Dead);
    let error = record
        .filter(|_| failed)
        .map(|attempt| attempt.detail.as_deref().unwrap_or(&attempt.outcome));
    let provider_id = record.and_then(|attempt| attempt.provider_id.as_deref());
    let ended: Ended = batch
        .conn
        .prepare_cached(
            "UPDATE notif SET state=?3, updated=?4, due=?5, attempts=?6,
               provider_id=coalesce(?7, provider_id), last_error=coalesce(?8, last_error)
             WHERE lane=?1 AND seq=?2 RETURNING generation, parent, branch, okey, id",
        )?
        .query_row(
            (token.lane, token.seq, next.state, now, next.due, next.attempts, provider_id, error),
            |row| {
                let parent: Option<NotificationId> = row.get(1)?;
                let branch: Option<u32> = row.get(2)?;
                let member = parent.zip(branch).map(|(parent, branch)| Member { parent, branch });
                Ok(Ended { id: row.get(4)?, generation: row.get(0)?, member, key: row.get(3)? })
            },
        )?;
    if let Some(attempt) = record {
        let key = (token.seq, ended.generation, token.attempt);
        let counts = match item.outcome {
            Outcome::Retry { counts, .. } => counts,
            _ => attempt.counts,
        };
        attempts::record(batch.conn, key, attempt, counts)?;
    }
    if let Some(kind) = next.event {
        let detail = record.map(|attempt| &*attempt.outcome);
        let line = of_notification(&lane, (ended.id, token.seq), now, kind);
        batch.event(&Line { attempt: token.attempt, detail, ..line })?;
    }
    batch.moved(&lane, Some(State::Sending), next.state);
    if let Some(due) = next.due {
        batch.hint(token.lane, Hint { due, priority: token.priority });
    } else if let Some(key) = &ended.key {
        serial::leave(batch, (token.lane, key), token.seq)?;
    }
    for item in &item.follow {
        let same_tenant = item.lane.tenant == lane.lane.tenant;
        let continues = |member: &Member| same_tenant && item.parent == Some(member.parent);
        let member = ended.member.filter(continues);
        enqueue::follow(batch, item, member)?;
    }
    let parent = match ended.member {
        Some(Member { parent, .. }) if next.state.is_terminal() => {
            groups::branches(batch.conn, parent)?.end(parent)
        }
        _ => None,
    };
    Ok(Settled::Done { parent })
}

/// What the row says of itself.
struct Ended {
    id: NotificationId,
    generation: u32,
    member: Option<Member>,
    key: Option<Box<str>>,
}

/// Moves or removes the job if it is still ours, by everything that the token says. Owner 0 is a job
/// that nobody has: a retry that falls due when its lease would have ended must not look like one.
fn move_job(batch: &Batch<'_>, token: &LeaseToken, next: &Next) -> Result<bool> {
    let LeaseToken { seq, lane, priority, due, attempt } = token;
    let key = (lane, priority, due, seq, attempt, batch.incarnation);
    let changed = match next.due {
        None => batch
            .conn
            .prepare_cached(
                "DELETE FROM job WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4 AND attempt=?5
                 AND owner=?6",
            )?
            .execute(key)?,
        Some(at) => batch
            .conn
            .prepare_cached(
                "UPDATE job SET due=?7, attempt=?8, owner=0, free=free+?9
                 WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4 AND attempt=?5 AND owner=?6",
            )?
            .execute((key.0, key.1, key.2, key.3, key.4, key.5, at, next.attempts, next.free))?,
    };
    Ok(changed == 1)
}
