//! Compiled components on disk, so that a component is compiled once and not at every start.
//!
//! A file is named by the digest of the component and lies in a folder named by everything else
//! that decides what the compiler makes (wasmtime's version, its settings, the machine): whatever
//! changes, an old file is not found rather than misread.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use wasmtime::{Engine, component::Component};

use crate::ids::Digest;

/// How many compiled components are kept.
const FILES_MAX: usize = 64;

/// The folder of compiled components.
#[derive(Debug, Clone)]
pub struct CompileCache {
    folder: PathBuf,
}

impl CompileCache {
    /// Opens the folder `parent/…`, making it readable and writable for this user alone.
    ///
    /// # Errors
    /// When the folder cannot be made, or is not this user's own: what lies in it is run.
    pub fn open(parent: &Path, engine: &super::Engine) -> io::Result<Self> {
        use std::hash::{Hash as _, Hasher as _};
        let mut hasher = std::hash::DefaultHasher::new();
        engine.wasmtime().precompile_compatibility_hash().hash(&mut hasher);
        let folder = parent.join(format!("{:016x}", hasher.finish()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        let meta = fs::metadata(&folder)?;
        let mine = meta.uid() == rustix::process::geteuid().as_raw();
        if !mine || meta.mode() & 0o022 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} can be written by somebody else", folder.display()),
            ));
        }
        Ok(Self { folder })
    }

    fn path(&self, digest: &Digest) -> PathBuf {
        let name: String = digest.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name).with_extension("cwasm")
    }

    /// The compiled form of the component with this digest, if it is there. Blocking.
    pub(super) fn load(&self, engine: &Engine, digest: &Digest) -> Option<Component> {
        let path = self.path(digest);
        if !path.exists() {
            return None;
        }
        // SAFETY: `deserialize_file` trusts what it reads to be what `Component::serialize` wrote.
        // The folder belongs to this user and nobody else can write to it (checked in `open`), and
        // only `store` below writes files of this name, whole (renamed into place). The folder's
        // name holds the compatibility hash, and wasmtime checks the version in the file again.
        #[expect(unsafe_code, reason = "the one place; see the comment")]
        let loaded = unsafe { Component::deserialize_file(engine, &path) };
        match loaded {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!("compiled again, {} is not usable: {error:#}", path.display());
                None
            }
        }
    }

    /// Keeps a compiled component. Blocking.
    pub(super) fn store(&self, component: &Component, digest: &Digest) {
        let written = component.serialize().map_err(io::Error::other).and_then(|bytes| {
            let path = self.path(digest);
            let temporary = path.with_extension(format!("{}.new", std::process::id()));
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)
        });
        if let Err(error) = written.and_then(|()| self.prune()) {
            // The next start compiles again: slower, and nothing worse.
            tracing::warn!("a compiled plugin could not be kept: {error}");
        }
    }

    /// Removes the oldest files beyond [`FILES_MAX`].
    fn prune(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            files.push((entry.metadata()?.modified()?, entry.path()));
        }
        files.sort();
        for (_, path) in files.iter().take(files.len().saturating_sub(FILES_MAX)) {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}
