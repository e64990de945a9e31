//! The configuration as the rest of the host sees it: complete, merged and valid by construction.
//! Only `load` makes one.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{
    egress::{AddressRange, HostPattern},
    ids::{ChannelName, Digest, PluginName, TenantId},
    limits,
    secrets::Secret,
};

/// A JSON object.
pub type Object = Map<String, Value>;

/// Where something stands in the operator's files, for messages about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The file, as the operator would name it ("channels.toml").
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.file, self.line)
    }
}

/// One thing that is wrong with the configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where; none when it is about no place in a file (a file that is not there).
    pub origin: Option<Origin>,
    /// What was found, what was expected, how to mend it. No secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Some(origin) => write!(formatter, "{origin}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

/// Everything configured, at one moment. Two that are equal behave the same.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Config {
    /// The enabled plugins.
    pub plugins: BTreeMap<PluginName, Arc<Plugin>>,
    /// The tenants, by id.
    pub tenants: BTreeMap<TenantId, Arc<Tenant>>,
    /// The tenant of a request that neither domain nor port tells, by slug (`[context] fallback`).
    pub fallback: Option<TenantId>,
    /// What was left out on purpose (`optional = true` and a secret is missing), for the report.
    pub notices: Vec<Problem>,
}

/// A `[[plugin]]` of plugins.toml.
#[derive(Clone, PartialEq, Debug)]
pub struct Plugin {
    /// Its name.
    pub name: PluginName,
    /// Where the component is.
    pub source: PluginSource,
    /// The file must have this digest.
    pub digest: Option<Digest>,
    /// Who gets it.
    pub scope: Scope,
    /// Other plugins that must be there, and in which version.
    pub requires: Vec<Requirement>,
    /// Compile at the first message, not at start.
    pub lazy: bool,
    /// Options for every channel of this plugin (already in each channel's).
    pub options: Object,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What it may use.
    pub limits: Arc<PluginLimits>,
    /// Where it stands.
    pub origin: Origin,
}

/// Where a component comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PluginSource {
    /// Embedded in this program, under the plugin's name.
    Builtin,
    /// A file; absolute.
    File(PathBuf),
}

/// Which tenants a plugin is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scope {
    /// Every tenant has a channel of it, named like the plugin, without asking.
    Core,
    /// Tenants that have a channel of it.
    #[default]
    Shared,
    /// Tenants that have a channel of it and list it in `plugins`.
    Business,
}

/// `requires = ["other >=1.2"]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Requirement {
    /// Which plugin.
    pub plugin: PluginName,
    /// In which version.
    pub version: semver::VersionReq,
}

/// `[plugin.grants]`: what the operator allows. What the plugin does not also ask for in its
/// manifest it does not get.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Grants {
    /// Origins it may reach, mail servers (`smtp`) among them.
    pub hosts: Vec<HostPattern>,
    /// Where each secret may be sent; a secret that is not named here may go to all `hosts`.
    pub secrets: BTreeMap<String, Vec<HostPattern>>,
    /// Secrets whose value the plugin may read.
    pub reveal: BTreeSet<String>,
    /// Address ranges that are allowed although the default policy denies them (loopback, private
    /// networks).
    pub addresses: Vec<AddressRange>,
    /// Whether `hosts` is enforced.
    pub mode: GrantMode,
}

/// What `[plugin.grants] hosts` does with an origin that is not in it. Nothing else depends on this:
/// what the manifest asks for, the address policy and where secrets may go are always enforced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum GrantMode {
    /// The request is refused.
    #[default]
    Enforce,
    /// The request is reported and goes out: for finding the list of a new plugin.
    ReportOnly,
}

/// `[plugin.limits]`, inside the bounds of [`limits`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PluginLimits {
    /// `memory_mib`: one instance, all memories and tables.
    pub memory_bytes: usize,
    /// `wall_ms`: one send.
    pub wall: Duration,
    /// `cpu_ms`: one send.
    pub cpu: Duration,
    /// `instances_max`: live instances of one channel.
    pub instances_max: usize,
    /// `in_flight_max`: sends at the same time in one instance of the async flavour.
    pub in_flight_max: usize,
    /// `egress_max`: outbound requests of one channel at the same time. None: not said.
    pub egress_max: Option<usize>,
}

impl Default for PluginLimits {
    fn default() -> Self {
        Self {
            memory_bytes: limits::MEMORY_BYTES_DEFAULT,
            wall: limits::SEND_WALL_DEFAULT,
            cpu: limits::SEND_CPU_DEFAULT,
            instances_max: limits::INSTANCES_PER_BINDING_DEFAULT,
            in_flight_max: limits::IN_FLIGHT_PER_INSTANCE_DEFAULT,
            egress_max: None,
        }
    }
}

/// A `[[tenant]]` of tenants.toml with its channels.
#[derive(Clone, PartialEq, Debug)]
pub struct Tenant {
    /// Its UUID.
    pub id: TenantId,
    /// What people call it.
    pub name: Arc<str>,
    /// Its name in commands and addresses; by default made from `name`.
    pub slug: Arc<str>,
    /// SHA-256 of each valid key. More than one while keys are rotated.
    pub key_hashes: Vec<[u8; 32]>,
    /// The names of the variables the keys come from, for the report.
    pub key_envs: Vec<Arc<str>>,
    /// Requests to these host names must be this tenant's. Lower case, no port.
    pub domains: Vec<Arc<str>>,
    /// Requests to these ports must be this tenant's.
    pub ports: Vec<u16>,
    /// Business plugins it may use.
    pub plugins: BTreeSet<PluginName>,
    /// Origins that browsers may call from.
    pub cors: Vec<Arc<str>>,
    /// Limits.
    pub limits: TenantLimits,
    /// `[tenant.access] sources`: client addresses that may call; empty: all.
    pub access_sources: Vec<AddressRange>,
    /// Who is told how its notifications went.
    pub callbacks: Vec<Arc<Callback>>,
    /// Its channels, the implicit ones of core plugins too.
    pub channels: BTreeMap<ChannelName, Arc<Channel>>,
    /// Where it stands.
    pub origin: Origin,
}

/// A `[[tenant.callback]]`.
#[derive(Clone, PartialEq, Debug)]
pub struct Callback {
    /// Where to post to; none (`"*"`): where a request says (`callbackUrl`).
    pub url: Option<Arc<str>>,
    /// The key to sign with, and the one before it while receivers change over: `whsec_…`.
    pub secrets: Vec<ChannelSecret>,
    /// What is told.
    pub events: BTreeSet<CallbackEvent>,
    /// Address ranges that are allowed although the default policy denies them. Only where there
    /// are some may a URL begin with `http://`.
    pub addresses: Vec<AddressRange>,
    /// Where it stands.
    pub origin: Origin,
}

/// What a callback tells.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CallbackEvent {
    /// The provider has it.
    Delivered,
    /// It was given up.
    Failed,
    /// An attempt failed, and there will be another.
    Retrying,
}

impl CallbackEvent {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Delivered, Self::Failed, Self::Retrying];

    /// Its name in `events`; in a payload behind `notification.`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Retrying => "retrying",
        }
    }
}

impl Tenant {
    /// The entry that says how to post to `url`; `requested`: a request names it.
    #[must_use]
    pub fn callback_for(&self, url: &str, requested: bool) -> Option<&Arc<Callback>> {
        let named = |callback: &&Arc<Callback>| callback.url.as_deref() == Some(url);
        let any = |callback: &&Arc<Callback>| requested && callback.url.is_none();
        self.callbacks.iter().find(named).or_else(|| self.callbacks.iter().find(any))
    }
}

/// `[tenant.limits]`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct TenantLimits {
    /// `rate`: accepted requests a second; none: not limited by rate (but by `queue`).
    pub rate_per_s: Option<f64>,
    /// `burst`: requests at once above the rate.
    pub burst: u32,
    /// `queue`: live notifications.
    pub queue_max: u64,
    /// `weight`: its share of the deliveries while there are more than can run at once, relative to
    /// the other tenants'.
    pub weight: u32,
}

/// A `[[channel]]` of channels.toml, its options merged.
#[derive(Clone, PartialEq, Debug)]
pub struct Channel {
    /// Its name inside the tenant.
    pub name: ChannelName,
    /// Which plugin (`channel_type`).
    pub plugin: PluginName,
    /// The plugin's, the tenant's and the channel's options, merged in this order.
    pub options: Arc<Object>,
    /// Its secrets by the name the plugin knows them by, or [`ONLY_SECRET`].
    pub secrets: BTreeMap<String, ChannelSecret>,
    /// Channels to try when this one has given up.
    pub fallback: Vec<ChannelName>,
    /// How failures are retried.
    pub retry: RetryPolicy,
    /// How fast messages are handed to the plugin, where that is not as its manifest says.
    pub throttle: Option<Throttle>,
    /// Where it stands.
    pub origin: Origin,
}

/// The name in [`Channel::secrets`] of a secret that was given as `provider_secret_env`: it is the
/// plugin's only required secret, whose name stands in the plugin's manifest.
pub const ONLY_SECRET: &str = "";

/// A secret's value and what it is called.
#[derive(Clone, Debug)]
pub struct ChannelSecret {
    /// The value.
    pub value: Secret,
    /// Where it came from ("env TENANT_…_TOKEN", "file /run/secrets/x"), for the report.
    pub source: Arc<str>,
}

impl PartialEq for ChannelSecret {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.value.fingerprint() == other.value.fingerprint()
    }
}

/// `[channel.retry]`.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RetryPolicy {
    /// `attempts`: in all, with the first one.
    pub attempts: u32,
    /// `first_ms`: the pause after the first failure.
    pub first: Duration,
    /// `factor`: each pause is this many times the one before.
    pub factor: f64,
    /// `cap_ms`: the longest pause.
    pub cap: Duration,
    /// `span_ms`: after this long since acceptance nothing is tried any more.
    pub span: Duration,
    /// `on_unknown`: what to do when a send may have worked.
    pub on_unknown: OnUnknown,
}

/// `[channel.throttle]`: takes the place of the manifest's rates of the same scope.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Throttle {
    /// `rate_per_s`: deliveries a second, in the long run.
    pub rate_per_s: f64,
    /// `burst`: deliveries at once after a rest.
    pub burst: u32,
    /// `per`: what is counted together.
    pub per: ThrottleScope,
}

/// What a [`Throttle`] counts together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ThrottleScope {
    /// Everything of the channel: what is sent with its credential.
    #[default]
    Channel,
    /// What goes to one target of the channel.
    Destination,
}

/// What to do when nobody knows whether the provider has the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnUnknown {
    /// Retry where the provider drops duplicates by itself, else give up.
    #[default]
    Auto,
    /// Retry: rather twice than never.
    Retry,
    /// Give up: rather never than twice.
    Dead,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: limits::ATTEMPTS_DEFAULT,
            first: limits::RETRY_FIRST,
            factor: limits::RETRY_FACTOR,
            cap: limits::RETRY_CAP,
            span: limits::RETRY_SPAN,
            on_unknown: OnUnknown::Auto,
        }
    }
}
