//! What a plugin says about itself, in the host's own types, whatever WIT version it was built for.

use crate::{envelope::Format, limits};

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

impl Manifest {
    /// Whether it is of a size, and in letters, that can be kept and shown.
    ///
    /// # Errors
    /// Says what is too large, or not to be shown.
    pub(super) fn check(&self) -> Result<(), String> {
        let counts = [
            ("secrets", self.secrets.len(), limits::MANIFEST_SECRETS_MAX),
            ("hosts", self.hosts.len(), limits::MANIFEST_HOSTS_MAX),
            ("formats", self.formats.len(), limits::MANIFEST_FORMATS_MAX),
            ("rates", self.rates.len(), limits::MANIFEST_RATES_MAX),
        ];
        for (what, found, max) in counts {
            if found > max {
                return Err(format!("its manifest lists {found} {what}, and {max} are the most"));
            }
        }
        let of_secrets = self.secrets.iter().flat_map(|want| [&want.name, &want.summary]);
        let texts = [&self.name, &self.summary].into_iter().chain(of_secrets).chain(&self.hosts);
        for text in texts {
            if text.len() > limits::MANIFEST_TEXT_BYTES_MAX {
                return Err(format!(
                    "its manifest has a text of {} bytes, and {} are the most",
                    text.len(),
                    limits::MANIFEST_TEXT_BYTES_MAX
                ));
            }
            if text.chars().any(char::is_control) {
                return Err(format!(
                    "its manifest has a text with control characters, which are not shown to \
                     anybody: {text:?}"
                ));
            }
        }
        let schema_bytes = self.options_schema.to_string().len();
        if schema_bytes > limits::SCHEMA_BYTES_MAX {
            return Err(format!(
                "its options-schema has {schema_bytes} bytes, and {} are the most",
                limits::SCHEMA_BYTES_MAX
            ));
        }
        Ok(())
    }
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
