//! Power cuts. The host runs under `strace`, which notes what it writes and syncs and when it
//! answers. From these notes every moment can be made again: the files as they would be if the power
//! went there, with what was not synced kept, lost or torn by chance. Each is opened by the store, and
//! must know everything that a caller had been told by then.
//!
//! The negative control is the same host with `synchronous=NORMAL`, the usual advice. It must lose
//! something, or this test could not see a loss.

mod cuts;
mod disk;
mod faults;
mod load;
mod parse;
mod strace;

use std::{collections::BTreeMap, fs, path::Path};

use conductor::{
    clock::Clock,
    ids::{NotificationId, TenantId},
    store::{State, Store as _, sqlite::SqliteStore},
};

use crate::kit::{Folder, TENANT_A, TestHost};
use disk::{Disk, Unsynced};
pub(crate) use load::{Load, Size};
use parse::Event;
use strace::Trace;

/// What the callers had been told by some moment: whether it was delivered, by id.
type Told = BTreeMap<String, bool>;

/// A recorded run, and the disk before it.
struct Recording {
    before: Disk,
    /// What callers had been told before it.
    told: Told,
    events: Vec<Event>,
}

impl Recording {
    /// What callers had been told when so many events had happened.
    fn told_at(&self, moment: usize) -> Told {
        let mut told = self.told.clone();
        for event in &self.events[..moment] {
            if let Event::Told { id, delivered } = event {
                *told.entry(id.clone()).or_default() |= delivered;
            }
        }
        told
    }

    fn told(&self) -> Told {
        self.told_at(self.events.len())
    }

    /// The disk at the end.
    fn disk(&self) -> Disk {
        let mut disk = self.before.clone();
        self.events.iter().for_each(|event| disk.happens(event));
        disk
    }
}

/// A host that has run before, so that its files are there and whole.
async fn used(folder: Folder) -> Folder {
    let host = TestHost::start(folder).await;
    host.send("log", "first").await;
    let (folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    folder
}

/// Runs a host under load until `enough` were acknowledged, and ends it: in order, or by `kill -9`.
async fn record(
    mut folder: Folder,
    size: Size,
    enough: usize,
    in_order: bool,
    inject: Option<&str>,
) -> Recording {
    let binary = folder.binary.take();
    let mut folder = used(folder).await;
    let before = Disk::of(&folder.data());
    let trace = Trace::to(folder.file("trace"));
    folder.binary = binary;
    folder.tracer = trace.command(inject);
    let mut host = TestHost::start(folder).await;
    let load = Load::on(&host, size);
    load.reaches(enough).await;
    // In order, the log is copied to the end and removed: with callers up to the last moment.
    if in_order {
        host.signal(rustix::process::Signal::TERM);
    } else {
        host.kill().await;
    }
    let acknowledged = load.stop().await;
    host.exit().await;
    trace.complete().await;
    let events = parse::events(&trace.file, &host.data());
    let recording = Recording { before, told: Told::new(), events };
    let told = recording.told();
    for id in &acknowledged {
        assert!(told.contains_key(id), "{id} was acknowledged and is not in the trace");
    }
    recording
}

/// The folder of a store that lost its power. The ballast is there: only its length counts.
fn after_the_cut(
    disk: &Disk,
    unsynced: Unsynced,
    chances: &mut fastrand::Rng,
) -> tempfile::TempDir {
    const BALLAST_BYTES: u64 = 64 << 20;
    let folder = tempfile::tempdir().unwrap();
    disk.cut(unsynced, chances, folder.path());
    let ballast = fs::File::create(folder.path().join("queue.db.ballast")).unwrap();
    ballast.set_len(BALLAST_BYTES).unwrap();
    folder
}

/// Opens what is left and asks for everything that was told; gives what is wrong.
async fn losses(folder: &Path, told: &Told) -> Vec<String> {
    let path = folder.join("queue.db");
    let store = match SqliteStore::open(&path, Clock::system()) {
        Ok(store) => store,
        Err(error) => return vec![format!("it does not open: {error}")],
    };
    let tenant = TenantId(TENANT_A.parse().unwrap());
    let mut wrong = Vec::new();
    for (id, delivered) in told {
        let found = store.status(tenant, NotificationId(id.parse().unwrap())).await;
        match found {
            Ok(Some(status)) if *delivered && status.row.state != State::Delivered => {
                wrong.push(format!("{id} was delivered and is {:?}", status.row.state));
            }
            Ok(Some(_)) => {}
            Ok(None) => wrong.push(format!("{id} is not known")),
            Err(error) => wrong.push(format!("{id} cannot be read: {error}")),
        }
    }
    store.close().await;
    let integrity = rusqlite::Connection::open(&path).and_then(|conn| {
        conn.query_row("PRAGMA integrity_check", (), |row| row.get::<_, String>(0))
    });
    if integrity.as_deref() != Ok("ok") {
        wrong.push(format!("integrity: {integrity:?}"));
    }
    wrong
}
