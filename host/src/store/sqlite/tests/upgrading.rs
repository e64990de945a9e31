//! Files of older versions: everything in them is found, and they are as new ones from then on.

use rusqlite::Connection;
use uuid::Uuid;

use super::{SqliteStore, check, look, open, take};
use crate::{
    ids::NotificationId,
    store::{
        Counters, Enqueued, EventKind, EventQuery, Outcome, State, Store,
        conformance::kit::{DONE, START, keyed, lane, new, settle, tenant},
    },
};

/// A file as version 1 left it. See its head for what it holds.
fn version_1() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let conn = Connection::open(folder.path().join("queue.db")).unwrap();
    conn.execute_batch("PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL;").unwrap();
    conn.execute_batch(include_str!("files/v1.sql")).unwrap();
    folder
}

const fn id(n: u128) -> NotificationId {
    NotificationId(Uuid::from_u128(n))
}

#[tokio::test]
async fn a_file_of_version_1_is_taken_with_all_that_it_holds() {
    let folder = version_1();
    let store = open(folder.path());
    let wanted =
        Counters { queued: 3, retrying: 2, delivered: 1, dead: 1, cancelled: 1, sending: 0 };
    assert_eq!(store.totals().await.unwrap(), wanted);
    for (n, of, state) in [
        (1, 1, State::Delivered),
        (2, 1, State::Dead),
        (3, 1, State::Retrying),
        // It was leased when its process ended.
        (4, 1, State::Retrying),
        (5, 1, State::Queued),
        (6, 1, State::Queued),
        (7, 1, State::Cancelled),
        (8, 2, State::Queued),
    ] {
        let status = store.status(tenant(of), id(n)).await.unwrap().expect("it is known");
        assert_eq!((status.row.state, status.row.parent), (state, None), "{n}");
        assert_eq!(status.blocked_by, None);
    }
    let status = store.status(tenant(1), id(2)).await.unwrap().unwrap();
    assert_eq!(&status.payload[..], b"body 2");
    assert_eq!(status.attempts[0].2.outcome, "rejected");
    assert_eq!(status.row.last_error.as_deref(), Some("it was rejected"));

    let again = keyed(&lane(1, "chat"), "key-5", 5);
    let known = Enqueued::Duplicate { id: id(5), same_body: true };
    assert_eq!(store.enqueue(vec![again]).await.unwrap(), [known]);
    let leased = take(&store, &lane(1, "mail"), 9).await;
    assert_eq!(leased.iter().map(|leased| leased.id).collect::<Vec<_>>(), [id(4)]);
    assert_eq!((leased[0].tries, leased[0].token.attempt), (1, 2));
    let settled = store.settle(vec![settle(&leased[0], Outcome::Delivered)]).await.unwrap();
    assert_eq!(settled, [DONE]);
    let leased = take(&store, &lane(2, "mail"), 9).await;
    assert_eq!((leased[0].id, leased[0].generation), (id(8), 1));
    let query = EventQuery { tenant: Some(tenant(1)), after: 0, limit: 1 };
    let event = store.events(query).await.unwrap().items.remove(0);
    assert_eq!((event.kind, event.notification), (EventKind::Accepted, Some(id(1))));
    assert_eq!((event.channel, event.hash), (Some("mail".parse().unwrap()), None));
    let later = START.0 + 3_600_000;
    let status = store.status(tenant(1), id(6)).await.unwrap().unwrap();
    assert_eq!(status.due.map(|due| due.0), Some(later));
    store.close().await;
    check(folder.path());
    // The events of version 1 have no chain; it begins behind them.
    let mut audit = super::super::Audit::open(&folder.path().join("queue.db")).unwrap();
    let events = audit.next(true).unwrap();
    assert_eq!((events.len() as u64 - audit.verified().0, audit.verified().0), (14, 2));
}

#[test]
fn an_old_file_can_be_backed_up_before_the_upgrade() {
    let folder = version_1();
    let (file, place) = (folder.path().join("backup.db"), folder.path().join("new/queue.db"));
    let copied = super::super::backup(&folder.path().join("queue.db"), &file).unwrap();
    assert_eq!((copied.live, copied.notifications), (5, 8));
    super::super::restore(&file, &place, false).unwrap();
    drop(open(&folder.path().join("new")));
    check(&folder.path().join("new"));
}

#[test]
fn an_old_file_becomes_like_a_new_one() {
    let (old, new) = (version_1(), tempfile::tempdir().unwrap());
    let schema = |folder: &std::path::Path| {
        drop(open(folder));
        let conn = look(folder);
        let version: i64 = conn
            .query_row("SELECT v FROM meta WHERE k='schema_version'", (), |row| row.get(0))
            .unwrap();
        let mut statement = conn.prepare("SELECT name, sql FROM sqlite_schema ORDER BY 1").unwrap();
        let schema: Vec<(String, Option<String>)> = statement
            .query_map((), |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        (version, schema)
    };
    assert_eq!(schema(old.path()), schema(new.path()));
}

#[test]
fn an_upgrade_that_fails_leaves_the_file_as_it_was() {
    let folder = version_1();
    let file = folder.path().join("queue.db");
    // Something that the upgrade has to stumble over, late.
    Connection::open(&file).unwrap().execute_batch("CREATE TABLE serial(x)").unwrap();
    assert!(super::try_open(folder.path()).is_err());
    let conn = Connection::open(&file).unwrap();
    let version: i64 = conn
        .query_row("SELECT v FROM meta WHERE k='schema_version'", (), |row| row.get(0))
        .unwrap();
    assert_eq!(version, 1);
    conn.execute_batch("DROP TABLE serial").unwrap();
    drop(conn);
    drop(open(folder.path()));
}

#[tokio::test]
async fn a_file_of_version_2_is_taken_and_its_attempts_count() {
    let folder = tempfile::tempdir().unwrap();
    let (mail, item) = (lane(1, "mail"), new(&lane(1, "mail")));
    let wanted = item.id;
    let store = open(folder.path());
    super::accept(&store, item).await;
    let leased = take(&store, &mail, 1).await;
    let again = Outcome::Retry { due: START, counts: false };
    store.settle(vec![settle(&leased[0], again)]).await.unwrap();
    let counts = async |store: &SqliteStore| {
        let status = store.status(tenant(1), wanted).await.unwrap().unwrap();
        status.attempts.iter().map(|(.., attempt)| attempt.counts).collect::<Vec<_>>()
    };
    assert_eq!(counts(&store).await, [false]);
    store.close().await;
    drop(store);
    let conn = Connection::open(folder.path().join("queue.db")).unwrap();
    let back = "ALTER TABLE attempt DROP COLUMN counts;
                UPDATE meta SET v=2 WHERE k='schema_version';";
    conn.execute_batch(back).unwrap();
    drop(conn);
    let store = open(folder.path());
    // Version 2 did not write it down.
    assert_eq!(counts(&store).await, [true]);
    // How many attempts the policy sees, it did.
    assert_eq!(take(&store, &mail, 1).await[0].tries, 0);
    store.close().await;
    check(folder.path());
}
