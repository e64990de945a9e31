//! The trait that a channel implements, and what it gets to start with.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Failure, HealthReport, Manifest, Message, Receipt, SendError};

/// A delivery channel.
///
/// Each instance works for one channel of one tenant, one call at a time. It lives as long as the
/// host finds it useful, so keep nothing in it that must not be lost (see [`crate::state`]).
pub trait Channel: Sized + 'static {
    /// The options, as the operator writes them. Derive `serde::Deserialize` and
    /// `schemars::JsonSchema`, with `#[serde(deny_unknown_fields)]` so that a typing mistake is an
    /// error when the host starts.
    type Options: DeserializeOwned + JsonSchema;

    /// What the channel is and what it asks for. The default asks for nothing: name, version and
    /// summary come from the plugin's Cargo.toml.
    #[must_use]
    fn manifest() -> Manifest {
        Manifest::default()
    }

    /// Makes ready. Must be quick: it runs before the first message and on every new instance.
    ///
    /// # Errors
    /// A [`Failure`] says whether somebody has to mend the configuration or time may help.
    fn initialize(context: Context<Self::Options>) -> Result<Self, Failure>;

    /// Delivers one message: one attempt, no loop, no sleep.
    ///
    /// # Errors
    /// A [`SendError`] says what kind of failure it was.
    fn send(&self, message: &Message) -> Result<Receipt, SendError>;

    /// Says whether a send would work now. Ask the provider only if it has a cheap call for it; to do
    /// that with `?`, write [`probe`](Self::probe) instead.
    fn health(&self) -> HealthReport {
        self.probe().unwrap_or_else(HealthReport::from)
    }

    /// Asks the provider, for [`health`](Self::health). The default asks nothing and says healthy.
    ///
    /// # Errors
    /// Why sends would fail: what a send would have answered. A rejection counts as degraded, since
    /// it is the question alone that the provider refused.
    fn probe(&self) -> Result<HealthReport, SendError> {
        Ok(HealthReport::healthy())
    }

    /// The last call, unless the instance was stopped for misbehaviour.
    fn shutdown(&self) {}
}

/// For whom an instance works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Context<Options> {
    /// The tenant's UUID.
    pub tenant_id: String,
    /// The name that people call the tenant by.
    pub tenant_name: String,
    /// The tenant's name for this channel.
    pub channel: String,
    /// The options, parsed.
    pub options: Options,
    /// The names of the secrets configured for this channel. The values stay in the host.
    pub secrets: Vec<String>,
}

impl<Options> Context<Options> {
    /// Whether the operator has configured the secret `name`.
    #[must_use]
    pub fn has_secret(&self, name: &str) -> bool {
        self.secrets.iter().any(|secret| secret == name)
    }

    /// Makes sure of a secret that is needed only with certain options; `why` says with which.
    ///
    /// # Errors
    /// A failure of the configuration, `missing_secret`.
    pub fn require_secret(&self, name: &str, why: &str) -> Result<(), Failure> {
        if self.has_secret(name) {
            return Ok(());
        }
        let detail = format!("configure the secret {name}: {why}");
        Err(Failure::configuration("missing_secret", detail))
    }

    /// The one of these secrets that the operator has configured, for a channel whose way to send
    /// depends on the credential that it has.
    ///
    /// # Errors
    /// A failure of the configuration, `ambiguous_secrets`, when there is none of them or more than
    /// one.
    pub fn one_secret<'a>(&self, names: &[&'a str]) -> Result<&'a str, Failure> {
        let configured: Vec<_> = names.iter().filter(|name| self.has_secret(name)).collect();
        match configured.as_slice() {
            [name] => Ok(**name),
            found => Err(Failure::configuration(
                "ambiguous_secrets",
                format!(
                    "configure just one of the secrets {}; found {}",
                    names.join(", "),
                    found.len()
                ),
            )),
        }
    }
}

impl<Options: DeserializeOwned> Context<Options> {
    /// From what the host gives. It has checked the options against the schema already, so that a
    /// failure here means that the schema says less than the type.
    pub(crate) fn parse(
        raw: crate::bindings::conductor::channel::channel_types::Context,
    ) -> Result<Self, Failure> {
        let options = serde_json::from_str(&raw.options)
            .map_err(|error| Failure::configuration("invalid_options", error.to_string()))?;
        Ok(Self {
            tenant_id: raw.tenant_id,
            tenant_name: raw.tenant_name,
            channel: raw.channel,
            options,
            secrets: raw.secrets,
        })
    }
}
