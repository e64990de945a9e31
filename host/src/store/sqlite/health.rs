//! How the store is, and which error of SQLite means what.

use rusqlite::{Error, ErrorCode, ffi};
use tokio::sync::watch;

use crate::store::{Health, StoreError};

/// What an error asks for.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A write or sync failed, or the file is damaged. After a failed sync the page cache cannot be
    /// believed, and SQLite would carry on: so we do not.
    Fatal(String),
    /// No room. Not lasting: somebody makes room.
    Full(String),
    /// This operation's own fault.
    Operation(String),
}

impl Trouble {
    pub(super) fn of(error: &Error) -> Self {
        let text = error.to_string();
        let Error::SqliteFailure(failure, _) = error else { return Self::Operation(text) };
        match (failure.code, failure.extended_code) {
            // The shared-memory file could not grow: a full disk too, and nothing of ours is lost.
            (ErrorCode::DiskFull, _) | (_, ffi::SQLITE_IOERR_SHMSIZE) => Self::Full(text),
            (
                ErrorCode::SystemIoFailure | ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase,
                code,
            ) => Self::Fatal(format!("{text} (SQLite error {code})")),
            _ => Self::Operation(text),
        }
    }
}

/// How the store is; written by the writer, read by all.
pub(super) struct Condition {
    health: watch::Sender<Health>,
    failed: watch::Sender<Option<String>>,
}

impl Condition {
    pub(super) fn new() -> Self {
        Self { health: watch::Sender::new(Health::Ok), failed: watch::Sender::new(None) }
    }

    pub(super) fn health(&self) -> Health {
        self.health.borrow().clone()
    }

    pub(super) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    pub(super) fn is_read_only(&self) -> bool {
        matches!(*self.health.borrow(), Health::ReadOnly(_))
    }

    /// Why nothing works any more, if so.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        matches!(*self.health.borrow(), Health::Failed(_)).then_some(StoreError::Closed)
    }

    pub(super) fn full(&self, why: String) {
        tracing::error!(why, "no room for the store: nothing new is accepted");
        self.health.send_replace(Health::ReadOnly(why));
    }

    pub(super) fn resumed(&self) {
        tracing::info!("there is room for the store again");
        self.health.send_replace(Health::Ok);
    }

    /// For good: the first reason stays.
    pub(super) fn fail(&self, why: &str) {
        tracing::error!(why, "the store failed");
        self.health.send_if_modified(|health| {
            let first = !matches!(health, Health::Failed(_));
            if first {
                *health = Health::Failed(String::from(why));
            }
            first
        });
        self.failed.send_if_modified(|failed| {
            let first = failed.is_none();
            failed.get_or_insert_with(|| String::from(why));
            first
        });
    }
}
