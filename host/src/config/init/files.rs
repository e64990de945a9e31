//! Whole files or none: written beside their place, then put there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::InitError;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    Owner,
    AsUsual,
}

/// Makes a file that is not there yet.
pub(super) fn create(path: &Path, content: &str) -> Result<(), InitError> {
    let temporary = write_beside(path, content, Readers::AsUsual)?;
    // A hard link, unlike a rename, never replaces a file that came in the meantime.
    let linked = match fs::hard_link(&temporary, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists && !path.exists() => {
            // Not every file system knows hard links.
            fs::rename(&temporary, path)
        }
        result => result,
    };
    let _ = fs::remove_file(&temporary);
    linked.map_err(|source| written(path, source))
}

/// Makes or replaces a file.
pub(super) fn replace(path: &Path, content: &str, readers: Readers) -> Result<(), InitError> {
    let temporary = write_beside(path, content, readers)?;
    fs::rename(&temporary, path).map_err(|source| {
        let _ = fs::remove_file(&temporary);
        written(path, source)
    })
}

fn write_beside(path: &Path, content: &str, readers: Readers) -> Result<PathBuf, InitError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!("{name}.{}.tmp", std::process::id()));
    let write = || -> io::Result<()> {
        let _ = fs::remove_file(&temporary);
        let mut file = new_file(&temporary, readers)?;
        file.write_all(content.as_bytes())?;
        file.sync_all()
    };
    match write() {
        Ok(()) => Ok(temporary),
        Err(source) => {
            let _ = fs::remove_file(&temporary);
            Err(written(path, source))
        }
    }
}

fn new_file(path: &Path, readers: Readers) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    // From the first byte on, not after the fact.
    #[cfg(unix)]
    if readers == Readers::Owner {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = readers;
    options.open(path)
}

fn written(path: &Path, source: io::Error) -> InitError {
    InitError::Io { path: path.to_owned(), doing: "written", source }
}
