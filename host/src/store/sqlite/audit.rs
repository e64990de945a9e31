//! The trail of events out of a file, also while a host runs on it: for an export, and to see
//! whether the chain holds.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::{
    events::{Link, events},
    open::OpenError,
    readers, schema,
};
use crate::{
    limits::EVENTS_LIMIT_MAX,
    store::{Event, EventQuery},
};

/// Reads the trail page by page. Each page is a read of its own, so that a host which runs can go on
/// with its log.
#[derive(Debug)]
pub struct Audit {
    conn: Connection,
    file: PathBuf,
    after: i64,
    last: Option<Link>,
    chained: u64,
}

/// Why the trail could not be read to its end.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain does not hold.
    #[error("the chain of events is broken at event {seq}: {why}")]
    Broken {
        /// The first event that is not what it was.
        seq: i64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file could not be read.
    #[error("{}: {source}", file.display())]
    Read {
        /// The store.
        file: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
}

impl Audit {
    /// Opens the store at `path` to read its events.
    ///
    /// # Errors
    /// When there is none, or it is not one of this version.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let file = path.to_path_buf();
        let conn =
            readers::connect(path).map_err(|error| OpenError::of_sql(file.clone(), &error))?;
        schema::expect(&conn).map_err(|refusal| refusal.of_file(path))?;
        Ok(Self { conn, file, after: 0, last: None, chained: 0 })
    }

    /// The next events; none at the end.
    ///
    /// # Errors
    /// When the file cannot be read, or, with `verify`, at the first event that does not fit.
    pub fn next(&mut self, verify: bool) -> Result<Vec<Event>, AuditError> {
        let (first, page) =
            self.page().map_err(|source| AuditError::Read { file: self.file.clone(), source })?;
        if verify {
            self.verify(first, &page)?;
        }
        self.after = page.last().map_or(self.after, |event| event.seq);
        Ok(page)
    }

    /// How many events were found to be chained, and the hash of the last one.
    #[must_use]
    pub fn verified(&self) -> (u64, Option<[u8; 32]>) {
        (self.chained, self.last.map(|link| link.hash))
    }

    fn page(&self) -> rusqlite::Result<(Link, Vec<Event>)> {
        let picture = self.conn.unchecked_transaction()?;
        let first = Link::first(&picture)?;
        let query = EventQuery { tenant: None, after: self.after, limit: EVENTS_LIMIT_MAX };
        Ok((first, events(&picture, &query)?.items))
    }

    fn verify(&mut self, first: Link, page: &[Event]) -> Result<(), AuditError> {
        // Retention may have moved the beginning past where we were.
        let mut last = self.last.filter(|last| last.seq >= first.seq).unwrap_or(first);
        for event in page.iter().filter(|event| event.seq > first.seq) {
            let broken = |why| AuditError::Broken { seq: event.seq, why };
            if event.seq != last.seq + 1 {
                return Err(broken("events before it are missing"));
            }
            let hash = event.hash_after(&last.hash);
            match event.hash {
                Some(found) if found == hash => {}
                Some(_) => return Err(broken("it, or the one before it, was changed")),
                None => return Err(broken("it has no hash")),
            }
            last = Link { seq: event.seq, hash };
            self.chained += 1;
        }
        self.last = Some(last);
        Ok(())
    }
}
