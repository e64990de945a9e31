//! Keeping what has not changed: after a reload, the parts of the new configuration that are equal
//! to the running one's *are* the running one's, so that a reload of ten thousand tenants does not
//! hold them twice and "has it changed?" is mostly a comparison of pointers.

use std::sync::Arc;

use super::model::{Config, Tenant};

impl Config {
    /// This configuration, with every part that `running` has too taken from there.
    #[must_use]
    pub fn sharing(mut self, running: &Self) -> Self {
        for (name, plugin) in &mut self.plugins {
            if let Some(before) = running.plugins.get(name).filter(|before| *before == plugin) {
                *plugin = Arc::clone(before);
            }
        }
        for (id, tenant) in &mut self.tenants {
            let Some(before) = running.tenants.get(id) else { continue };
            if before == tenant {
                *tenant = Arc::clone(before);
            } else {
                share_channels(Arc::make_mut(tenant), before);
            }
        }
        self
    }
}

fn share_channels(tenant: &mut Tenant, running: &Tenant) {
    for (name, channel) in &mut tenant.channels {
        if let Some(before) = running.channels.get(name).filter(|before| *before == channel) {
            *channel = Arc::clone(before);
        }
    }
}
