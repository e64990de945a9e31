//! What plugins were denied, by plugin and reason.

use std::sync::Arc;

use prometheus_client::{
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::egress::DenialReason;

type Labels = [(&'static str, Arc<str>); 3];

/// Of all plugins.
#[derive(Clone, Debug)]
pub(super) struct DenialFamily(Family<Labels, Counter>);

/// Of one plugin.
#[derive(Debug)]
pub(super) struct Denials {
    enforced: Vec<Counter>,
    /// Only what the operator can choose to report.
    reported: Vec<Option<Counter>>,
}

impl DenialFamily {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let family = Family::default();
        registry.register(
            "egress_denied",
            "Outbound requests that the policy refused (enforced) or would have refused",
            Family::clone(&family),
        );
        Self(family)
    }

    pub(super) fn of(&self, plugin: &Arc<str>) -> Denials {
        let counter = |reason: DenialReason, enforced: &str| {
            self.0.get_or_create_owned(&[
                ("plugin", Arc::clone(plugin)),
                ("reason", Arc::from(reason.word())),
                ("enforced", Arc::from(enforced)),
            ])
        };
        let reported = |reason: &DenialReason| {
            matches!(reason, DenialReason::NotGranted | DenialReason::Scheme | DenialReason::Port)
                .then(|| counter(*reason, "false"))
        };
        Denials {
            enforced: DenialReason::ALL.iter().map(|reason| counter(*reason, "true")).collect(),
            reported: DenialReason::ALL.iter().map(reported).collect(),
        }
    }
}

impl Denials {
    pub(super) fn count(&self, reason: DenialReason, enforced: bool) {
        let index = DenialReason::ALL.iter().position(|known| *known == reason);
        let Some(index) = index else { return };
        let counter = if enforced {
            self.enforced.get(index)
        } else {
            self.reported.get(index).and_then(Option::as_ref)
        };
        if let Some(counter) = counter {
            counter.inc();
        }
    }
}
