//! From three TOML files to one valid [`Config`]: `raw` is the shape of the files, `load` finds
//! every error at once, `model` is what the rest of the host works with.

mod model;

pub use model::{
    Channel, ChannelSecret, Config, Grants, Object, OnUnknown, Origin, Plugin, PluginLimits,
    PluginSource, Problem, Requirement, RetryPolicy, Scope, Tenant, TenantLimits,
};
