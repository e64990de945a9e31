//! What the sandbox tells the rest of the host as it happens.

use super::{
    instance::Usage,
    outcome::{Fault, FaultKind},
    plugin::LoadedPlugin,
};
use crate::{
    egress::{Denial, FetchError},
    ids::PluginName,
    store::Lane,
};

/// Somebody who counts, and who acts when a plugin fails its probation. Called on the hot path: do
/// not wait.
pub trait Observer: Send + Sync + 'static {
    /// An instance was created and initialized.
    fn instance_started(&self, plugin: &PluginName);
    /// A call is over.
    fn call(&self, plugin: &PluginName, usage: &Usage);
    /// A call ended with a fault.
    fn fault(&self, plugin: &PluginName, kind: FaultKind);
    /// A channel is in quarantine; it is until what is returned is dropped.
    fn quarantined(&self, lane: &Lane, plugin: &PluginName, fault: &Fault) -> Box<dyn Send>;
    /// A channel is in quarantine no longer, and why.
    fn released(&self, lane: &Lane, plugin: &PluginName, why: &str);
    /// An instance is gone.
    fn instance_ended(&self, plugin: &PluginName);
    /// An outbound request is over: the status of the answer, or why there is none.
    fn fetched(&self, plugin: &PluginName, answer: Result<u16, &FetchError>);
    /// A request was refused by the policy, or would have been if it were enforced.
    fn denied(&self, lane: &Lane, plugin: &PluginName, denial: &Denial);
    /// A plugin read the value of a secret, for the first time in this binding; or it wanted to and
    /// may not.
    fn revealed(&self, lane: &Lane, plugin: &PluginName, secret: &str, granted: bool);
    /// A plugin has done its first call well.
    fn proven(&self, plugin: &LoadedPlugin);
    /// A plugin has struck [`crate::limits::PROBATION_STRIKES`] times without one success.
    fn probation_failed(&self, plugin: &LoadedPlugin, fault: &Fault);
}
