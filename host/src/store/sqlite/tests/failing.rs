//! What goes wrong, who is told, and what goes on.

use rusqlite::{Error, ffi};

use super::{Anything, Batch, accept, check, open, take};
use crate::store::{
    Health, NewNotification, Outcome, Store, StoreError,
    conformance::kit::{DONE, lane, new, settle},
};

fn sql_error(code: i32) -> Error {
    Error::SqliteFailure(ffi::Error::new(code), None)
}

#[tokio::test]
async fn one_bad_operation_fails_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let bad = store.submit(Anything(|batch: &mut Batch<'_>| {
        // Wait for company, so that the others are in the same transaction.
        std::thread::sleep(std::time::Duration::from_millis(2));
        batch.conn.execute("INSERT INTO tenant(id) VALUES(NULL)", ())
    }));
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = std::sync::Arc::clone(&store);
        calls.spawn(async move { accept(&store, new(&lane(1, "mail"))).await });
    }
    let error = bad.await.expect_err("it breaks a rule of the table");
    assert!(matches!(&error, StoreError::Unknown(why) if why.contains("NOT NULL")), "{error}");
    calls.join_all().await;
    assert_eq!(store.totals().await.unwrap().queued, 20);
    assert_eq!(store.health(), Health::Ok);
    store.close().await;
    check(folder.path());
}

#[tokio::test]
async fn a_commit_that_fails_leaves_the_outcome_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let rude = Anything(|batch: &mut Batch<'_>| batch.conn.execute_batch("ROLLBACK; SELECT 1"));
    let error = store.submit(rude).await.expect_err("there is nothing to commit");
    assert!(matches!(error, StoreError::Unknown(_)));
    accept(&store, new(&lane(1, "mail"))).await;
}

#[tokio::test]
async fn a_failed_sync_ends_the_store_and_tells_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(1, "mail");
    accept(&store, new(&mail)).await;
    let mut failed = store.failed();
    assert_eq!(*failed.borrow(), None);
    let broken = Anything(|_: &mut Batch<'_>| Err::<(), _>(sql_error(ffi::SQLITE_IOERR_FSYNC)));
    assert!(matches!(store.submit(broken).await, Err(StoreError::Unknown(_))));
    let told = failed.wait_for(Option::is_some).await.unwrap().clone();
    assert!(told.is_some_and(|why| why.contains("1034")));
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(store.enqueue(vec![new(&mail)]).await.is_err());
    assert!(matches!(store.ready().await, Err(StoreError::Closed)));
    store.close().await;
    drop(store);
    assert_eq!(open(folder.path()).totals().await.unwrap().queued, 1);
}

#[tokio::test]
async fn a_panic_of_the_writer_ends_the_store_and_leaves_nobody_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let bug = Anything(|_: &mut Batch<'_>| -> rusqlite::Result<()> { panic!("a bug") });
    assert!(matches!(store.submit(bug).await, Err(StoreError::Unknown(_))));
    store.close().await;
    assert!(matches!(store.health(), Health::Failed(_)));
    assert!(matches!(store.enqueue(Vec::new()).await, Err(StoreError::Closed)));
}

/// Stands for the disk: how far the file may grow.
async fn pages_at_most(store: &super::SqliteStore, more: i64) {
    let set = Anything(move |batch: &mut Batch<'_>| {
        let now: i64 = batch.conn.query_row("PRAGMA page_count", (), |row| row.get(0))?;
        batch.conn.query_row(&format!("PRAGMA max_page_count={}", now + more), (), |_| Ok(()))
    });
    store.submit(set).await.unwrap();
}

#[tokio::test]
async fn a_full_disk_refuses_new_notifications_settles_old_ones_and_resumes_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(1, "mail");
    for _ in 0..3 {
        accept(&store, new(&mail)).await;
    }
    let leased = take(&store, &mail, 1).await;
    pages_at_most(&store, 1).await;
    let large = || {
        let payload = bytes::Bytes::from(vec![0; 40_000]);
        NewNotification { payload, ..new(&mail) }
    };
    let error = store.enqueue(vec![large()]).await.expect_err("it does not fit");
    assert!(matches!(error, StoreError::ReadOnly(_)), "{error}");
    assert!(matches!(store.health(), Health::ReadOnly(_)));
    assert!(!folder.path().join("queue.db.ballast").exists());

    let refused = store.enqueue(vec![new(&mail)]).await;
    assert!(matches!(refused, Err(StoreError::ReadOnly(_))));
    let settled = store.settle(vec![settle(&leased[0], Outcome::Delivered)]).await.unwrap();
    assert_eq!(settled, [DONE]);
    assert_eq!(store.totals().await.unwrap().queued, 2);

    pages_at_most(&store, 1_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
    accept(&store, large()).await;
    assert_eq!(store.health(), Health::Ok);
    assert!(folder.path().join("queue.db.ballast").exists());
    store.close().await;
    check(folder.path());
}

#[tokio::test]
async fn room_on_a_full_disk_is_noticed_though_nothing_new_comes() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(1, "mail");
    accept(&store, new(&mail)).await;
    pages_at_most(&store, 1).await;
    let payload = bytes::Bytes::from(vec![0; 40_000]);
    store.enqueue(vec![NewNotification { payload, ..new(&mail) }]).await.expect_err("no room");

    pages_at_most(&store, 1_000).await;
    tokio::time::sleep(std::time::Duration::from_millis(1_050)).await;
    assert_eq!(store.ready().await.unwrap().len(), 1);
    assert_eq!(store.health(), Health::Ok);
    store.close().await;
    check(folder.path());
}

#[tokio::test]
async fn a_rolled_back_transaction_leaves_no_trace_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mail = lane(7, "mail");
    let half = Anything({
        let mail = mail.clone();
        move |batch: &mut Batch<'_>| {
            let work = super::super::enqueue::Enqueue(vec![new(&mail)]);
            super::Work::run(&work, batch)?;
            Err::<(), _>(sql_error(ffi::SQLITE_CONSTRAINT))
        }
    });
    assert!(store.submit(half).await.is_err());
    assert_eq!(store.totals().await.unwrap().live(), 0);
    assert!(store.hints().take().is_empty());
    accept(&store, new(&mail)).await;
    let leased = take(&store, &mail, 9).await;
    assert_eq!(leased.iter().map(|leased| leased.token.seq).collect::<Vec<_>>(), [1]);
    store.close().await;
    check(folder.path());
}
