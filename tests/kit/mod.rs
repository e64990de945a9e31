//! Tools of the suite: a host in a folder of its own, a client, a provider's double, and waiting
//! for a condition instead of for a time.

mod client;
mod files;
mod gateway;
mod host;
mod provider;
mod seed;
mod smtp;
pub(crate) mod wait;
mod websocket;

pub(crate) use client::Answer;
pub(crate) use files::{Folder, KEY_A, KEY_ADMIN, KEY_B, TENANT_A, TENANT_B, replace};
pub(crate) use gateway::Gateway;
pub(crate) use host::{TestHost, conductor};
pub(crate) use provider::{Provider, Reply, Seen};
pub(crate) use smtp::{Act, MailServer, Protection};
pub(crate) use wait::eventually;
pub(crate) use websocket::Echo;

use std::path::PathBuf;

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(path)
}

/// The bytes of a guest that is made for tests.
pub(crate) fn fixture(name: &str) -> Vec<u8> {
    let path = repository(&format!("tests/fixtures/dist/{name}.wasm"));
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build them with `./just build-fixtures`", path.display())
    })
}

/// The bytes of a shipped plugin.
pub(crate) fn shipped(name: &str) -> Vec<u8> {
    std::fs::read(repository(&format!("plugins/dist/{name}.wasm"))).unwrap()
}
