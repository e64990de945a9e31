//! Reads the three files and everything they name, and tells all that is wrong at once.
//!
//! The files are read in the order in which they depend on one another. What is wrong is left out
//! and written down; what depends on something that was left out is left out silently, so that one
//! mistake is one message.

mod callbacks;
mod channels;
mod context;
mod credentials;
mod defaults;
mod fallbacks;
mod grants;
mod options;
mod plugins;
mod retry;
mod tenants;
mod throttle;
mod unique;
mod values;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(super) use values::key_variable;

use super::{
    environment::Environment,
    findings::Findings,
    model::{Channel, Config, Problem},
    suggest::Suggester,
};
use context::Context;

/// What the files say.
#[derive(Debug)]
pub struct Loaded {
    /// Everything that is valid.
    pub config: Config,
    /// Everything that is not, by file and line. Empty when the configuration is good.
    pub problems: Vec<Problem>,
    /// The files that the three files name (components, secrets): a change of one of them is a
    /// change of the configuration too. Absolute; not all of them need be there.
    pub files: BTreeSet<PathBuf>,
    /// Channels whose tenant was left out: they serve nobody, and what is wrong with them is to be
    /// told with what is wrong with the tenant.
    pub orphans: Vec<Arc<Channel>>,
}

/// Loads the configuration in the folder `dir`.
#[must_use]
pub fn load(dir: &Path, environment: &Environment) -> Loaded {
    let mut context = Context {
        folder: dir,
        environment,
        findings: Findings::default(),
        suggester: Suggester::new(),
        files: BTreeSet::new(),
    };
    let plugins = plugins::load(&mut context);
    let mut tenants = tenants::load(&plugins, &mut context);
    let orphans = channels::load(&plugins, &mut tenants, &mut context);
    let (problems, notices) = context.findings.into_sorted();
    let tenants_by_id =
        tenants.valid.into_iter().map(|(id, tenant)| (id, Arc::new(tenant))).collect();
    let config = Config {
        plugins: plugins.valid,
        tenants: tenants_by_id,
        fallback: tenants.fallback,
        notices,
    };
    Loaded { config, problems, files: context.files, orphans }
}
