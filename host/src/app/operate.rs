//! What the operator's calls have done.

use std::{future::Future, pin::Pin, sync::Arc};

use tokio::sync::{mpsc, oneshot};

use crate::{
    api::{Operate, Reloaded},
    dispatch::Running,
    generation::Current,
    ids::{ChannelName, TenantId},
    observe::ReloadOutcome,
    reload::{Outcome, Trigger},
    sandbox::Sandbox,
    store::Lane,
};

/// The parts that do it.
pub(super) struct Operations {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) dispatching: Arc<Running>,
    pub(super) current: Arc<Current>,
    pub(super) triggers: mpsc::Sender<Trigger>,
}

impl Operate for Operations {
    fn release(&self, tenant: TenantId, channel: &ChannelName) -> bool {
        let released = self.sandbox.release(&Lane { tenant, channel: channel.clone() });
        if released {
            // Its lane waits for the end of the pause.
            self.dispatching.nudge();
        }
        released
    }

    fn reload(&self) -> Pin<Box<dyn Future<Output = Option<Reloaded>> + Send>> {
        let (triggers, current) = (self.triggers.clone(), Arc::clone(&self.current));
        Box::pin(async move {
            let (reply, done) = oneshot::channel();
            triggers.send(Trigger::Asked(reply)).await.ok()?;
            let report = done.await.ok()?;
            let generation = current.load();
            let left_out = || generation.problems.iter().map(ToString::to_string).collect();
            let (outcome, changes, errors) = match report.outcome {
                Outcome::Unchanged => (ReloadOutcome::Unchanged, None, left_out()),
                Outcome::Applied { changes, .. } => {
                    (ReloadOutcome::Applied, Some(changes), left_out())
                }
                Outcome::Rejected { errors } => (ReloadOutcome::Rejected, None, errors),
                Outcome::RolledBack { plugin, why } => {
                    (ReloadOutcome::RolledBack, None, vec![format!("plugin \"{plugin}\": {why}")])
                }
            };
            let generation = generation.number;
            Some(Reloaded { outcome, generation, changes, errors, took: report.took })
        })
    }
}
