//! Random keys, and those that a committed configuration leaves to the first start.

use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::{InitError, MadeKey, dotenv};
use crate::{
    config::{
        ADMIN_KEY_VARIABLE, DOTENV_FILE, TENANTS_FILE, document::Document,
        environment::Environment, fields::Fields, findings::Findings,
        interpolate::is_variable_name,
    },
    ids::TenantId,
    secrets::Secret,
};

const KEY_BYTES: usize = 32;

/// What [`ensure_keys`] made.
#[derive(Clone, Debug, Default)]
pub struct MadeKeys {
    /// The tenants' keys.
    pub tenants: Vec<MadeKey>,
    /// The key of the `/admin` endpoints.
    pub admin_key: Option<Secret>,
    /// Where they are saved.
    pub dotenv: PathBuf,
    /// The file that `.env` was added to so that git leaves the keys alone.
    pub gitignore: Option<PathBuf>,
}

/// Makes the key of every tenant that says `generate_key = true` and whose `auth_key_env` is not
/// set, saves it in `.env` and adds it to `environment`. So a configuration in git needs no secret
/// in it. With the first key comes one for `/admin`, unless there is one.
///
/// What is wrong with tenants.toml is not reported here: `load` does that.
///
/// # Errors
/// When `.env` cannot be written.
pub fn ensure_keys(dir: &Path, environment: &mut Environment) -> Result<MadeKeys, InitError> {
    let dotenv = dir.join(DOTENV_FILE);
    let tenants = tenants_without_key(dir, environment)?;
    if tenants.is_empty() {
        return Ok(MadeKeys { dotenv, ..MadeKeys::default() });
    }
    let admin_key = match environment.may_be_extended(ADMIN_KEY_VARIABLE) {
        true => Some(random()?),
        false => None,
    };
    let new_keys = tenants.iter().map(|tenant| (tenant.variable.as_str(), &tenant.key));
    let new_keys = new_keys.chain(admin_key.iter().map(|key| (ADMIN_KEY_VARIABLE, key)));
    let new_keys: Vec<_> = new_keys.collect();
    let gitignore = dotenv::append(dir, &new_keys)?;
    for (name, key) in new_keys {
        environment.extend(name, key.expose());
    }
    Ok(MadeKeys { tenants, admin_key, dotenv, gitignore })
}

fn tenants_without_key(dir: &Path, environment: &Environment) -> Result<Vec<MadeKey>, InitError> {
    let Ok(document) = Document::read(dir, TENANTS_FILE) else { return Ok(Vec::new()) };
    let mut findings = Findings::default();
    let Some(table) = document.parse(&mut findings) else { return Ok(Vec::new()) };
    let root = Fields::root(&document, &table);
    let mut tenants: Vec<MadeKey> = Vec::new();
    for entry in root.tables("tenant", "[[tenant]]", &mut findings) {
        let generate = entry.flag("generate_key", false, &mut findings);
        let variable = entry.text("auth_key_env", &mut findings).map(|found| found.value);
        let id = entry.parsed::<TenantId>("id", &mut findings);
        let (true, Some(variable), Some(id)) = (generate, variable, id) else { continue };
        let free = is_variable_name(variable)
            && environment.may_be_extended(variable)
            && tenants.iter().all(|tenant| tenant.variable != variable);
        if free {
            let name = entry.text("name", &mut findings);
            tenants.push(MadeKey {
                tenant_id: id.value,
                tenant_name: name.map_or_else(String::new, |name| name.value.to_owned()),
                variable: variable.to_owned(),
                key: random()?,
            });
        }
    }
    Ok(tenants)
}

/// A new key: 256 random bits in hexadecimal.
pub(super) fn random() -> Result<Secret, InitError> {
    use std::fmt::Write as _;

    let mut bytes = zeroize::Zeroizing::new([0_u8; KEY_BYTES]);
    SystemRandom::new().fill(&mut *bytes).map_err(|_| InitError::Random)?;
    let mut text = String::with_capacity(2 * KEY_BYTES);
    for byte in bytes.iter() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(Secret::new(text))
}
