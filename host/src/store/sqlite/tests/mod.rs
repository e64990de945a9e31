//! What only the engine on disk has to do: survive, refuse, and say clearly why.

mod backups;
mod failing;
mod lines;
mod opening;
mod plans;
mod surviving;
mod trail;
mod upgrading;

use std::{path::Path, sync::Arc};

use rusqlite::{Connection, OpenFlags, Result};

use super::{
    SqliteStore,
    queue::Class,
    work::{Batch, Work},
};
use crate::{
    clock::Clock,
    store::{
        Enqueued, Leased, NewNotification, Store, Want,
        conformance::kit::{START, TTL},
    },
};

/// Room kept for a full disk in tests.
const BALLAST_BYTES: u64 = 4096;

fn open(folder: &Path) -> Arc<SqliteStore> {
    try_open(folder).unwrap()
}

fn try_open(folder: &Path) -> Result<Arc<SqliteStore>, super::OpenError> {
    SqliteStore::open_with(&folder.join("queue.db"), Clock::manual(START), BALLAST_BYTES)
}

/// Another look at the file.
fn look(folder: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(folder.join("queue.db"), flags).unwrap()
}

async fn accept(store: &SqliteStore, item: NewNotification) {
    assert_eq!(store.enqueue(vec![item]).await.unwrap(), [Enqueued::Accepted]);
}

async fn take(store: &SqliteStore, lane: &crate::store::Lane, max: usize) -> Vec<Leased> {
    store.lease(vec![Want { lane: lane.clone(), max }], TTL).await.unwrap()
}

/// Whatever a test wants done by the writer.
struct Anything<F>(F);

impl<T: Send, F> Work for Anything<F>
where
    F: Fn(&mut Batch<'_>) -> Result<T> + Send + 'static,
    T: 'static,
{
    type Answer = T;
    const CLASS: Class = Class::Maintenance;
    fn run(&self, batch: &mut Batch<'_>) -> Result<T> {
        self.0(batch)
    }
}

/// The parts of a file agree with each other.
pub(in crate::store) fn check(folder: &Path) {
    let conn = look(folder);
    let one = |sql: &str| conn.query_row(sql, (), |row| row.get::<_, i64>(0)).unwrap();
    let sound: String = conn.query_row("PRAGMA integrity_check", (), |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let none_of = [
        // A counter is what counting gives.
        "SELECT count(*) FROM (SELECT tenant, state, n FROM counter WHERE n<>0 EXCEPT
           SELECT tenant, state, count(*) FROM notif JOIN lane ON lane.n=lane GROUP BY 1, 2)",
        "SELECT count(*) FROM (SELECT tenant, state, count(*) FROM notif JOIN lane ON lane.n=lane
           GROUP BY 1, 2 EXCEPT SELECT tenant, state, n FROM counter)",
        // Live notifications and only they have a job, unless they wait for others of their ordering
        // key, and it says the same.
        "SELECT count(*) FROM (SELECT lane, prio, due, seq, attempts, state=1 FROM notif
           WHERE state<3 AND seq NOT IN (SELECT seq FROM serial AS s
             WHERE EXISTS (SELECT 1 FROM serial WHERE lane=s.lane AND key=s.key AND place<s.place))
           EXCEPT SELECT lane, prio, due, seq, attempt, owner<>0 FROM job)",
        "SELECT count(*) FROM (SELECT lane, prio, due, seq, attempt, owner<>0 FROM job
           EXCEPT SELECT lane, prio, due, seq, attempts, state=1 FROM notif WHERE state<3
             AND seq NOT IN (SELECT seq FROM serial AS s
             WHERE EXISTS (SELECT 1 FROM serial WHERE lane=s.lane AND key=s.key AND place<s.place)))",
        "SELECT count(*) FROM (SELECT seq, lane, key FROM serial
           EXCEPT SELECT seq, lane, okey FROM notif WHERE state<3)",
        "SELECT count(*) FROM (SELECT seq, lane, okey FROM notif WHERE state<3 AND okey IS NOT NULL
           EXCEPT SELECT seq, lane, key FROM serial)",
        "SELECT count(*) FROM job WHERE free>attempt",
        // Who has a parent has a branch, the parent is known, and it has a payload.
        "SELECT count(*) FROM notif WHERE (parent IS NULL) <> (branch IS NULL)
           OR (parent IS NOT NULL AND parent NOT IN (SELECT id FROM parent))",
        "SELECT count(*) FROM parent WHERE seq NOT IN (SELECT seq FROM body)",
        // Nothing is left of what was purged.
        "SELECT count(*) FROM body WHERE seq NOT IN (SELECT seq FROM notif)
           AND seq NOT IN (SELECT seq FROM parent)",
        "SELECT count(*) FROM attempt WHERE seq NOT IN (SELECT seq FROM notif)",
        "SELECT count(*) FROM notif WHERE (due IS NULL) <> (state>=3)",
        // Every notification has a payload, an event for being accepted, and lies in a span.
        "SELECT count(*) FROM (SELECT seq FROM notif EXCEPT SELECT seq FROM body)",
        "SELECT count(*) FROM (SELECT id FROM notif EXCEPT SELECT id FROM event WHERE kind=1)
           WHERE NOT EXISTS (SELECT 1 FROM meta WHERE k='chain_seq' AND v>0)",
        "SELECT count(*) FROM notif WHERE NOT EXISTS (SELECT 1 FROM span
           WHERE slot=(created-(created%600000))/600000 AND seq BETWEEN first AND last)",
    ];
    for sql in none_of {
        assert_eq!(one(sql), 0, "{sql}");
    }
}
