//! Ending leases.

use std::sync::Arc;

use rusqlite::Result;

use super::{
    attempts,
    events::{self, Event, Kind},
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    store::{LeaseToken, Outcome, Settle, Settled, State},
};

/// [`crate::store::Store::settle`].
pub(super) struct SettleAll(pub(super) Vec<Settle>);

impl Work for SettleAll {
    type Answer = Vec<Settled>;
    const CLASS: Class = Class::Settle;

    fn items(&self) -> usize {
        self.0.len()
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
    event: Option<Kind>,
}

fn next(item: &Settle) -> Next {
    let attempts = item.token.attempt;
    let end = |state, kind| Next { state, due: None, attempts, event: Some(kind) };
    match item.outcome {
        Outcome::Delivered => end(State::Delivered, Kind::Delivered),
        Outcome::Dead => end(State::Dead, Kind::Dead),
        Outcome::Retry { due } => Next { due: Some(due), ..end(State::Retrying, Kind::Retrying) },
        Outcome::Release { due } => {
            let attempts = attempts.saturating_sub(1);
            let state = if attempts == 0 { State::Queued } else { State::Retrying };
            Next { state, due: Some(due), attempts, event: None }
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
    let generation = batch
        .conn
        .prepare_cached(
            "UPDATE notif SET state=?3, updated=?4, due=?5, attempts=?6,
               provider_id=coalesce(?7, provider_id), last_error=coalesce(?8, last_error)
             WHERE lane=?1 AND seq=?2 RETURNING generation",
        )?
        .query_row(
            (token.lane, token.seq, next.state, now, next.due, next.attempts, provider_id, error),
            |row| row.get(0),
        )?;
    if let Some(attempt) = record {
        attempts::record(batch.conn, (token.seq, generation, token.attempt), attempt)?;
    }
    if let Some(kind) = next.event {
        let (tenant, seq, attempt) = (lane.tenant, token.seq, token.attempt);
        let detail = record.map(|attempt| attempt.outcome.as_str());
        events::record(batch.conn, &Event { at: now, kind, tenant, seq, attempt, detail })?;
    }
    batch.moved(&lane, Some(State::Sending), next.state);
    if let Some(due) = next.due {
        batch.hint(token.lane, due);
    }
    Ok(Settled::Done)
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
                "UPDATE job SET due=?7, attempt=?8, owner=0
                 WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4 AND attempt=?5 AND owner=?6",
            )?
            .execute((key.0, key.1, key.2, key.3, key.4, key.5, at, next.attempts))?,
    };
    Ok(changed == 1)
}
