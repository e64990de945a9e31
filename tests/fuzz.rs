//! The bodies of the fuzz targets (`fuzz/src`) over their seeds and blind mutations of these: what a
//! run without coverage feedback finds in seconds. `./just fuzz` looks for more.

#![allow(unreachable_pub, reason = "the targets are a library to libFuzzer")]

use std::{fs, path::Path};

#[path = "../fuzz/src/component.rs"]
mod component;
#[path = "../fuzz/src/config.rs"]
mod config;
#[path = "../fuzz/src/grants.rs"]
mod grants;
#[path = "../fuzz/src/notification.rs"]
mod notification;
#[path = "../fuzz/src/placeholders.rs"]
mod placeholders;

/// The input at work: a panic of the target should say what it was about.
struct Culprit<'a>(&'a [u8]);

impl Drop for Culprit<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was \"{}\"", self.0.escape_ascii());
        }
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

fn hunt(target: &str, rounds: usize, run: fn(&[u8]) -> bool) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty());
    for seed in &seeds {
        let _culprit = Culprit(seed);
        run(seed);
    }
    let mut good = 0_usize;
    // The same inputs every time: a test that fails must fail again.
    let mut random = fastrand::Rng::with_seed(0x00c0_4d0c_7042);
    for _ in 0..rounds {
        let mut input = random.choice(&seeds).unwrap().clone();
        for _ in 0..random.usize(1..6) {
            mutate(&mut input, &seeds, &mut random);
        }
        let _culprit = Culprit(&input);
        good += usize::from(run(&input));
    }
    // Inputs that are refused at the door find nothing behind it.
    let enough = if target == "component" { 0 } else { rounds / 200 };
    assert!(good >= enough, "only {good} of {rounds} inputs were good ones");
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut fastrand::Rng) {
    const TELLING: &[&[u8]] = &[
        b"\"",
        b"\\",
        b"\r\n",
        b"[",
        b"{",
        b"]",
        b"}",
        b"\0",
        b"\x01",
        b"\x02",
        b"%",
        b"=",
        b"..",
        b"://",
        b"*",
        b":",
        b"@",
        b"9999999999999999999999",
        b"-1",
        b"1e999",
        b"\xff\xfe",
        b"\xf0\x9f\x98\x80",
        b"\\ud800",
        b"${",
        b"}}",
        b"\"\"\"",
        b"'''",
        b"csec",
    ];
    let at = random.usize(0..=input.len());
    let end = random.usize(at..=input.len().min(at + 16));
    match random.u8(0..7) {
        0 => drop(input.drain(at..end)),
        1 => input.insert(at, random.u8(..)),
        2 => {
            let piece = *random.choice(TELLING).unwrap();
            drop(input.splice(at..at, piece.iter().copied()));
        }
        3 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << random.u8(0..8);
            }
        }
        4 => {
            let again: Vec<u8> = input[at..end].repeat(random.usize(1..200));
            drop(input.splice(at..at, again));
        }
        5 => {
            let other = random.choice(seeds).unwrap();
            let from = random.usize(0..=other.len());
            let to = random.usize(from..=other.len().min(from + 64));
            drop(input.splice(at..end, other[from..to].iter().copied()));
        }
        _ => input.truncate(at),
    }
}

#[test]
fn no_configuration_breaks_the_loader_or_shows_a_secret_in_an_error() {
    hunt("config", 3_000, config::run);
}

#[test]
fn no_file_breaks_the_loader_of_plugins() {
    hunt("component", 20_000, component::run);
}

#[test]
fn a_damaged_plugin_is_refused_or_loaded() {
    let whole = crate::kit::fixture("crash");
    assert!(component::run(&whole));
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..12 {
        let mut damaged = whole.clone();
        for _ in 0..random.usize(1..4) {
            let at = random.usize(0..damaged.len());
            damaged[at] = random.u8(..);
        }
        component::run(&damaged);
    }
}

#[test]
fn no_grant_covers_more_than_it_says() {
    hunt("grants", 100_000, grants::run);
}

#[test]
fn no_body_gets_another_answer_than_yes_or_400() {
    hunt("notification", 50_000, notification::run);
}

#[test]
fn no_request_takes_a_secret_where_it_is_not_granted() {
    hunt("placeholders", 30_000, placeholders::run);
}
