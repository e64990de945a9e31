//! One process a file. SQLite would let two hosts share it, and they would take each other's leases
//! for those of a dead incarnation; so the second one is refused.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use super::open::OpenError;

/// An exclusive lock, held until it is dropped or the process ends in whatever way.
#[derive(Debug)]
pub(super) struct Lock {
    _held: File,
}

impl Lock {
    /// Locks the file beside `database`.
    pub(super) fn take(database: &Path) -> Result<Self, OpenError> {
        let path = beside(database, ".lock");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file =
            options.open(&path).map_err(|source| OpenError::Io { file: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _held: file }),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { lock: path }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { file: path, source }),
        }
    }
}

/// `database` with `suffix` behind its name.
pub(super) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
