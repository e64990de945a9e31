//! Plugins compiled once for the whole suite.
//!
//! Every host has a data folder of its own, and would compile its plugins there. Instead the first
//! test that starts one fills a folder under `target` by `conductor check`, and all of them begin
//! with links to what is in it.

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::repository;

/// Puts compiled plugins into the data folder of a host.
pub(super) fn plant(data: &Path) {
    let seed = seed().join("compiled");
    for folder in fs::read_dir(&seed).unwrap() {
        let folder = folder.unwrap().path();
        let planted = data.join("compiled").join(folder.file_name().unwrap());
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&planted).unwrap();
        for file in fs::read_dir(&folder).unwrap() {
            let file = file.unwrap().path();
            let link = planted.join(file.file_name().unwrap());
            if !link.exists() && fs::hard_link(&file, &link).is_err() {
                fs::copy(&file, &link).unwrap();
            }
        }
    }
}

/// The filled folder for this binary and these plugins.
fn seed() -> PathBuf {
    let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let plugins = plugins();
    let mut hasher = DefaultHasher::new();
    for path in plugins.iter().map(|(_, path)| path.as_path()).chain([exe()]) {
        let meta = fs::metadata(path).unwrap();
        (path, meta.len(), meta.modified().unwrap()).hash(&mut hasher);
    }
    let seed = parent.join(format!("compiled-{:016x}", hasher.finish()));
    let done = seed.join("done");
    if done.exists() {
        return seed;
    }
    let lock = fs::File::create(parent.join("compiled.lock")).unwrap();
    lock.lock().unwrap();
    if !done.exists() {
        for old in fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()) {
            if old.is_dir() && old.to_string_lossy().contains("/compiled-") {
                fs::remove_dir_all(old).unwrap();
            }
        }
        fill(&seed, &plugins);
        fs::write(done, "").unwrap();
    }
    seed
}

fn fill(seed: &Path, plugins: &[(String, PathBuf)]) {
    fs::create_dir_all(seed).unwrap();
    let (mut plugins_toml, mut channels_toml) = (String::new(), String::new());
    for (name, path) in plugins {
        plugins_toml +=
            &format!("[[plugin]]\nname = \"{name}\"\nsource = \"{}\"\n", path.display());
        channels_toml += &format!(
            "[[channel]]\ntenant_id = \"{}\"\nchannel_type = \"{name}\"\n",
            super::TENANT_A
        );
    }
    let tenants_toml = format!(
        "[[tenant]]\nid = \"{}\"\nname = \"A\"\nauth_key_env = \"A_KEY\"\n",
        super::TENANT_A
    );
    fs::write(seed.join("plugins.toml"), plugins_toml).unwrap();
    fs::write(seed.join("channels.toml"), channels_toml).unwrap();
    fs::write(seed.join("tenants.toml"), tenants_toml).unwrap();
    // Most of these plugins lack options or are broken on purpose: that they are compiled on the way
    // to saying so is what counts.
    Command::new(exe())
        .args(["check", "--data-dir"])
        .arg(seed)
        .current_dir(seed)
        .env("A_KEY", super::KEY_A)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
}

/// The shipped plugins and the fixtures, by name.
fn plugins() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for folder in ["plugins/dist", "tests/fixtures/dist"] {
        let Ok(entries) = fs::read_dir(repository(folder)) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.extension().is_some_and(|extension| extension == "wasm") {
                found.push((path.file_stem().unwrap().to_str().unwrap().to_owned(), path));
            }
        }
    }
    found.sort();
    found
}

fn exe() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_conductor"))
}
