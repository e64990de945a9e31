//! What the sandbox tells the rest of the host as it happens.

use super::{
    outcome::{Fault, FaultKind, Problem},
    plugin::LoadedPlugin,
    usage::Usage,
};
use crate::{
    egress::{Denial, FetchError},
    ids::PluginName,
    store::Lane,
};

/// What a guest was refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// More `state` than a channel may keep.
    State,
    /// A secret that the channel does not have.
    SecretUnknown,
    /// A use of a secret that is not granted.
    SecretDenied,
    /// More requests and answers of `wasi:http` than the host holds for one instance.
    HeldBytes,
}

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
    /// A plugin says that only the operator can mend what a channel's connection needs; it is stopped
    /// until what is returned is dropped.
    fn connection_stopped(
        &self,
        lane: &Lane,
        plugin: &PluginName,
        problem: &Problem,
    ) -> Box<dyn Send>;
    /// A channel's connection is stopped no longer, and why.
    fn connection_released(&self, lane: &Lane, plugin: &PluginName, why: &str);
    /// An instance is gone.
    fn instance_ended(&self, plugin: &PluginName);
    /// A guest asked for something and was refused it, without being stopped.
    fn refused(&self, plugin: &PluginName, what: Refusal);
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
