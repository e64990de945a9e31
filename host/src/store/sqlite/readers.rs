//! A few connections that only read. WAL gives each question a consistent picture while the writer
//! goes on.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};
use tokio::sync::Semaphore;

use super::open::keep_statements;
use crate::store::StoreError;

/// Questions answered at the same time; the next ones wait their turn. Reads are short, and more
/// connections than cores gain nothing.
const CONNECTIONS: usize = 4;

/// A question is cut off after this long: while it runs the log cannot start anew.
const READ_MAX: Duration = Duration::from_secs(1);

/// The pool.
pub(super) struct Readers {
    path: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        let turns = Arc::new(Semaphore::new(CONNECTIONS));
        Self { path: path.to_path_buf(), idle: Arc::default(), turns }
    }

    /// Asks `question` on a thread that may block.
    pub(super) async fn ask<T, Q>(&self, question: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let conn = match idle {
            Some(conn) => conn,
            None => connect(&self.path).map_err(|error| StoreError::Read(error.to_string()))?,
        };
        let interrupt = conn.get_interrupt_handle();
        let (pool, turns) = (Arc::clone(&self.idle), Arc::clone(&self.turns));
        let mut asking = tokio::task::spawn_blocking(move || {
            let answer = question(&conn);
            if !turns.is_closed() {
                pool.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            }
            drop(turn);
            answer
        });
        let answer = match tokio::time::timeout(READ_MAX, &mut asking).await {
            Ok(answer) => answer,
            Err(_) => {
                interrupt.interrupt();
                asking.await
            }
        };
        match answer {
            Ok(answer) => answer.map_err(|error| StoreError::Read(error.to_string())),
            Err(panicked) => Err(StoreError::Read(panicked.to_string())),
        }
    }

    /// Answers nothing from now on. What is being asked ends.
    pub(super) fn close(&self) {
        self.turns.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

pub(super) fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    // Only the writer copies the log into the database.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    keep_statements(&conn)?;
    conn.execute_batch(
        "PRAGMA query_only=ON; PRAGMA wal_autocheckpoint=0; PRAGMA busy_timeout=5000;
         PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0; PRAGMA cell_size_check=ON;
         PRAGMA cache_size=-8192;",
    )?;
    Ok(conn)
}
