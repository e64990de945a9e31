//! Which files are taken, and what is said about those that are not.

use std::fs;

use rusqlite::Connection;

use super::{accept, open, try_open};
use crate::store::{
    Discarded, Outcome, Store,
    conformance::kit::{TTL, lane, new, settle, tenant, want},
};

fn refusal(folder: &std::path::Path) -> String {
    try_open(folder).expect_err("it must be refused").to_string()
}

#[tokio::test]
async fn a_second_process_is_refused_and_told_which_file_is_locked() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let said = refusal(folder.path());
    assert!(said.contains("another process") && said.contains("queue.db.lock"), "{said}");
    store.close().await;
    open(folder.path());
}

#[tokio::test]
async fn numbers_rise_over_a_start_although_the_newest_was_removed() {
    let folder = tempfile::tempdir().unwrap();
    let mail = lane(1, "mail");
    for number in 1..4 {
        let store = open(folder.path());
        let item = new(&mail);
        let id = item.id;
        accept(&store, item).await;
        let wants = vec![want(&mail, 1)];
        let leased = store.lease(wants, TTL).await.unwrap().remove(0);
        assert_eq!(leased.token.seq, number);
        store.settle(vec![settle(&leased, Outcome::Dead)]).await.unwrap();
        let gone = store.discard(tenant(1), id).await.unwrap();
        assert_eq!(gone, Some(Discarded::Gone(1)));
        store.close().await;
        super::check(folder.path());
    }
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let file = folder.path().join("queue.db");
    let conn = Connection::open(&file).unwrap();
    conn.execute("UPDATE meta SET v=99 WHERE k='schema_version'", ()).unwrap();
    drop(conn);
    let said = refusal(folder.path());
    assert!(said.contains("newer version") && said.contains("99"), "{said}");
    let incarnations: i64 = Connection::open(&file)
        .unwrap()
        .query_row("SELECT v FROM meta WHERE k='incarnation'", (), |row| row.get(0))
        .unwrap();
    assert_eq!(incarnations, 1);
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("queue.db"), "not a database, but long enough ".repeat(200))
        .unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("queue.db is not a store"), "{said}");
}

#[test]
fn another_programs_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE theirs(x)").unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("another program's database"), "{said}");
}

#[test]
fn a_store_cut_short_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let file = fs::OpenOptions::new().write(true).open(folder.path().join("queue.db")).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
    let said = refusal(folder.path());
    assert!(said.contains("queue.db is not a store"), "{said}");
}

#[cfg(unix)]
#[tokio::test]
async fn folder_and_files_are_for_our_eyes_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    let store = open(&inner);
    accept(&store, new(&lane(1, "mail"))).await;
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&inner), 0o700);
    for name in ["", "-wal", "-shm", ".lock", ".ballast"] {
        assert_eq!(mode(&inner.join(format!("queue.db{name}"))), 0o600, "{name}");
    }
}

#[test]
fn the_settings_are_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (setting, wanted) in [
        ("journal_mode", "wal"),
        ("synchronous", "2"),
        ("auto_vacuum", "2"),
        ("page_size", "4096"),
        ("wal_autocheckpoint", "0"),
    ] {
        let ask = super::Anything(move |batch: &mut super::Batch<'_>| {
            batch.conn.query_row(&format!("PRAGMA {setting}"), (), |row| {
                Ok(match row.get_ref(0)? {
                    rusqlite::types::ValueRef::Integer(n) => n.to_string(),
                    other => String::from(other.as_str()?),
                })
            })
        });
        assert_eq!(runtime.block_on(store.submit(ask)).unwrap(), wanted, "{setting}");
    }
}
