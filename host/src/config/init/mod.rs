//! The first run: files, a tenant and keys, without a question.

mod dotenv;
mod files;
mod gitignore;
mod keys;
mod templates;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{
    ADMIN_KEY_VARIABLE, CHANNELS_FILE, DOTENV_FILE, PLUGINS_FILE, TENANTS_FILE,
    environment::read_dotenv, load::key_variable, model::Problem,
};
use crate::{ids::TenantId, secrets::Secret};

pub use keys::{MadeKeys, ensure_keys};

/// What to make.
#[derive(Clone, Debug)]
pub struct InitOptions {
    /// What the tenant is called.
    pub tenant_name: String,
}

impl Default for InitOptions {
    fn default() -> Self {
        Self { tenant_name: String::from("Default Tenant") }
    }
}

/// A key that was made and saved.
#[derive(Clone, Debug)]
pub struct MadeKey {
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What the tenant is called.
    pub tenant_name: String,
    /// The variable in `.env` that it stands in.
    pub variable: String,
    /// The key; to be shown once.
    pub key: Secret,
}

/// What [`init`] made.
#[derive(Clone, Debug)]
pub struct Made {
    /// The tenant; none when tenants.toml was already there.
    pub tenant: Option<MadeKey>,
    /// The key of the `/admin` endpoints; none when there already was one in `.env`.
    pub admin_key: Option<Secret>,
    /// The files that were made.
    pub files: Vec<PathBuf>,
    /// Where the keys are saved.
    pub dotenv: PathBuf,
    /// The file that `.env` was added to so that git leaves the keys alone.
    pub gitignore: Option<PathBuf>,
}

/// Why the first files could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// All three files are there; they are never written over.
    #[error("{} already has {PLUGINS_FILE}, {TENANTS_FILE} and {CHANNELS_FILE}; nothing to do", .0.display())]
    AlreadyThere(PathBuf),
    /// The tenant's name cannot be used.
    #[error("{0}")]
    Name(String),
    /// A file cannot be read or written.
    #[error("{} cannot be {doing}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// "read" or "written".
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// `.env` is there and broken; nothing is added to it.
    #[error("{0}")]
    Dotenv(Problem),
    /// The operating system gave no random numbers.
    #[error("the operating system gave no random numbers for a key")]
    Random,
}

/// Makes those of the three files that are not there, with one tenant and its key.
///
/// The keys are saved in `.env` before any file names them: whatever interrupts this, the next run
/// completes it.
///
/// # Errors
/// When all files are there, or one cannot be written.
pub fn init(dir: &Path, options: &InitOptions) -> Result<Made, InitError> {
    let absent = |name: &str| Some(dir.join(name)).filter(|path| !path.exists());
    let (plugins, tenants, channels) =
        (absent(PLUGINS_FILE), absent(TENANTS_FILE), absent(CHANNELS_FILE));
    if plugins.is_none() && tenants.is_none() && channels.is_none() {
        return Err(InitError::AlreadyThere(dir.to_owned()));
    }
    std::fs::create_dir_all(dir).map_err(|source| InitError::Io {
        path: dir.to_owned(),
        doing: "written",
        source,
    })?;
    let tenant = match &tenants {
        Some(_) => Some(new_tenant(&options.tenant_name)?),
        None => None,
    };
    let dotenv = dir.join(DOTENV_FILE);
    let known = match dotenv.exists() {
        true => read_dotenv(&dotenv).map_err(InitError::Dotenv)?,
        false => std::collections::HashMap::new(),
    };
    let has_admin_key = known.get(ADMIN_KEY_VARIABLE).is_some_and(|key| !key.is_empty());
    let admin_key = if has_admin_key { None } else { Some(keys::random()?) };
    let new_keys = tenant.iter().map(|tenant| (tenant.variable.as_str(), &tenant.key));
    let new_keys = new_keys.chain(admin_key.iter().map(|key| (ADMIN_KEY_VARIABLE, key)));
    let gitignore = dotenv::append(dir, &new_keys.collect::<Vec<_>>())?;

    let mut made = Vec::new();
    let mut make = |path: Option<PathBuf>, content: &str| {
        let Some(path) = path else { return Ok(()) };
        files::create(&path, content)?;
        made.push(path);
        Ok::<(), InitError>(())
    };
    make(plugins, templates::PLUGINS)?;
    let id = tenant.as_ref().map(|tenant| tenant.tenant_id.to_string());
    make(channels, &templates::channels(id.as_deref()))?;
    if let Some(tenant) = &tenant {
        make(tenants, &templates::tenants(tenant))?;
    }
    Ok(Made { tenant, admin_key, files: made, dotenv, gitignore })
}

fn new_tenant(name: &str) -> Result<MadeKey, InitError> {
    let name = name.trim();
    let usable = name.chars().any(|letter| letter.is_ascii_alphanumeric())
        && name.len() <= crate::limits::TENANT_NAME_BYTES_MAX
        && !name.chars().any(char::is_control);
    if !usable {
        return Err(InitError::Name(format!(
            "a tenant's name has 1 to {} bytes, one of them a letter or digit of ASCII, and no \
             control characters",
            crate::limits::TENANT_NAME_BYTES_MAX
        )));
    }
    let tenant_id = TenantId(uuid::Uuid::now_v7());
    Ok(MadeKey {
        tenant_id,
        tenant_name: name.to_owned(),
        variable: key_variable(tenant_id),
        key: keys::random()?,
    })
}
