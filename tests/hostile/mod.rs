//! Hostile plugins. Whatever a guest does, three things hold: the fault is named where people look
//! (the attempt, and `/health` where it is a fault), the limit that caught it is counted in
//! `/metrics`, and the tenant next to it notices nothing.
//!
//! The guests are in `tests/fixtures/hostile`, one idea a file. A test here is a table of attacks
//! that all run at the same time on one host, as tenant A, while tenant B sends without a pause.

mod answers;
mod arena;
mod arguments;
mod computing;
mod files;
mod floods;
mod memory;
mod modules;
mod neighbour;
mod network;
mod room;
mod secrets;
mod starting;
mod traps;

use std::fs;

use crate::kit::repository;

/// An idea that nobody sends into the arena proves nothing.
#[test]
fn every_idea_has_a_test() {
    let tests: String = ["tests/hostile", "tests/prove"]
        .iter()
        .flat_map(|folder| fs::read_dir(repository(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect::<String>()
        // Some are named in a configuration inside of a text, wherever its line is broken.
        .replace(|c: char| c == '\\' || c.is_whitespace(), "");
    let mut untested = Vec::new();
    for entry in fs::read_dir(repository("tests/fixtures/hostile/src/ideas")).unwrap() {
        let path = entry.unwrap().path();
        let idea = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if idea != "wasi_http" && !tests.contains(&format!("\"{idea}\"")) {
            untested.push(idea);
        }
    }
    assert!(untested.is_empty(), "nobody tests {untested:?}");
}
