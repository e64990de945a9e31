//! What every step of one load shares.

use std::{collections::BTreeSet, path::Path, path::PathBuf};

use crate::config::{environment::Environment, findings::Findings, suggest::Suggester};

/// The folder, the environment, and what was found so far.
pub(super) struct Context<'run> {
    pub(super) folder: &'run Path,
    pub(super) environment: &'run Environment,
    pub(super) findings: Findings,
    pub(super) suggester: Suggester,
    /// Files that the three files name: a change of one is a change of the configuration.
    pub(super) files: BTreeSet<PathBuf>,
}

impl Context<'_> {
    /// A path of the files as an absolute one: it is relative to the folder of the files.
    pub(super) fn path(&self, written: &str) -> PathBuf {
        let path = self.folder.join(written);
        std::path::absolute(&path).unwrap_or(path)
    }
}
