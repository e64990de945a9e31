//! What a plugin says about itself, in the host's own types, whatever WIT version it was built for.

use crate::envelope::Format;

/// A plugin's manifest.
#[derive(Clone, PartialEq, Debug)]
pub struct Manifest {
    /// The name it gives itself.
    pub name: String,
    /// Its version.
    pub version: semver::Version,
    /// One sentence.
    pub summary: String,
    /// The JSON Schema of its options.
    pub options_schema: serde_json::Value,
    /// Secrets it works with.
    pub secrets: Vec<SecretWant>,
    /// Origins it wants to reach: patterns, or `option:NAME`.
    pub hosts: Vec<String>,
    /// The longest body.
    pub body_max: Option<BodyLimit>,
    /// Formats it understands.
    pub formats: Vec<Format>,
    /// How many attachments it takes.
    pub attachments_max: u32,
    /// The longest deduplication key that its provider takes, if it takes one.
    pub deduplication_key_max: Option<u32>,
    /// Rates that its provider allows.
    pub rates: Vec<Rate>,
}

/// A secret that a plugin works with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SecretWant {
    /// Its name.
    pub name: String,
    /// What it is.
    pub summary: String,
    /// Whether the channel cannot work without it.
    pub required: bool,
}

/// A longest body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BodyLimit {
    /// How long.
    pub length: u32,
    /// In what.
    pub unit: LengthUnit,
}

/// In what a length is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LengthUnit {
    /// Unicode scalar values.
    Characters,
    /// UTF-16 code units.
    Utf16Units,
    /// Bytes of UTF-8.
    Bytes,
}

impl BodyLimit {
    /// How long `text` is, in this limit's unit.
    #[must_use]
    pub fn measure(&self, text: &str) -> usize {
        match self.unit {
            LengthUnit::Characters => text.chars().count(),
            LengthUnit::Utf16Units => text.encode_utf16().count(),
            LengthUnit::Bytes => text.len(),
        }
    }
}

/// At most `count` sends in `per_ms` milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Counted for each credential, or for each destination.
    pub per_destination: bool,
    /// How many.
    pub count: u32,
    /// In how long.
    pub per_ms: u32,
}
