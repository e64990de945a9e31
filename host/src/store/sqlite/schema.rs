//! What the file looks like, and whether a file is one of ours.
//!
//! * A notification lies under its lane, `notif(lane, seq)`, so that leasing, settling and listing
//!   reach it by primary key; a tenant's listing merges its lanes. No listing needs another index
//!   than `notif_state`, which holds (lane, state, seq).
//! * `job` holds live notifications only. The queue's head stays small whatever the history is.
//! * `body` lies apart, so that listings and settles do not drag payloads along.
//! * `job` has one row for each ordering key at the most: `serial` says who comes when.
//! * `parent` takes its number out of the same row as notifications, and has a `body` as they have.
//! * `event` outlives what it is about, so it names it by its id. Its chain begins behind the event
//!   `chain_seq` of `meta`.
//! * `span` says which numbers were given in which ten minutes: a listing by time becomes a listing
//!   by number, and so will retention.
//! * Numbers rise for ever: the next one is found in `body` and `span` when the file is opened.
//!   Retention leaves the newest `body` row, and the spans from the oldest `body` row on.

use rusqlite::{Connection, OptionalExtension};

use super::open::OpenError;

/// The version of the schema that this program writes.
pub(super) const VERSION: i64 = 3;

const STAMP: &str = "UPDATE meta SET v=3 WHERE k='schema_version';";

/// Marks the file as ours ("Cndr"); `file` and SQLite's own tools show it.
const APPLICATION_ID: i64 = 0x436e_6472;

/// The grain of `span`: small enough to bound what a listing skips, large enough to stay tiny.
pub(super) const SPAN_MS: i64 = 10 * 60 * 1_000;

/// Version 1, and behind it what each version since changed. A new file takes the same steps as an
/// old one, so that both are alike.
const DDL: &str = "
CREATE TABLE tenant(n INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE) STRICT;
CREATE TABLE lane(n INTEGER PRIMARY KEY, tenant INT NOT NULL, channel TEXT NOT NULL,
  UNIQUE(tenant, channel)) STRICT;
CREATE TABLE notif(lane INT NOT NULL, seq INT NOT NULL, id BLOB NOT NULL, state INT NOT NULL,
  prio INT NOT NULL, created INT NOT NULL, updated INT NOT NULL, due INT, expires INT,
  generation INT NOT NULL, attempts INT NOT NULL, provider_id TEXT, last_error TEXT,
  PRIMARY KEY(lane, seq)) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX notif_id ON notif(id);
CREATE INDEX notif_state ON notif(lane, state, seq);
CREATE TABLE body(seq INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;
CREATE TABLE job(lane INT NOT NULL, prio INT NOT NULL, due INT NOT NULL, seq INT NOT NULL,
  attempt INT NOT NULL, owner INT NOT NULL, PRIMARY KEY(lane, prio, due, seq)) STRICT, WITHOUT ROWID;
CREATE TABLE attempt(seq INT NOT NULL, generation INT NOT NULL, number INT NOT NULL,
  started INT NOT NULL, took_ms INT NOT NULL, outcome TEXT NOT NULL, code TEXT, detail TEXT,
  provider_id TEXT, digest TEXT, PRIMARY KEY(seq, generation, number)) STRICT, WITHOUT ROWID;
CREATE TABLE idem(tenant INT NOT NULL, key BLOB NOT NULL, id BLOB NOT NULL, body_hash BLOB NOT NULL,
  expires INT NOT NULL, PRIMARY KEY(tenant, key)) STRICT, WITHOUT ROWID;
CREATE INDEX idem_expires ON idem(expires);
CREATE TABLE event(eseq INTEGER PRIMARY KEY, at INT NOT NULL, kind INT NOT NULL, tenant INT NOT NULL,
  seq INT NOT NULL, attempt INT NOT NULL, detail TEXT, hash BLOB) STRICT;
CREATE INDEX event_seq ON event(seq);
CREATE TABLE span(slot INTEGER PRIMARY KEY, first INT NOT NULL, last INT NOT NULL) STRICT;
CREATE TABLE counter(tenant INT NOT NULL, state INT NOT NULL, n INT NOT NULL,
  PRIMARY KEY(tenant, state)) STRICT, WITHOUT ROWID;
CREATE TABLE cursor(consumer TEXT PRIMARY KEY, upto INT NOT NULL) STRICT;
CREATE TABLE owner(key TEXT PRIMARY KEY, host TEXT NOT NULL, fence INT NOT NULL,
  expires INT NOT NULL) STRICT;
CREATE TABLE bucket(key TEXT PRIMARY KEY, tat INT NOT NULL) STRICT;
CREATE TABLE config(key TEXT PRIMARY KEY, rev INT NOT NULL, value BLOB NOT NULL) STRICT;
CREATE TABLE meta(k TEXT PRIMARY KEY, v ANY) STRICT;
INSERT INTO meta VALUES('schema_version', 1), ('incarnation', 0);
";

/// Version 2: parents with their branches, ordering keys, attempts that do not count; events name
/// their notification, which may be purged before them, and are chained from here on.
const TO_2: &str = "
ALTER TABLE notif ADD COLUMN parent BLOB;
ALTER TABLE notif ADD COLUMN branch INT;
ALTER TABLE notif ADD COLUMN okey TEXT;
CREATE INDEX notif_parent ON notif(parent) WHERE parent IS NOT NULL;
CREATE TABLE parent(seq INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, tenant INT NOT NULL,
  created INT NOT NULL) STRICT;
ALTER TABLE job ADD COLUMN free INT NOT NULL DEFAULT 0;
CREATE TABLE serial(seq INTEGER PRIMARY KEY, lane INT NOT NULL, key TEXT NOT NULL,
  place INT NOT NULL, UNIQUE(lane, key, place)) STRICT;
ALTER TABLE event ADD COLUMN id BLOB;
ALTER TABLE event ADD COLUMN lane INT NOT NULL DEFAULT 0;
CREATE TEMP TABLE known(seq INTEGER PRIMARY KEY, id BLOB, lane INT);
INSERT INTO known SELECT seq, id, lane FROM notif;
UPDATE event SET (id, lane)=(SELECT id, lane FROM known WHERE known.seq=event.seq)
  WHERE seq IN (SELECT seq FROM known);
DROP TABLE known;
DROP INDEX event_seq;
CREATE INDEX event_tenant ON event(tenant, eseq);
INSERT INTO meta VALUES('chain_seq', (SELECT coalesce(max(eseq), 0) FROM event)),
  ('chain_hash', zeroblob(32));
";

/// Version 3: whether an attempt is one of those that the retry policy allows. Of older ones it is not
/// known, and the rule is that they are.
const TO_3: &str = "ALTER TABLE attempt ADD COLUMN counts INT NOT NULL DEFAULT 1;";

/// Gives an empty file the schema, and an older one what is new; refuses one that is not ours or
/// from a newer version.
pub(super) fn prepare(conn: &Connection) -> Result<(), Refusal> {
    let tables: i64 = conn.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    let mark: i64 = conn.query_row("PRAGMA application_id", (), |row| row.get(0))?;
    if tables == 0 && mark == 0 {
        conn.execute_batch(&format!(
            "BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION_ID}; {DDL} {TO_2} {TO_3} {STAMP} COMMIT;"
        ))?;
        return Ok(());
    }
    match known(conn)? {
        VERSION => Ok(()),
        1 => Ok(conn.execute_batch(&format!("BEGIN IMMEDIATE; {TO_2} {TO_3} {STAMP} COMMIT;"))?),
        2 => Ok(conn.execute_batch(&format!("BEGIN IMMEDIATE; {TO_3} {STAMP} COMMIT;"))?),
        _ => Err(Refusal::NotOurs),
    }
}

/// Refuses a file that is not ours, or not of this version.
pub(super) fn expect(conn: &Connection) -> Result<(), Refusal> {
    match known(conn)? {
        VERSION => Ok(()),
        found => Err(Refusal::Older(found)),
    }
}

/// The version of a file that is ours; refuses one from a newer version.
pub(super) fn known(conn: &Connection) -> Result<i64, Refusal> {
    let mark: i64 = conn.query_row("PRAGMA application_id", (), |row| row.get(0))?;
    if mark != APPLICATION_ID {
        return Err(Refusal::NotOurs);
    }
    match version(conn)? {
        Some(found) if found > VERSION => Err(Refusal::Newer(found)),
        Some(found) => Ok(found),
        None => Err(Refusal::NotOurs),
    }
}

/// The version that the file says it has.
fn version(conn: &Connection) -> rusqlite::Result<Option<i64>> {
    conn.query_row("SELECT v FROM meta WHERE k='schema_version'", (), |row| row.get(0)).optional()
}

/// Why a file is not taken.
pub(super) enum Refusal {
    /// Another program's database.
    NotOurs,
    /// Written by a newer version of this program.
    Newer(i64),
    /// Written by an older version, and not opened by this one since.
    Older(i64),
    /// It could not be read at all.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl Refusal {
    /// The error for the operator, which names the file.
    pub(super) fn of_file(self, file: &std::path::Path) -> OpenError {
        let file = file.to_path_buf();
        match self {
            Self::NotOurs => {
                OpenError::NotAStore { file, why: String::from("it is another program's database") }
            }
            Self::Newer(found) => OpenError::NewerSchema { file, found, supported: VERSION },
            Self::Older(found) => OpenError::OlderSchema { file, found, supported: VERSION },
            Self::Sql(error) => OpenError::of_sql(file, &error),
        }
    }
}
