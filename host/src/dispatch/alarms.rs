//! What is known about an open breaker: since when, why, and from which configuration on it would
//! be another matter.

use std::sync::Arc;

use super::Observer;
use crate::{
    clock::UnixMs,
    config::{Callback, Channel, Plugin},
    generation::Generation,
    ids::{Digest, PluginName},
    store::Lane,
};

/// What a breaker is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum BreakerScope {
    /// One target of a channel.
    Destination,
    /// All that a channel sends.
    Credential,
    /// The same, and it cannot work before something is mended.
    Configuration,
    /// All that a plugin sends to one host, whoever sends it.
    Provider,
}

impl BreakerScope {
    /// Every one.
    pub const ALL: [Self; 4] =
        [Self::Destination, Self::Credential, Self::Configuration, Self::Provider];

    /// The word for logs, metrics and reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Credential => "credential",
            Self::Configuration => "configuration",
            Self::Provider => "provider",
        }
    }
}

/// A breaker that is not closed, for reports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakerStatus {
    /// What it is about.
    pub scope: BreakerScope,
    /// The plugin.
    pub plugin: PluginName,
    /// The channel; none for a provider.
    pub lane: Option<Lane>,
    /// The target, or the provider's host; none for a channel as a whole.
    pub target: Option<Arc<str>>,
    /// "open" or "half-open".
    pub state: &'static str,
    /// Since when it is not closed.
    pub since: UnixMs,
    /// When one message is let through to try.
    pub until: UnixMs,
    /// The code of the last failure.
    pub code: String,
    /// What it said.
    pub detail: String,
}

/// Every breaker that is not closed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Breakers {
    /// How many, in the order of [`BreakerScope::ALL`].
    pub counts: [usize; BreakerScope::ALL.len()],
    /// Some of them, [`crate::limits::BREAKERS_SHOWN_MAX`] at most.
    pub shown: Vec<BreakerStatus>,
}

/// The last failure.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) code: String,
    pub(super) detail: String,
}

/// Kept while a breaker is not closed.
pub(super) struct Alarm {
    pub(super) scope: BreakerScope,
    pub(super) plugin: PluginName,
    pub(super) since: UnixMs,
    pub(super) reason: Reason,
    /// What the channel was when it failed; none for a provider.
    pub(super) basis: Option<Basis>,
    /// Counts it until it is dropped.
    _counted: Box<dyn Send>,
}

impl Alarm {
    pub(super) fn new(
        observer: &dyn Observer,
        scope: BreakerScope,
        plugin: &PluginName,
        reason: Reason,
        basis: Option<Basis>,
        now: UnixMs,
    ) -> Self {
        let counted = observer.breaker_opened(plugin, scope);
        Self { scope, plugin: plugin.clone(), since: now, reason, basis, _counted: counted }
    }
}

/// What a channel's deliveries depend on in the configuration. Another one deserves another try.
#[derive(Clone, PartialEq)]
pub(super) struct Basis {
    channel: Option<Arc<Channel>>,
    plugin: Option<Arc<Plugin>>,
    digest: Option<Digest>,
    /// For the lane of callbacks: where they go.
    callbacks: Vec<Arc<Callback>>,
}

impl Basis {
    pub(super) fn of(generation: &Generation, lane: &Lane) -> Self {
        let channel = generation.channel(lane.tenant, &lane.channel).map(Arc::clone);
        let name = channel.as_ref().map(|channel| &channel.plugin);
        Self {
            plugin: name.and_then(|name| generation.config.plugins.get(name)).map(Arc::clone),
            digest: name
                .and_then(|name| generation.plugins.get(name))
                .map(|plugin| plugin.digest()),
            callbacks: match lane.channel.is_callbacks() {
                true => generation
                    .config
                    .tenants
                    .get(&lane.tenant)
                    .map_or_else(Vec::new, |tenant| tenant.callbacks.clone()),
                false => Vec::new(),
            },
            channel,
        }
    }
}
