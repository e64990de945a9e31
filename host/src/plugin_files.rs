//! Where a plugin's bytes come from: embedded in this program, or a file; and the copies of files
//! that have worked, so that a bad overwrite survives neither a swap nor a restart.

use std::{
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{Plugin, PluginSource},
    ids::PluginName,
    limits,
};

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// The names of the embedded plugins.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    BUILTIN.iter().map(|(name, _)| *name)
}

/// Reads a plugin's component. Blocking.
///
/// # Errors
/// Says which file, and what to do.
pub fn read(plugin: &Plugin) -> Result<Arc<[u8]>, String> {
    match &plugin.source {
        PluginSource::Builtin => BUILTIN
            .iter()
            .find(|(name, _)| *name == plugin.name.as_str())
            .map(|(_, bytes)| Arc::from(*bytes))
            .ok_or_else(|| {
                let known: Vec<_> = builtin_names().collect();
                format!(
                    "no plugin \"{}\" is built into this program (it has {}); name its file in \
                     `source`",
                    plugin.name,
                    if known.is_empty() { String::from("none") } else { known.join(", ") }
                )
            }),
        PluginSource::File(path) => {
            read_file(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))
        }
    }
}

/// Reads one byte more than a plugin may have at most, so that a larger one is found out without
/// being taken in.
fn read_file(path: &Path) -> io::Result<Arc<[u8]>> {
    // Before it is opened: opening a pipe waits for somebody to write into it.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limits::WASM_FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(Arc::from(bytes))
}

/// Copies of plugin files that have worked: one for each plugin, the last.
#[derive(Debug, Clone)]
pub struct LastGood {
    folder: PathBuf,
}

impl LastGood {
    /// Opens the folder.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(folder: PathBuf) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder })
    }

    /// The folder as it is, be it there or not: for reading.
    #[must_use]
    pub const fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn path(&self, plugin: &PluginName) -> PathBuf {
        self.folder.join(plugin.as_str()).with_extension("wasm")
    }

    /// The copy of `plugin`'s last good file. Blocking.
    #[must_use]
    pub fn read(&self, plugin: &PluginName) -> Option<Arc<[u8]>> {
        match read_file(&self.path(plugin)) {
            Ok(bytes) => Some(bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!("the last good file of plugin {plugin} cannot be read: {error}");
                None
            }
        }
    }

    /// Keeps `bytes` as the last good file of `plugin`. Blocking.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, plugin: &PluginName, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(plugin);
        let temporary = path.with_extension("wasm.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    }
}
