//! What a channel is and what it asks for.

use std::time::Duration;

use schemars::{JsonSchema, generate::SchemaSettings};

use crate::{
    Format, LengthUnit, RateScope,
    bindings::described::metadata::{BodyLimit, Deduplication, Manifest as Raw, Rate, SecretWant},
    time,
};

/// Built by a channel's [`manifest`](crate::Channel::manifest). Asks for nothing unless told so.
#[derive(Clone, Debug)]
pub struct Manifest {
    name: Option<String>,
    summary: Option<String>,
    secrets: Vec<SecretWant>,
    hosts: Vec<String>,
    body_max: Option<BodyLimit>,
    formats: Vec<Format>,
    attachments_max: u32,
    deduplication: Deduplication,
    rates: Vec<Rate>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            name: None,
            summary: None,
            secrets: Vec::new(),
            hosts: Vec::new(),
            body_max: None,
            formats: vec![Format::Plain],
            attachments_max: 0,
            deduplication: Deduplication::None,
            rates: Vec::new(),
        }
    }
}

impl Manifest {
    /// Another name than the crate's (without a leading `conductor-plugin-`).
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Another summary than the crate's `description`. One sentence.
    #[must_use]
    pub fn summary(mut self, summary: &str) -> Self {
        self.summary = Some(summary.to_owned());
        self
    }

    /// A secret without which the channel is not started. `summary` says what it is and where to
    /// get one.
    #[must_use]
    pub fn secret(self, name: &str, summary: &str) -> Self {
        self.want_secret(name, summary, true)
    }

    /// A secret that the channel can do without.
    #[must_use]
    pub fn optional_secret(self, name: &str, summary: &str) -> Self {
        self.want_secret(name, summary, false)
    }

    fn want_secret(mut self, name: &str, summary: &str, required: bool) -> Self {
        self.secrets.push(SecretWant {
            name: name.to_owned(),
            summary: summary.to_owned(),
            required,
        });
        self
    }

    /// An origin that the channel wants to reach, for example `https://discord.com`, or
    /// `option:url` for the origin of the URL in its option `url`. It gets only what the operator
    /// grants too.
    #[must_use]
    pub fn host(mut self, origin: &str) -> Self {
        self.hosts.push(origin.to_owned());
        self
    }

    /// A provider's API: its usual origin, and the one that the option `option` names in its place
    /// ([`options::ApiBase`](crate::options::ApiBase)).
    #[must_use]
    pub fn api(self, origin: &str, option: &str) -> Self {
        self.host(origin).host(&format!("option:{option}"))
    }

    /// A mail server that the channel wants to hand messages to ([`crate::smtp`]), with TLS of
    /// either kind: `smtp.example.com:587`, or `option:server` for the one that its option `server`
    /// names, on any port.
    #[must_use]
    pub fn mail_server(self, server: &str) -> Self {
        self.host(&format!("smtp://{server}"))
    }

    /// The same without TLS, which the operator has to grant as such.
    #[must_use]
    pub fn plaintext_mail_server(self, server: &str) -> Self {
        self.host(&format!("smtp+plaintext://{server}"))
    }

    /// The longest `message.body` that the provider takes.
    #[must_use]
    pub fn body_max(mut self, length: usize, unit: LengthUnit) -> Self {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.body_max = Some(BodyLimit { length, unit });
        self
    }

    /// The formats that `send` understands; plain text alone unless told so.
    #[must_use]
    pub fn formats(mut self, formats: impl IntoIterator<Item = Format>) -> Self {
        self.formats = formats.into_iter().collect();
        self
    }

    /// How many attachments a message may have.
    #[must_use]
    pub fn attachments_max(mut self, count: u32) -> Self {
        self.attachments_max = count;
        self
    }

    /// The provider drops duplicates by a key of at most so many characters, and `send` gives it
    /// one made of `message.delivery_key`. Only then does the host repeat a send whose outcome is
    /// [unknown](crate::SendError::Unknown).
    #[must_use]
    pub fn deduplicates_by_key(mut self, characters_max: usize) -> Self {
        let characters_max = u32::try_from(characters_max).unwrap_or(u32::MAX);
        self.deduplication = Deduplication::Key(characters_max);
        self
    }

    /// A rate that the provider is known to allow.
    #[must_use]
    pub fn rate(mut self, scope: RateScope, count: u32, per: Duration) -> Self {
        self.rates.push(Rate { scope, count, per_ms: time::millis_ceil(per) });
        self
    }

    /// The whole, with the options' schema and the defaults from Cargo.toml.
    pub(crate) fn complete<Options: JsonSchema>(
        self,
        package: &str,
        version: &str,
        description: &str,
    ) -> Raw {
        let name = package.strip_prefix("conductor-plugin-").unwrap_or(package);
        Raw {
            name: self.name.unwrap_or_else(|| name.to_owned()),
            version: version.to_owned(),
            summary: self.summary.unwrap_or_else(|| description.to_owned()),
            options_schema: options_schema::<Options>(),
            secrets: self.secrets,
            hosts: self.hosts,
            body_max: self.body_max,
            formats: self.formats,
            attachments_max: self.attachments_max,
            deduplication: self.deduplication,
            rates: self.rates,
        }
    }
}

/// The JSON Schema (draft 2020-12) of `Options` as one text.
pub(crate) fn options_schema<Options: JsonSchema>() -> String {
    let generator = SchemaSettings::draft2020_12().into_generator();
    serde_json::Value::from(generator.into_root_schema_for::<Options>()).to_string()
}
