//! The one thread that writes. It takes what is waiting, does it in one transaction, syncs once, and
//! only then answers. There is no timer: while it syncs, the next batch gathers by itself, and what
//! comes while it works goes along.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use rusqlite::{Connection, Result};

use super::{
    Shared,
    ballast::Ballast,
    health::Trouble,
    lock::Lock,
    queue::Class,
    work::{Batch, Memory, Op},
};
use crate::{
    clock::Clock,
    store::{Health, StoreError},
};

type Ops = VecDeque<Box<dyn Op>>;

/// How long a transaction may gather work before it is synced; the rest waits for the next.
const EXECUTION_MAX: Duration = Duration::from_millis(10);

/// The log is copied into the database when it has so many pages: 16 MiB.
const CHECKPOINT_PAGES: i64 = 4_000;

/// … and, if a reader kept that from finishing, again after so many more.
const CHECKPOINT_AGAIN_PAGES: i64 = 1_000;

/// How often a full disk is tried for room; each try writes the ballast.
const RESUME_EVERY: Duration = Duration::from_secs(1);

/// All that the thread owns.
pub(super) struct Writer {
    pub(super) conn: Connection,
    pub(super) shared: Arc<Shared>,
    pub(super) memory: Memory,
    pub(super) clock: Clock,
    pub(super) incarnation: i64,
    pub(super) ballast: Ballast,
    pub(super) checkpoint_at: i64,
    pub(super) resume_tried: Option<Instant>,
    /// Dropped last, after the connection.
    pub(super) _lock: Lock,
}

/// Where a transaction went wrong.
struct Failure {
    error: rusqlite::Error,
    /// Then nobody knows whether it is on disk.
    at_commit: bool,
}

impl Failure {
    const fn before_commit(error: rusqlite::Error) -> Self {
        Self { error, at_commit: false }
    }
}

impl Writer {
    pub(super) const FIRST_CHECKPOINT: i64 = CHECKPOINT_PAGES;

    /// Works until the queue is closed and empty, or a write fails.
    pub(super) fn run(mut self) {
        loop {
            let mut ops = self.shared.queue.take();
            if ops.is_empty() {
                break;
            }
            self.resume_or_refuse(&mut ops);
            self.together(ops);
            self.checkpoint();
            if let Health::Failed(why) = self.shared.condition.health() {
                self.shared.queue.abandon(&StoreError::Unknown(why));
                return self.leave_as_it_is();
            }
        }
        if let Err(error) = self.conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())) {
            tracing::warn!(%error, "the store's log stays for the next start");
        }
    }

    /// After a failure the files are left to the next start: closing would copy the log, out of a
    /// page cache that cannot be believed.
    fn leave_as_it_is(self) {
        let switch = rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE;
        if let Err(error) = self.conn.set_db_config(switch, true) {
            tracing::warn!(%error, "the store's log will be copied as it closes");
        }
    }

    /// On a full disk: looks whether there is room again, else turns new notifications away.
    fn resume_or_refuse(&mut self, ops: &mut Ops) {
        let Health::ReadOnly(why) = self.shared.condition.health() else { return };
        if self.resume_tried.is_none_or(|tried| tried.elapsed() >= RESUME_EVERY) {
            let restored = self.ballast.restore();
            self.resume_tried = Some(Instant::now());
            if restored.is_ok() {
                self.shared.condition.resumed();
                return;
            }
        }
        for op in std::mem::take(ops) {
            if op.class() == Class::Enqueue {
                op.failed(StoreError::ReadOnly(why.clone()));
            } else {
                ops.push_back(op);
            }
        }
    }

    /// All of `ops` in one transaction.
    fn together(&mut self, mut ops: Ops) {
        if ops.is_empty() {
            return;
        }
        let mut begun = Ops::new();
        // On a full disk only what has been looked through goes in.
        let open = !self.shared.condition.is_read_only();
        let failure = match self.transaction(&mut ops, &mut begun, open) {
            Ok(()) => {
                self.shared.queue.put_back(ops);
                return begun.into_iter().for_each(Op::done);
            }
            Err(failure) => failure,
        };
        begun.append(&mut ops);
        let unknown = |text: &str| StoreError::Unknown(String::from(text));
        match Trouble::of(&failure.error) {
            Trouble::Fatal(text) => {
                self.shared.condition.fail(&text);
                begun.into_iter().for_each(|op| op.failed(unknown(&text)));
            }
            Trouble::Full(text) => {
                self.make_room(&text);
                for op in begun {
                    if op.class() != Class::Enqueue {
                        self.alone(op);
                    } else if failure.at_commit {
                        op.failed(unknown(&text));
                    } else {
                        op.failed(StoreError::ReadOnly(text.clone()));
                    }
                }
            }
            Trouble::Operation(text) if failure.at_commit => {
                begun.into_iter().for_each(|op| op.failed(unknown(&text)));
            }
            // One bad operation fails alone.
            Trouble::Operation(_) => begun.into_iter().for_each(|op| self.alone(op)),
        }
    }

    /// One operation in a transaction of its own.
    fn alone(&mut self, op: Box<dyn Op>) {
        if let Health::Failed(why) = self.shared.condition.health() {
            return op.failed(StoreError::Unknown(why));
        }
        let (mut ops, mut begun) = (Ops::from([op]), Ops::new());
        let Err(failure) = self.transaction(&mut ops, &mut begun, false) else {
            return begun.into_iter().for_each(Op::done);
        };
        begun.append(&mut ops);
        let text = match Trouble::of(&failure.error) {
            Trouble::Fatal(text) => {
                self.shared.condition.fail(&text);
                text
            }
            Trouble::Full(text) => {
                self.make_room(&text);
                text
            }
            Trouble::Operation(text) => text,
        };
        tracing::error!(error = text, "an operation on the store failed");
        begun.into_iter().for_each(|op| op.failed(StoreError::Unknown(text.clone())));
    }

    /// Moves operations from `ops` to `begun` while there is time, and commits what they did. `open`:
    /// with those that come meanwhile. A delivery that ends makes room for the next one, which is
    /// leased a few microseconds after the end is to be written: one sync for both, where everybody
    /// else would wait for two.
    fn transaction(&mut self, ops: &mut Ops, begun: &mut Ops, open: bool) -> Result<(), Failure> {
        let started = Instant::now();
        let Self { conn, shared, memory, clock, incarnation, .. } = self;
        let mut batch = Batch::new(conn, memory, &shared.tallies, clock, *incarnation);
        let mut result = begin(batch.conn).map_err(Failure::before_commit);
        if result.is_ok() {
            result = run_all(&mut batch, started, ops, begun);
        }
        if open && result.is_ok() && ops.is_empty() {
            ops.append(&mut shared.queue.take_more(begun));
            result = run_all(&mut batch, started, ops, begun);
        }
        let result = result
            .and_then(|()| batch.write_sums().map_err(Failure::before_commit))
            .and_then(|()| commit(conn).map_err(|error| Failure { error, at_commit: true }));
        if result.is_ok() {
            batch.committed(&shared.hints, &shared.last_event);
        } else {
            batch.rolled_back();
            if !conn.is_autocommit()
                && let Err(error) = conn.execute_batch("ROLLBACK")
            {
                shared.condition.fail(&format!("a transaction could not be rolled back: {error}"));
            }
        }
        result
    }

    fn make_room(&mut self, why: &str) {
        self.ballast.give_up();
        self.resume_tried = Some(Instant::now());
        if !self.shared.condition.is_read_only() {
            self.shared.condition.full(String::from(why));
        }
        // What the log holds may fit into free pages of the database.
        self.checkpoint_at = 0;
        self.checkpoint();
    }

    /// Copies the log into the database when it is long enough. Ours alone: a checkpoint from
    /// another connection has lost pages before, and a failed sync here must be seen.
    fn checkpoint(&mut self) {
        let pages = |conn: &Connection, mode: &str| {
            conn.prepare_cached(mode)?
                .query_row((), |row| Ok((row.get::<_, i64>(1)?, row.get::<_, i64>(2)?)))
        };
        let result = pages(&self.conn, "PRAGMA wal_checkpoint(NOOP)").and_then(|(log, _)| {
            if log < self.checkpoint_at {
                Ok(None)
            } else {
                pages(&self.conn, "PRAGMA wal_checkpoint(PASSIVE)").map(Some)
            }
        });
        match result {
            Ok(None) => {}
            Ok(Some((log, copied))) if copied >= log => self.checkpoint_at = CHECKPOINT_PAGES,
            Ok(Some((log, _))) => {
                self.checkpoint_at = CHECKPOINT_PAGES.max(log + CHECKPOINT_AGAIN_PAGES);
            }
            Err(error) => match Trouble::of(&error) {
                Trouble::Fatal(text) => self.shared.condition.fail(&text),
                Trouble::Full(text) | Trouble::Operation(text) => {
                    self.checkpoint_at += CHECKPOINT_AGAIN_PAGES;
                    tracing::warn!(error = text, "the store's log could not be copied");
                }
            },
        }
    }
}

/// Moves operations from `ops` to `begun` as long as the transaction that `started` has time.
fn run_all(
    batch: &mut Batch<'_>,
    started: Instant,
    ops: &mut Ops,
    begun: &mut Ops,
) -> Result<(), Failure> {
    while let Some(mut op) = ops.pop_front() {
        let result = op.run(batch);
        begun.push_back(op);
        result.map_err(Failure::before_commit)?;
        if started.elapsed() >= EXECUTION_MAX {
            break;
        }
    }
    Ok(())
}

fn begin(conn: &Connection) -> Result<()> {
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute(()).map(drop)
}

fn commit(conn: &Connection) -> Result<()> {
    conn.prepare_cached("COMMIT")?.execute(()).map(drop)
}

/// Tells everybody when the thread ends, also by a panic, so that nobody waits for it for ever.
pub(super) struct Farewell(pub(super) Arc<Shared>);

impl Drop for Farewell {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.condition.fail("the store's writer panicked");
        }
        self.0.queue.abandon(&StoreError::Closed);
        self.0.ended.send_replace(true);
    }
}
