//! From three TOML files to one valid [`Config`]: `load` reads them, finds every error at once and
//! makes the `model` that the rest of the host works with; `diff` tells two models apart; `init`
//! makes the files of a first run.

mod diff;
mod document;
mod environment;
mod fields;
mod findings;
mod init;
mod interpolate;
mod load;
mod model;
mod share;
mod suggest;

pub use diff::{Changes, Diff, diff};
pub use environment::{DOTENV_FILE, Environment};
pub use init::{InitError, InitOptions, Made, MadeKey, MadeKeys, ensure_keys, init};
pub use load::{Loaded, load};
pub use model::{
    Callback, CallbackEvent, Channel, ChannelSecret, Config, GrantMode, Grants, ONLY_SECRET,
    Object, OnUnknown, Origin, Plugin, PluginLimits, PluginSource, Problem, Requirement,
    RetryPolicy, Scope, Tenant, TenantLimits, Throttle, ThrottleScope,
};

/// The file with the plugins.
pub const PLUGINS_FILE: &str = "plugins.toml";
/// The file with the tenants.
pub const TENANTS_FILE: &str = "tenants.toml";
/// The file with the channels.
pub const CHANNELS_FILE: &str = "channels.toml";
/// The variable with the key of the `/admin` endpoints.
pub const ADMIN_KEY_VARIABLE: &str = "CONDUCTOR_ADMIN_KEY";
