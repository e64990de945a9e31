//! The chain of events: it holds over everything the store does, and shows what was done to it.

use std::path::Path;

use rusqlite::Connection;

use super::{
    super::{Audit, AuditError},
    accept, check, look, open, take,
};
use crate::{
    clock::UnixMs,
    store::{
        EventKind, NewEvent, Outcome, Store,
        conformance::kit::{START, group, lane, new, settle, tenant},
    },
};

/// All of a trail, verified: how many events there are, and how many are chained.
fn audit(folder: &Path) -> Result<(usize, u64), AuditError> {
    let mut audit = Audit::open(&folder.join("queue.db")).unwrap();
    let mut count = 0;
    loop {
        let events = audit.next(true)?;
        if events.is_empty() {
            return Ok((count, audit.verified().0));
        }
        count += events.len();
    }
}

/// A store in which some things happened.
async fn busy(folder: &Path) {
    let store = open(folder);
    let mail = lane(1, "mail");
    for _ in 0..5 {
        accept(&store, new(&mail)).await;
    }
    store.enqueue_groups(vec![group(&[&mail, &lane(1, "chat")])]).await.unwrap();
    let leased = take(&store, &mail, 2).await;
    store.settle(vec![settle(&leased[0], Outcome::Delivered)]).await.unwrap();
    store.replay(tenant(1), leased[0].id).await.unwrap();
    let detail = Some(String::from("\"quoted\""));
    let event = NewEvent { kind: EventKind::Admin, tenant: None, notification: None, detail };
    store.record_event(event).await.unwrap();
    assert_eq!(audit(folder).unwrap(), (11, 11), "also while it is open");
    store.close().await;
    drop(store);
    // The other lease is recorded as lost by the next one.
    let store = open(folder);
    accept(&store, new(&mail)).await;
    store.close().await;
    check(folder);
}

#[tokio::test]
async fn the_chain_holds_over_everything_that_happens() {
    let folder = tempfile::tempdir().unwrap();
    busy(folder.path()).await;
    assert_eq!(audit(folder.path()).unwrap(), (13, 13));
}

#[tokio::test]
async fn what_was_done_to_the_trail_shows_and_where() {
    for (deed, shows_at) in [
        ("UPDATE event SET detail='accepted' WHERE eseq=9", 9),
        ("UPDATE event SET at=at+1 WHERE eseq=4", 4),
        ("UPDATE event SET kind=3 WHERE eseq=13", 13),
        ("UPDATE event SET tenant=0 WHERE eseq=2", 2),
        ("UPDATE event SET lane=0 WHERE eseq=2", 2),
        ("UPDATE event SET hash=NULL WHERE eseq=7", 7),
        ("UPDATE lane SET channel='other' WHERE n=1", 1),
        ("DELETE FROM event WHERE eseq=5", 6),
        ("DELETE FROM event WHERE eseq=1", 2),
        ("UPDATE event SET eseq=eseq+1 WHERE eseq=13", 14),
    ] {
        let folder = tempfile::tempdir().unwrap();
        busy(folder.path()).await;
        let conn = Connection::open(folder.path().join("queue.db")).unwrap();
        assert_eq!(conn.execute(deed, ()).unwrap(), 1, "{deed}");
        drop(conn);
        match audit(folder.path()) {
            Err(AuditError::Broken { seq, .. }) => assert_eq!(seq, shows_at, "{deed}"),
            other => panic!("{deed}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_chain_goes_on_after_its_beginning_was_purged() {
    let folder = tempfile::tempdir().unwrap();
    busy(folder.path()).await;
    let store = open(folder.path());
    assert_eq!(store.purge_events(UnixMs(START.0 + 1), 4).await.unwrap(), 4);
    assert_eq!(audit(folder.path()).unwrap(), (9, 9));
    assert_eq!(store.purge_events(UnixMs(START.0 + 1), 1_000).await.unwrap(), 9);
    store.close().await;
    drop(store);
    assert_eq!(audit(folder.path()).unwrap(), (0, 0));
    let store = open(folder.path());
    accept(&store, new(&lane(1, "mail"))).await;
    store.close().await;
    assert_eq!(audit(folder.path()).unwrap(), (1, 1));
    let first: i64 =
        look(folder.path()).query_row("SELECT eseq FROM event", (), |row| row.get(0)).unwrap();
    assert_eq!(first, 14);
}

#[tokio::test]
async fn a_store_whose_newest_event_lost_its_hash_still_works_and_the_chain_shows_it() {
    let folder = tempfile::tempdir().unwrap();
    busy(folder.path()).await;
    let conn = Connection::open(folder.path().join("queue.db")).unwrap();
    conn.execute("UPDATE event SET hash=NULL WHERE eseq=13", ()).unwrap();
    drop(conn);
    let store = open(folder.path());
    accept(&store, new(&lane(1, "mail"))).await;
    store.close().await;
    assert!(matches!(audit(folder.path()), Err(AuditError::Broken { seq: 13, .. })));
}

#[tokio::test]
async fn a_transaction_that_failed_leaves_no_gap_in_the_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(1, "mail");
    accept(&store, new(&mail)).await;
    let half = super::Anything({
        let mail = mail.clone();
        move |batch: &mut super::Batch<'_>| {
            let work = super::super::enqueue::Enqueue(vec![new(&mail)]);
            super::Work::run(&work, batch)?;
            Err::<(), _>(rusqlite::Error::InvalidQuery)
        }
    });
    assert!(store.submit(half).await.is_err());
    accept(&store, new(&mail)).await;
    assert_eq!(*store.last_event().borrow(), 2);
    assert_eq!(audit(folder.path()).unwrap(), (2, 2));
}
