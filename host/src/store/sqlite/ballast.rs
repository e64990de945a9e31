//! A file that only takes up room. When the disk is full it is given up, so that deliveries which
//! are under way can still be written down; that it can be written again is the proof that there is
//! room enough to accept new notifications.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    path::PathBuf,
};

static BLOCK: [u8; 64 * 1024] = [0xb5; 64 * 1024];

/// The file, there or given up.
pub(super) struct Ballast {
    path: PathBuf,
    bytes: u64,
}

impl Ballast {
    pub(super) const fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Makes room.
    pub(super) fn give_up(&self) {
        if let Err(error) = fs::remove_file(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, file = %self.path.display(), "the ballast could not be removed");
        }
    }

    /// Takes the room up again, or fails and takes none.
    pub(super) fn restore(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|found| found.len() == self.bytes) {
            return Ok(());
        }
        self.write().inspect_err(|_| self.give_up())
    }

    fn write(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&self.path)?;
        let mut left = self.bytes;
        while left > 0 {
            let part = usize::try_from(left).unwrap_or(BLOCK.len()).min(BLOCK.len());
            file.write_all(BLOCK.get(..part).unwrap_or(&BLOCK))?;
            left -= part as u64;
        }
        Ok(())
    }
}
