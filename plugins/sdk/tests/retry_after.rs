//! The body of the fuzz target for `Retry-After` (`fuzz/src/retry_after.rs`) over its seeds and what
//! becomes of them when one byte changes.
#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test may panic, and the target is a library to libFuzzer"
)]

use std::{fs, path::Path};

#[path = "../../../fuzz/src/retry_after.rs"]
mod retry_after;

#[test]
fn no_text_makes_the_wait_shorter_than_it_says() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds/retry_after");
    let (mut inputs, mut read) = (0_usize, 0_usize);
    for seed in fs::read_dir(seeds).unwrap() {
        let seed = fs::read(seed.unwrap().path()).unwrap();
        retry_after::run(&seed);
        for at in 0..seed.len() {
            for byte in 0..=u8::MAX {
                let mut input = seed.clone();
                input[at] = byte;
                read += usize::from(retry_after::run(&input));
                inputs += 1;
            }
        }
    }
    assert!(inputs > 10_000 && read > 1_000, "{read} of {inputs} inputs were read");
}
