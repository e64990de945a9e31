//! Backups: a copy of a moment, taken while the host runs, and how it comes back.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    lock::{Lock, beside},
    open::{OpenError, make_folder, sync_folder},
    readers, schema,
};

/// What a copy holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    /// The size of the file, in bytes.
    pub bytes: u64,
    /// Notifications that are not over.
    pub live: i64,
    /// Notifications in all.
    pub notifications: i64,
}

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is written over.
    #[error("{} is there already; {remedy}", file.display())]
    Exists {
        /// What is in the way.
        file: PathBuf,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The copy is of no use.
    #[error("{} is damaged: {why}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What the check says first.
        why: String,
    },
    /// A store in use is not what one restores from.
    #[error(
        "{} lies beside it, so this is the store of a host and not a backup: take one of it with \
         `conductor backup`",
        log.display()
    )]
    NotABackup {
        /// SQLite's log.
        log: PathBuf,
    },
    /// It is no store that this program can use, or one that is in use.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// The file system says no.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it says.
        source: io::Error,
    },
}

fn io_error(file: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Io { file: file.to_path_buf(), source }
}

fn sql_error(file: &Path) -> impl Fn(rusqlite::Error) -> BackupError {
    move |error| OpenError::of_sql(file.to_path_buf(), &error).into()
}

/// Copies the store at `queue`, as it is at this moment, to the new file `to`. A host may run on it
/// meanwhile: it goes on, and only its log cannot begin anew until the copy is made. `to` is there
/// when it is whole, checked and on disk, and not before.
///
/// # Errors
/// When `to` is there, `queue` is not, or something cannot be read or written.
pub fn backup(queue: &Path, to: &Path) -> Result<Copied, BackupError> {
    if to.exists() {
        return Err(exists(to, "name another file"));
    }
    let sql = sql_error(queue);
    let conn = readers::connect(queue).map_err(&sql)?;
    // Of an older version too: the time for a backup is before the upgrade.
    schema::known(&conn).map_err(|refusal| refusal.of_file(queue))?;
    let partial = beside(to, ".partial");
    create_anew(&partial)?;
    // It would forbid the copy as well; the connection reads only, whatever this says.
    conn.execute_batch("PRAGMA query_only=OFF").map_err(&sql)?;
    let name = partial.to_str().ok_or_else(|| BackupError::Io {
        file: partial.clone(),
        source: io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8"),
    })?;
    let copied = conn
        .execute("VACUUM INTO ?1", [name])
        .map_err(sql_error(&partial))
        .and_then(|_| check(&partial))
        .and_then(|copied| put(&partial, to).map(|()| copied));
    if copied.is_err() {
        // What is left of it is of no use; the error that led here is the one to tell.
        let _left_over = fs::remove_file(&partial);
    }
    copied
}

/// Puts the backup `from` where the store `queue` is to be. A store that is there already is put
/// aside as `queue.db.replaced` if `force` says so, and otherwise in the way.
///
/// # Errors
/// When `from` is no sound backup, a host runs on `queue`, or there is a store already.
pub fn restore(from: &Path, queue: &Path, force: bool) -> Result<Copied, BackupError> {
    let log = beside(from, "-wal");
    if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(BackupError::NotABackup { log });
    }
    let copied = check(from)?;
    let folder = make_folder(queue)?;
    let _lock = Lock::take(queue)?;
    let aside = beside(queue, ".replaced");
    if queue.exists() {
        if !force {
            return Err(exists(queue, "with --force it is put aside as queue.db.replaced"));
        }
        if aside.exists() {
            return Err(exists(&aside, "move it away first"));
        }
    }
    let partial = beside(queue, ".restoring");
    create_anew(&partial)?;
    fs::copy(from, &partial).map_err(io_error(&partial))?;
    check(&partial)?;
    put_aside(queue, &aside)?;
    put(&partial, queue)?;
    sync_folder(&folder)?;
    Ok(copied)
}

fn exists(file: &Path, remedy: &'static str) -> BackupError {
    BackupError::Exists { file: file.to_path_buf(), remedy }
}

/// Moves what is there out of the way, its log included: beside another file the log would be
/// poison.
fn put_aside(queue: &Path, aside: &Path) -> Result<(), BackupError> {
    if queue.exists() {
        // With its log copied, there is nothing beside it that could be left behind. Where that
        // does not work, which may be why it is replaced, the log is moved too.
        let copied = Connection::open(queue)
            .and_then(|conn| conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(())));
        if let Err(error) = copied {
            tracing::warn!(%error, "the log of the store that is put aside was not copied");
        }
    }
    for suffix in ["-wal", "-shm", ""] {
        let (from, to) = (beside(queue, suffix), beside(aside, suffix));
        if from.exists() {
            fs::rename(&from, &to).map_err(io_error(&from))?;
        }
    }
    Ok(())
}

/// Makes an empty file for our eyes only; what an interrupted run left of it goes.
fn create_anew(file: &Path) -> Result<(), BackupError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop).map_err(io_error(file))
}

/// Syncs `partial` and gives it its name.
fn put(partial: &Path, to: &Path) -> Result<(), BackupError> {
    File::open(partial).and_then(|file| file.sync_all()).map_err(io_error(partial))?;
    fs::rename(partial, to).map_err(io_error(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new(".")))?;
    Ok(())
}

/// Whether a file is a sound store of this version or an older one. Nothing is written, neither
/// into it nor beside it.
fn check(file: &Path) -> Result<Copied, BackupError> {
    let bytes = fs::metadata(file).map_err(io_error(file))?.len();
    let sql = sql_error(file);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let conn = Connection::open_with_flags(unchanging(file)?, flags).map_err(&sql)?;
    schema::known(&conn).map_err(|refusal| refusal.of_file(file))?;
    let sound: String =
        conn.query_row("PRAGMA integrity_check(1)", (), |row| row.get(0)).map_err(&sql)?;
    if sound != "ok" {
        return Err(BackupError::Damaged { file: file.to_path_buf(), why: sound });
    }
    let count = |sql: &str| conn.query_row(sql, (), |row| row.get(0));
    let live = count("SELECT coalesce(sum(n), 0) FROM counter WHERE state<3").map_err(&sql)?;
    let notifications = count("SELECT coalesce(sum(n), 0) FROM counter").map_err(&sql)?;
    Ok(Copied { bytes, live, notifications })
}

/// The file's name as SQLite wants it for a file that nobody changes: without it, reading one that
/// was in WAL mode would put a log beside it. Only what has a meaning in such a name is escaped.
fn unchanging(file: &Path) -> Result<String, BackupError> {
    let absolute = std::path::absolute(file).map_err(io_error(file))?;
    let name = absolute.to_str().ok_or_else(|| BackupError::Io {
        file: file.to_path_buf(),
        source: io::Error::new(io::ErrorKind::InvalidFilename, "the name is not UTF-8"),
    })?;
    let name = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file:{name}?immutable=1"))
}
