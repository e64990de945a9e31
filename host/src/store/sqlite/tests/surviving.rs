//! What was answered is there after whatever happened to the process.

use std::{fs, path::Path};

use tempfile::TempDir;

use super::{accept, check, look, open, take};
use crate::store::{
    Counters, Enqueued, Outcome, Settled, State, Status, Store,
    conformance::kit::{keyed, lane, new, settle, tenant},
};

/// What a kill leaves of a running store: the files as they are, without anybody closing them.
fn killed(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for file in ["queue.db", "queue.db-wal"] {
        fs::copy(folder.join(file), copy.path().join(file)).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_killed_store_has_lost_nothing_and_its_leases_fall_due_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(1, "mail");
    let items: Vec<_> = (0..20).map(|_| new(&mail)).collect();
    let ids: Vec<_> = items.iter().map(|item| item.id).collect();
    store.enqueue(items).await.unwrap();
    let leased = take(&store, &mail, 10).await;
    store.settle(vec![settle(&leased[0], Outcome::Delivered)]).await.unwrap();
    let copy = killed(folder.path());

    let store = open(copy.path());
    let wanted = Counters { queued: 10, retrying: 9, delivered: 1, ..Counters::default() };
    assert_eq!(store.totals().await.unwrap(), wanted);
    let Status { row, attempts, .. } =
        store.status(tenant(1), ids[1]).await.unwrap().expect("it is known");
    assert_eq!((row.state, row.attempts), (State::Retrying, 1));
    assert_eq!((attempts[0].1, &*attempts[0].2.outcome), (1, "lost"));

    let again = take(&store, &mail, 100).await;
    assert_eq!(again.len(), 19);
    let mut numbers: Vec<_> = again.iter().map(|leased| leased.token.attempt).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [[1; 10].as_slice(), &[2; 9]].concat());
    let settled = store.settle(vec![settle(&leased[1], Outcome::Dead)]).await.unwrap();
    assert_eq!(settled, [Settled::LeaseLost]);
    store.close().await;
    check(copy.path());
}

#[tokio::test]
async fn a_dropped_store_has_lost_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mail = lane(1, "mail");
    for n in 1..4 {
        let store = open(folder.path());
        accept(&store, new(&mail)).await;
        assert_eq!(store.totals().await.unwrap().queued, n);
    }
    check(folder.path());
}

#[tokio::test]
async fn a_key_is_remembered_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let first = keyed(&lane(1, "mail"), "k", 1);
    let id = first.id;
    accept(&store, first).await;
    let copy = killed(folder.path());
    let store = open(copy.path());
    let again = store.enqueue(vec![keyed(&lane(1, "mail"), "k", 1)]).await.unwrap();
    assert_eq!(again, [Enqueued::Duplicate { id, same_body: true }]);
}

#[tokio::test]
async fn numbers_rise_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let mail = lane(1, "mail");
    let mut seqs = Vec::new();
    for _ in 0..3 {
        let store = open(folder.path());
        accept(&store, new(&mail)).await;
        let leased = take(&store, &mail, 1).await;
        store.settle(vec![settle(&leased[0], Outcome::Delivered)]).await.unwrap();
        seqs.push(leased[0].token.seq);
    }
    assert_eq!(seqs, [1, 2, 3]);
}

#[tokio::test]
async fn what_was_waiting_at_the_close_is_still_written() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = std::sync::Arc::clone(&store);
        calls.spawn(async move { store.enqueue(vec![new(&lane(1, "mail"))]).await });
    }
    tokio::task::yield_now().await;
    store.close().await;
    let written = calls.join_all().await.into_iter().filter(Result::is_ok).count();
    assert!(written > 0, "those that were waiting are written");
    drop(store);
    let found = open(folder.path()).totals().await.unwrap().queued;
    assert_eq!(found, written as u64, "and what is written was answered");
}

#[tokio::test]
async fn the_log_stays_until_it_is_long_and_is_gone_after_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    accept(&store, new(&lane(1, "mail"))).await;
    let (log, copied): (i64, i64) = look(folder.path())
        .query_row("PRAGMA wal_checkpoint(NOOP)", (), |row| Ok((row.get(1)?, row.get(2)?)))
        .unwrap();
    assert!(log > 0 && copied == 0, "{log} pages, {copied} copied");
    for _ in 0..80 {
        let large = bytes::Bytes::from(vec![0; 250_000]);
        let item = crate::store::NewNotification { payload: large, ..new(&lane(1, "mail")) };
        accept(&store, item).await;
    }
    let log = fs::metadata(folder.path().join("queue.db-wal")).unwrap().len();
    assert!(log < 18 << 20, "20 MB went through a log of {log} bytes");
    store.close().await;
    assert!(!folder.path().join("queue.db-wal").exists());
}
