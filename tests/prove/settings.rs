//! How long a run is, and the seed of its chances.

use std::{env, fmt::Display};

/// How often a test that repeats something does so: `CONDUCTOR_PROVE_ROUNDS`, else `short`.
pub(crate) fn rounds(short: usize) -> usize {
    number("CONDUCTOR_PROVE_ROUNDS").map_or(short, |rounds| usize::try_from(rounds).unwrap())
}

/// The same for what costs more than a round of kills: one for each `part` of the rounds asked for.
pub(crate) fn rounds_by(part: usize, short: usize) -> usize {
    rounds(short * part).div_ceil(part)
}

/// Chances of a run. The seed is printed, so that a failure can be repeated.
pub(crate) fn chances(test: &str) -> fastrand::Rng {
    let seed = number("CONDUCTOR_PROVE_SEED").unwrap_or_else(|| fastrand::u64(..));
    eprintln!("{test}: CONDUCTOR_PROVE_SEED={seed}");
    fastrand::Rng::with_seed(seed)
}

/// Says the figures of a proof that held. `scripts/prove` collects these lines.
pub(crate) fn proved(test: &str, figures: impl Display) {
    eprintln!("PROVED {test}: {figures}");
}

/// Says why a proof could not be given here. It is no failure, and it is seen in the output.
pub(crate) fn skipped(test: &str, why: &str) {
    eprintln!("SKIPPED {test}: {why}");
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no whole number")))
}
