//! Opening the file: lock, settings, schema, recovery, and then the writer's thread.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig};

use super::{
    Shared, SqliteStore,
    ballast::Ballast,
    events::Link,
    health::Condition,
    lock::{Lock, beside},
    names::Names,
    queue::Queue,
    readers::Readers,
    recover::recover,
    schema,
    tallies::Tallies,
    work::Memory,
    writer::{Farewell, Writer},
};
use crate::{clock::Clock, store::Hints};

/// The first SQLite in which a checkpoint cannot lose pages (the WAL-reset bug).
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Room that is kept for the deliveries under way when the disk is full.
const BALLAST_BYTES: u64 = 64 * 1024 * 1024;

/// Statements kept prepared by a connection: all there are.
const STATEMENTS: usize = 96;

/// Has statements prepared once for as long as the connection lives. The planner would otherwise look
/// at the value of a `LIMIT` and prepare anew for each, four times for a lease.
pub(super) fn keep_statements(conn: &Connection) -> rusqlite::Result<()> {
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("another process uses this store: it holds the lock on {}", lock.display())]
    InUse {
        /// The file that is locked.
        lock: PathBuf,
    },
    /// A newer version of this program wrote it.
    #[error(
        "{} was written by a newer version of this program (schema {found}, this one knows up to \
         {supported}); use that version, or a backup from before the upgrade",
        file.display()
    )]
    NewerSchema {
        /// The store.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// An older version of this program wrote it, and it is only to be read.
    #[error(
        "{} is of an older version (schema {found}, this one reads {supported}); start the host \
         on it once, which brings it up to date",
        file.display()
    )]
    OlderSchema {
        /// The store.
        file: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// It is something else.
    #[error("{} is not a store of this program: {why}", file.display())]
    NotAStore {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file system says no.
    #[error("{}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// SQLite says no.
    #[error("{}: {why}", file.display())]
    Sqlite {
        /// The store.
        file: PathBuf,
        /// What it says.
        why: String,
    },
    /// The program was built with a SQLite that can lose data.
    #[error("SQLite {found} is too old: 3.51.3 is the first that is safe here")]
    LibraryTooOld {
        /// Its version.
        found: &'static str,
    },
}

impl OpenError {
    pub(super) fn of_sql(file: PathBuf, error: &rusqlite::Error) -> Self {
        let why = error.to_string();
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::NotAStore { file, why }
            }
            _ => Self::Sqlite { file, why },
        }
    }
}

impl SqliteStore {
    /// Opens the store at `path`, or makes one. Everything that was leased falls due.
    ///
    /// # Errors
    /// When another process has it, when it is no store or a newer one, or when the disk refuses.
    pub fn open(path: &Path, clock: Clock) -> Result<Arc<Self>, OpenError> {
        Self::open_with(path, clock, BALLAST_BYTES)
    }

    /// [`SqliteStore::open`] with so much room kept for a full disk.
    pub(in crate::store) fn open_with(
        path: &Path,
        clock: Clock,
        ballast_bytes: u64,
    ) -> Result<Arc<Self>, OpenError> {
        if rusqlite::version_number() < SQLITE_VERSION_MIN {
            return Err(OpenError::LibraryTooOld { found: rusqlite::version() });
        }
        let folder = create(path)?;
        let lock = Lock::take(path)?;
        let sql = |error: rusqlite::Error| OpenError::of_sql(path.to_path_buf(), &error);
        let conn = connect(path).map_err(sql)?;
        schema::prepare(&conn).map_err(|refusal| refusal.of_file(path))?;
        let names = Names::load(&conn).map_err(sql)?;
        let mut chain = Link::last(&conn).map_err(sql)?;
        let incarnation = recover(&conn, &names, &mut chain, clock.now()).map_err(sql)?;
        sync_folder(&folder)?;
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            condition: Condition::new(),
            tallies: Tallies::load(&conn).map_err(sql)?,
            hints: Hints::default(),
            ended: tokio::sync::watch::Sender::new(false),
            last_event: tokio::sync::watch::Sender::new(chain.seq),
        });
        // The newest may have been removed by its owner; then its span still knows its number.
        let last_seq = conn
            .query_row(
                "SELECT max(coalesce((SELECT max(seq) FROM body), 0),
                   coalesce((SELECT max(last) FROM span), 0))",
                (),
                |row| row.get(0),
            )
            .map_err(sql)?;
        let ballast = Ballast::new(beside(path, ".ballast"), ballast_bytes);
        if let Err(error) = ballast.restore() {
            shared.condition.full(format!("no room for the ballast: {error}"));
        }
        let writer = Writer {
            conn,
            shared: Arc::clone(&shared),
            memory: Memory {
                names,
                changes: Default::default(),
                last_seq,
                chain,
                turns: Default::default(),
            },
            clock,
            incarnation,
            ballast,
            checkpoint_at: Writer::FIRST_CHECKPOINT,
            resume_tried: None,
            _lock: lock,
        };
        let farewell = Farewell(Arc::clone(&shared));
        let thread = std::thread::Builder::new()
            .name(String::from("store-writer"))
            .spawn(move || {
                // Declared first, dropped last: the file is closed when the farewell is said.
                let _farewell = farewell;
                writer.run();
            })
            .map_err(|source| OpenError::Io { file: path.to_path_buf(), source })?;
        Ok(Arc::new(Self { shared, readers: Readers::new(path), thread: Some(thread) }))
    }
}

/// Makes the folder and the file, for our eyes only. SQLite gives its log the rights of the file.
fn create(path: &Path) -> Result<PathBuf, OpenError> {
    let folder = make_folder(path)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .map_err(|source| OpenError::Io { file: path.to_path_buf(), source })
        .map(|_| folder)
}

/// Makes the folder that a file is to lie in.
pub(super) fn make_folder(path: &Path) -> Result<PathBuf, OpenError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(&folder).map_err(|source| OpenError::Io { file: folder.clone(), source })?;
    Ok(folder)
}

/// SQLite syncs what it writes into its files; that the log is in the folder at all is ours to sync.
pub(super) fn sync_folder(folder: &Path) -> Result<(), OpenError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| OpenError::Io { file: folder.to_path_buf(), source })
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    keep_statements(&conn)?;
    // The first two only work before the first table. NORMAL in place of FULL loses acknowledged
    // rows when the power goes. The log is copied by the writer's own hand, see `writer.rs`.
    conn.execute_batch(
        "PRAGMA page_size=4096; PRAGMA auto_vacuum=INCREMENTAL; PRAGMA busy_timeout=5000;
         PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;
         PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit=67108864; PRAGMA temp_store=MEMORY;
         PRAGMA mmap_size=0; PRAGMA foreign_keys=OFF; PRAGMA cell_size_check=ON;",
    )?;
    Ok(conn)
}
