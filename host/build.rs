//! Embeds the shipped channels (`plugins/dist/*.wasm`) into the binary.
//!
//! Writes `BUILTIN: &[(name, bytes)]`, sorted by name, to `OUT_DIR/builtin.rs`. Nothing else goes
//! in, no commit and no time of day: the same sources give the same binary.
//!
//! Without a built channel the list is empty and the build says so: the host's own code can be
//! checked and tested on a machine that cannot build guests.

use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?).join("builtin.rs");
    let dist = manifest.join("..").join("plugins").join("dist");

    // The folder, so that an added or removed file is seen. It is in the repository although its
    // content is not: cargo takes a path that is absent for one that has always just changed.
    instruct("rerun-if-changed=build.rs");
    instruct(&format!("rerun-if-changed={}", dist.display()));
    let channels = channels_in(&dist)?;
    if channels.is_empty() {
        instruct("warning=no channel is built in: run `./just build-plugins`");
    }
    fs::write(out, render(&channels)?)?;
    Ok(())
}

/// Name and file of every built channel, sorted by name.
fn channels_in(dist: &Path) -> Result<Vec<(String, PathBuf)>, Box<dyn Error>> {
    let mut channels = Vec::new();
    let entries = match fs::read_dir(dist) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(channels),
        Err(error) => return Err(error.into()),
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != "wasm") {
            continue;
        }
        let name = path.file_stem().and_then(|stem| stem.to_str());
        let name = name.ok_or_else(|| format!("{}: not a channel's name", path.display()))?;
        instruct(&format!("rerun-if-changed={}", path.display()));
        channels.push((name.to_owned(), fs::canonicalize(&path)?));
    }
    channels.sort();
    Ok(channels)
}

/// The Rust source of the table.
fn render(channels: &[(String, PathBuf)]) -> Result<String, Box<dyn Error>> {
    let mut source = String::from(
        "/// The shipped channels: name and component, sorted by name.\n\
         pub static BUILTIN: &[(&str, &[u8])] = &[\n",
    );
    for (name, path) in channels {
        let path = path.to_str().ok_or_else(|| format!("{}: not UTF-8", path.display()))?;
        writeln!(source, "    ({name:?}, include_bytes!({path:?})),")?;
    }
    source.push_str("];\n");
    Ok(source)
}

/// Standard output is how a build script speaks to cargo.
#[allow(clippy::print_stdout)]
fn instruct(text: &str) {
    println!("cargo::{text}");
}
