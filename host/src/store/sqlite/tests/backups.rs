//! Backups, and what is refused as one.

use std::{fs, path::Path};

use rusqlite::Connection;

use super::{
    super::{BackupError, OpenError, backup, restore},
    accept, check, open,
};
use crate::store::{
    Store,
    conformance::kit::{lane, new},
};

/// A store with three notifications, and its path.
async fn store(folder: &Path) -> std::path::PathBuf {
    let store = open(folder);
    for _ in 0..3 {
        accept(&store, new(&lane(1, "mail"))).await;
    }
    store.close().await;
    folder.join("queue.db")
}

#[tokio::test]
async fn a_copy_of_an_open_store_is_whole_and_opens() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let running = open(from.path());
    accept(&running, new(&lane(1, "mail"))).await;
    // A name that means something in a URI.
    let file = to.path().join("a%20b?c#d.db");
    let copied = backup(&from.path().join("queue.db"), &file).unwrap();
    assert_eq!((copied.live, copied.notifications), (1, 1));
    accept(&running, new(&lane(1, "mail"))).await;
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "nothing is left beside it");

    let new_place = to.path().join("data/queue.db");
    assert_eq!(restore(&file, &new_place, false).unwrap(), copied);
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 2, "nothing is left beside it");
    let restored = open(&to.path().join("data"));
    assert_eq!(restored.totals().await.unwrap().queued, 1);
    restored.close().await;
    check(&to.path().join("data"));
}

#[tokio::test]
async fn what_is_no_sound_backup_is_refused_and_nothing_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let queue = store(folder.path()).await;
    let good = folder.path().join("good.db");
    backup(&queue, &good).unwrap();
    let bytes = fs::read(&good).unwrap();
    let place = folder.path().join("new/queue.db");
    let said = |content: &[u8]| {
        let file = folder.path().join("bad.db");
        fs::write(&file, content).unwrap();
        let error = restore(&file, &place, true).expect_err("it must be refused").to_string();
        assert!(error.contains("bad.db"), "{error}");
        assert!(!place.exists());
        error
    };
    said(b"");
    said(&b"no database, but long enough to be one ".repeat(200));
    said(&bytes[..bytes.len() / 2]);
    // A page in the middle that is noise.
    let mut noise = bytes.clone();
    for (n, byte) in noise[3 * 4096..9 * 4096].iter_mut().enumerate() {
        *byte = u8::try_from(n * 7 % 251).unwrap();
    }
    said(&noise);

    let newer = folder.path().join("newer.db");
    fs::write(&newer, &bytes).unwrap();
    let conn = Connection::open(&newer).unwrap();
    conn.execute("UPDATE meta SET v=99 WHERE k='schema_version'", ()).unwrap();
    drop(conn);
    let refused = restore(&newer, &place, true);
    assert!(matches!(refused, Err(BackupError::Store(OpenError::NewerSchema { .. }))));
    fs::write(folder.path().join("good.db-wal"), "something").unwrap();
    let refused = restore(&good, &place, true);
    assert!(matches!(refused, Err(BackupError::NotABackup { .. })), "{refused:?}");
    assert_eq!(fs::read(&good).unwrap(), bytes);
}

#[tokio::test]
async fn a_store_that_is_replaced_is_put_aside_with_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let queue = store(folder.path()).await;
    let file = folder.path().join("backup.db");
    backup(&queue, &file).unwrap();
    // Killed, and its log not copied yet.
    let running = open(folder.path());
    accept(&running, new(&lane(1, "mail"))).await;
    let killed = tempfile::tempdir().unwrap();
    for name in ["queue.db", "queue.db-wal"] {
        fs::copy(folder.path().join(name), killed.path().join(name)).unwrap();
    }
    let queue = killed.path().join("queue.db");
    restore(&file, &queue, true).unwrap();
    assert_eq!(open(killed.path()).totals().await.unwrap().queued, 3);
    let again = restore(&file, &queue, true);
    assert!(matches!(again, Err(BackupError::Exists { .. })), "the first one is still aside");
    fs::rename(killed.path().join("queue.db.replaced"), &queue).unwrap();
    assert_eq!(open(killed.path()).totals().await.unwrap().queued, 4);
}

#[test]
fn a_backup_of_nothing_is_an_error_and_makes_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backup.db");
    assert!(backup(&folder.path().join("queue.db"), &file).is_err());
    assert!(backup(&folder.path().join("queue.db"), &folder.path().join("no/where.db")).is_err());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
