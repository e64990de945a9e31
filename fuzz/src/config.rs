//! The three files and `.env`, whatever is in them: every error is told, none shows a secret, and the
//! same files say the same twice.

use std::{fs, path::Path, sync::LazyLock};

use conductor::config::{self, Environment};
use tempfile::TempDir;

/// In the input, what stands between two files: no TOML has it.
const BETWEEN: u8 = 0;
/// No message may show one of these.
const SECRETS: [(&str, &str); 4] = [
    ("KEY", "a-key-of-a-tenant-that-nobody-may-see"),
    ("KEY_OLD", "the-key-before-it-that-nobody-may-see"),
    ("TOKEN", "a-token-that-nobody-may-see"),
    ("SIGNING_KEY", "whsec_bm9ib2R5IG1heSBzZWUgdGhpcyBrZXkgaGVyZQ=="),
];

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    // In memory where there is such a folder: a run writes these files thousands of times a second.
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder")
});

/// One input: the three files and `.env`, with a zero byte between each two. Whether it
/// is valid.
pub fn run(input: &[u8]) -> bool {
    // What stands in a file is no secret: a search finds the values by what they are compared with.
    if SECRETS.iter().any(|(_, secret)| contains(input, secret)) {
        return false;
    }
    let folder = FOLDER.path();
    let mut parts = input.split(|byte| *byte == BETWEEN);
    for file in [config::PLUGINS_FILE, config::TENANTS_FILE, config::CHANNELS_FILE] {
        fs::write(folder.join(file), parts.next().unwrap_or_default()).expect("written");
    }
    let dotenv = folder.join(config::DOTENV_FILE);
    fs::write(&dotenv, parts.next().unwrap_or_default()).expect("written");
    let _told = Environment::of_process(Some(&dotenv));

    let environment =
        Environment::from_pairs(SECRETS.into_iter().chain([("URL", "https://example.com")]));
    let first = config::load(folder, &environment);
    let second = config::load(folder, &environment);
    let told = |loaded: &config::Loaded| -> Vec<String> {
        loaded.problems.iter().map(ToString::to_string).collect()
    };
    assert_eq!(told(&first), told(&second));
    for problem in told(&first) {
        for (name, secret) in SECRETS {
            assert!(!problem.contains(secret), "{name} is shown: {problem}");
        }
        assert!(problem.len() < 64 * 1024, "a message of {} bytes", problem.len());
    }
    // Nobody has changed anything.
    assert!(config::diff(&first.config, &second.config).is_empty());
    first.problems.is_empty()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
