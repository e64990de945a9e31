//! Adds keys to `.env`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{InitError, files, gitignore};
use crate::{config::DOTENV_FILE, secrets::Secret};

/// Adds variables to `dir/.env`, which afterwards only its owner may read. Gives the `.gitignore`
/// that had to be changed for it.
pub(super) fn append(
    dir: &Path,
    variables: &[(&str, &Secret)],
) -> Result<Option<PathBuf>, InitError> {
    if variables.is_empty() {
        return Ok(None);
    }
    // First, so that there is no moment in which git would take the keys.
    let ignored = gitignore::ensure(dir)?;
    let path = dir.join(DOTENV_FILE);
    // A link stays one: its target is what is replaced.
    let path = path.canonicalize().unwrap_or(path);
    let mut text = Zeroizing::new(match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            String::from("# Keys of Conductor. Keep this file secret and out of git.\n")
        }
        Err(source) => return Err(InitError::Io { path, doing: "read", source }),
    });
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    for (name, value) in variables {
        text.push_str(name);
        text.push('=');
        text.push_str(value.expose());
        text.push('\n');
    }
    files::replace(&path, &text, files::Readers::Owner)?;
    Ok(ignored)
}
