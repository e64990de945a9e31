//! Taking due jobs: four seeks a lane, one for each priority, and never a walk over jobs that are
//! not due.

use std::{iter::Peekable, sync::Arc, time::Duration, vec::IntoIter};

use bytes::Bytes;
use rusqlite::Result;

use super::{
    attempts,
    events::{Line, of_notification},
    names::Named,
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::UnixMs,
    store::{
        EventKind, LeaseToken, Leased, Priority, State, Want, lost::lost_attempt, turns::Turns,
    },
};

/// [`crate::store::Store::lease`].
pub(super) struct Lease {
    pub(super) wants: Vec<Want>,
    pub(super) ttl: Duration,
}

impl Work for Lease {
    type Answer = Vec<Leased>;
    const CLASS: Class = Class::Lease;

    fn items(&self) -> usize {
        self.wants.len()
    }

    fn run(&self, batch: &mut Batch<'_>) -> Result<Vec<Leased>> {
        let mut leased = Vec::new();
        for want in &self.wants {
            let Some(named) = batch.memory.names.lane(&want.lane).map(Arc::clone) else { continue };
            let now = batch.now();
            let mut due = due(batch, &named, want.max, now)?;
            for _ in 0..want.max {
                let heads = due.each_mut().map(|due| due.peek().map(|job| (job.due, job.seq)));
                let Some(turn) = batch.turns(named.n).next(heads) else { break };
                let job = due.get_mut(turn.takes as usize).and_then(Iterator::next);
                let Some(job) = job else { break };
                let taken = take(batch, &named, &job, now, now.after(self.ttl))?;
                leased.push(Leased { most_urgent: turn.most_urgent, ..taken });
            }
        }
        Ok(leased)
    }
}

/// A row of `job`.
struct Job {
    priority: Priority,
    due: UnixMs,
    seq: i64,
    attempt: u32,
    owner: i64,
    free: u32,
}

/// The due jobs of a lane, of each priority as many as the next `max` turns can ask for.
fn due(
    batch: &Batch<'_>,
    lane: &Named,
    max: usize,
    now: UnixMs,
) -> Result<[Peekable<IntoIter<Job>>; 4]> {
    let mut statement = batch.conn.prepare_cached(
        "SELECT due, seq, attempt, owner, free FROM job WHERE lane=?1 AND prio=?2 AND due<=?3
         ORDER BY due, seq LIMIT ?4",
    )?;
    let mut known = 0;
    let mut of = |priority| -> Result<Peekable<IntoIter<Job>>> {
        let limit = i64::try_from(Turns::needs(max, known)).unwrap_or(i64::MAX);
        let mut rows = statement.query((lane.n, priority, now, limit))?;
        let mut jobs = Vec::new();
        while let Some(row) = rows.next()? {
            jobs.push(Job {
                priority,
                due: row.get(0)?,
                seq: row.get(1)?,
                attempt: row.get(2)?,
                owner: row.get(3)?,
                free: row.get(4)?,
            });
        }
        known += jobs.len();
        Ok(jobs.into_iter().peekable())
    };
    let [urgent, high, normal, low] = Priority::ALL;
    Ok([of(urgent)?, of(high)?, of(normal)?, of(low)?])
}

fn take(
    batch: &mut Batch<'_>,
    lane: &Arc<Named>,
    job: &Job,
    now: UnixMs,
    until: UnixMs,
) -> Result<Leased> {
    let before = match (job.owner, job.attempt) {
        (0, 0) => State::Queued,
        (0, _) => State::Retrying,
        _ => {
            expired(batch, lane, job, now)?;
            State::Sending
        }
    };
    let attempt = job.attempt.saturating_add(1);
    batch
        .conn
        .prepare_cached(
            "UPDATE job SET due=?5, attempt=?6, owner=?7
             WHERE lane=?1 AND prio=?2 AND due=?3 AND seq=?4",
        )?
        .execute((lane.n, job.priority, job.due, job.seq, until, attempt, batch.incarnation))?;
    let mut leased = batch
        .conn
        .prepare_cached(
            "UPDATE notif SET state=1, updated=?3, due=?4, attempts=?5 WHERE lane=?1 AND seq=?2
             RETURNING id, generation, created, expires, parent",
        )?
        .query_row((lane.n, job.seq, now, until, attempt), |row| {
            let (seq, priority) = (job.seq, job.priority);
            Ok(Leased {
                token: LeaseToken { seq, lane: lane.n, priority, due: until, attempt },
                id: row.get(0)?,
                lane: lane.lane.clone(),
                generation: row.get(1)?,
                tries: job.attempt.saturating_sub(job.free),
                parent: row.get(4)?,
                created: row.get(2)?,
                expires: row.get(3)?,
                payload: Bytes::new(),
                most_urgent: priority,
            })
        })?;
    leased.payload = batch
        .conn
        .prepare_cached("SELECT payload FROM body WHERE seq=?1")?
        .query_row([job.seq], |row| row.get::<_, Vec<u8>>(0))?
        .into();
    batch.moved(lane, Some(before), State::Sending);
    Ok(leased)
}

/// The lease before this one ran out without a word: that attempt is lost, and the history says so.
fn expired(batch: &mut Batch<'_>, lane: &Arc<Named>, job: &Job, now: UnixMs) -> Result<()> {
    let (id, generation, started) = batch
        .conn
        .prepare_cached("SELECT id, generation, updated FROM notif WHERE lane=?1 AND seq=?2")?
        .query_row((lane.n, job.seq), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let record = lost_attempt(started, now);
    attempts::record(batch.conn, (job.seq, generation, job.attempt), &record, true)?;
    let line = of_notification(lane, (id, job.seq), now, EventKind::Lost);
    batch.event(&Line { attempt: job.attempt, ..line })
}
