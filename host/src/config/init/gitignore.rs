//! Keeps `.env` out of git.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{InitError, files};
use crate::config::DOTENV_FILE;

const FILE: &str = ".gitignore";

/// Adds `.env` to `dir/.gitignore` when `dir` is in a git work tree or has that file, and no line
/// above already says so.
pub(super) fn ensure(dir: &Path) -> Result<Option<PathBuf>, InitError> {
    let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
    let path = dir.join(FILE);
    let top = dir.ancestors().find(|folder| folder.join(".git").exists());
    if top.is_none() && !path.exists() {
        return Ok(None);
    }
    let top = top.unwrap_or(&dir);
    let ignored = dir
        .ancestors()
        .take_while(|folder| folder.starts_with(top))
        .any(|folder| covers(&folder.join(FILE), folder == dir));
    if ignored {
        return Ok(None);
    }
    let mut text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(InitError::Io { path, doing: "read", source }),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(DOTENV_FILE);
    text.push('\n');
    files::replace(&path, &text, files::Readers::AsUsual)?;
    Ok(Some(path))
}

/// Whether a line of the file is one of the usual ways to say it. Not all of git's patterns are
/// understood; a line too many does no harm.
fn covers(gitignore: &Path, same_folder: bool) -> bool {
    let text = fs::read_to_string(gitignore).unwrap_or_default();
    text.lines().map(str::trim).any(|line| {
        matches!(line, ".env" | ".env*" | "*.env" | "**/.env") || (same_folder && line == "/.env")
    })
}
