//! A disk that keeps what was synced, and of the rest whatever chance decides.
//!
//! It is harder than most: that a file *exists* is kept only by a sync of the folder, and what a
//! failed sync was about is gone for good, as Linux has it.

use std::{collections::BTreeMap, fs, path::Path};

use super::parse::Event;

/// Disks write these whole.
const SECTOR_BYTES: usize = 512;

/// What the power cut does to writes that were not synced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unsynced {
    /// None is kept.
    None,
    /// Each is kept or not.
    Half,
    /// The first few are kept.
    First,
    /// Each sector of each is kept or not.
    Torn,
    /// All are kept.
    All,
}

impl Unsynced {
    pub(crate) const EVERY: [Self; 5] =
        [Self::None, Self::Half, Self::First, Self::Torn, Self::All];
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, data: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct Content {
    /// On the disk.
    kept: Vec<u8>,
    is_kept: bool,
    /// As the process sees it.
    is_there: bool,
    /// Not synced, oldest first.
    changes: Vec<Change>,
}

/// The store's files.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    files: BTreeMap<String, Content>,
}

impl Disk {
    /// As a store leaves it that was closed in order, with everything synced.
    pub(crate) fn of(folder: &Path) -> Self {
        let mut files = BTreeMap::new();
        for name in ["queue.db", "queue.db-wal"] {
            if let Ok(kept) = fs::read(folder.join(name)) {
                let content = Content { kept, is_kept: true, is_there: true, changes: Vec::new() };
                files.insert(name.to_owned(), content);
            }
        }
        Self { files }
    }

    pub(crate) fn happens(&mut self, event: &Event) {
        match event {
            Event::Written { file, offset, data } => {
                let offset = usize::try_from(*offset).unwrap();
                self.file(file).changes.push(Change::Write { offset, data: data.clone() });
            }
            Event::Cut { file, length } => {
                let length = usize::try_from(*length).unwrap();
                self.file(file).changes.push(Change::Length(length));
            }
            Event::Synced { file } => {
                let content = self.file(file);
                for change in std::mem::take(&mut content.changes) {
                    apply(&mut content.kept, &change);
                }
            }
            // What could not be written is thrown away, and the next sync says that all is well.
            Event::NotSynced { file } => self.file(file).changes.clear(),
            Event::Made { file } => self.file(file).is_there = true,
            Event::Removed { file } => self.file(file).is_there = false,
            Event::FolderSynced => {
                for content in self.files.values_mut() {
                    content.is_kept = content.is_there;
                }
            }
            Event::Told { .. } => {}
        }
    }

    fn file(&mut self, name: &str) -> &mut Content {
        self.files.entry(name.to_owned()).or_default()
    }

    /// Writes what is left when the power goes now.
    pub(crate) fn cut(&self, unsynced: Unsynced, chances: &mut fastrand::Rng, to: &Path) {
        for (name, content) in &self.files {
            let exists = match unsynced {
                Unsynced::None => content.is_kept,
                Unsynced::All => content.is_there,
                _ if content.is_kept == content.is_there => content.is_kept,
                _ => chances.bool(),
            };
            if exists {
                fs::write(to.join(name), content.left(unsynced, chances)).unwrap();
            }
        }
    }
}

impl Content {
    fn left(&self, unsynced: Unsynced, chances: &mut fastrand::Rng) -> Vec<u8> {
        let mut bytes = self.kept.clone();
        let count = match unsynced {
            Unsynced::None => 0,
            Unsynced::First => chances.usize(0..=self.changes.len()),
            _ => self.changes.len(),
        };
        for change in &self.changes[..count] {
            match (unsynced, change) {
                (Unsynced::Half, _) | (Unsynced::Torn, Change::Length(_)) => {
                    if chances.bool() {
                        apply(&mut bytes, change);
                    }
                }
                (Unsynced::Torn, Change::Write { offset, data }) => {
                    torn(&mut bytes, *offset, data, chances);
                }
                _ => apply(&mut bytes, change),
            }
        }
        bytes
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, data } => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
        Change::Length(length) => bytes.resize(*length, 0),
    }
}

/// Some of the sectors. The file is as long as if all were there.
fn torn(bytes: &mut Vec<u8>, offset: usize, data: &[u8], chances: &mut fastrand::Rng) {
    let mut at = offset;
    while at < offset + data.len() {
        let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let end = end.min(offset + data.len());
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        if chances.bool() {
            bytes[at..end].copy_from_slice(&data[at - offset..end - offset]);
        }
        at = end;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(offset: u64, data: &[u8]) -> Event {
        Event::Written { file: String::from("queue.db"), offset, data: data.to_vec() }
    }

    fn left(disk: &Disk, unsynced: Unsynced) -> Option<Vec<u8>> {
        let folder = tempfile::tempdir().unwrap();
        disk.cut(unsynced, &mut fastrand::Rng::with_seed(7), folder.path());
        fs::read(folder.path().join("queue.db")).ok()
    }

    #[test]
    fn the_disk_keeps_what_was_synced_and_not_what_was_not() {
        let file = String::from("queue.db");
        let mut disk = Disk { files: BTreeMap::new() };
        disk.happens(&Event::Made { file: file.clone() });
        disk.happens(&written(0, b"one"));
        disk.happens(&Event::Synced { file: file.clone() });
        assert_eq!(left(&disk, Unsynced::None), None, "nobody synced the folder");
        disk.happens(&Event::FolderSynced);
        disk.happens(&written(3, b"two"));
        assert_eq!(left(&disk, Unsynced::None).unwrap(), b"one");
        assert_eq!(left(&disk, Unsynced::All).unwrap(), b"onetwo");
        disk.happens(&Event::NotSynced { file: file.clone() });
        disk.happens(&Event::Synced { file });
        assert_eq!(left(&disk, Unsynced::All).unwrap(), b"one", "a failed sync loses for good");
    }

    #[test]
    fn a_torn_write_leaves_whole_sectors() {
        let mut disk = Disk { files: BTreeMap::new() };
        disk.happens(&Event::Made { file: String::from("queue.db") });
        disk.happens(&Event::FolderSynced);
        disk.happens(&written(100, &[1; 4_096]));
        let bytes = left(&disk, Unsynced::Torn).unwrap_or_default();
        assert_eq!(bytes.len(), 4_196);
        let sectors: Vec<_> = bytes[512..4_096].chunks(512).map(|sector| sector[0]).collect();
        assert!(sectors.contains(&0) && sectors.contains(&1), "{sectors:?}");
        assert!(bytes[512..4_096].chunks(512).all(|sector| sector.iter().all(|b| *b == sector[0])));
    }
}
