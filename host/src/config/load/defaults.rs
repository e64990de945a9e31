//! `[defaults]`, and what of it a tenant may say otherwise.

use std::sync::Arc;

use super::{context::Context, values};
use crate::{
    config::{fields::Fields, model::TenantLimits},
    egress::AddressRange,
    limits,
};

/// `[defaults]`.
pub(super) struct Defaults {
    pub(super) limits: Limits,
    pub(super) cors: Vec<Arc<str>>,
    /// None when it is there and wrong: a tenant that relies on it must not be open to all.
    pub(super) access_sources: Option<Vec<AddressRange>>,
}

/// `[tenant.limits]` as far as it says something.
#[derive(Clone, Copy, Default)]
pub(super) struct Limits {
    rate_per_s: Option<f64>,
    burst: Option<u32>,
    queue_max: Option<u64>,
    weight: Option<u32>,
}

/// Reads `[defaults]` from the root of tenants.toml.
pub(super) fn read(root: &Fields<'_>, context: &mut Context<'_>) -> Defaults {
    let Some(fields) = root.table("defaults", "[defaults]", &mut context.findings) else {
        let readable = !root.table.contains_key("defaults");
        return Defaults {
            limits: Limits::default(),
            cors: Vec::new(),
            access_sources: readable.then(Vec::new),
        };
    };
    fields.only(&["limits", "cors", "access"], &context.suggester, &mut context.findings);
    let limits = limits_of(&fields, "[defaults.limits]", context);
    let cors = values::cors(&fields, &mut context.findings).unwrap_or_default();
    let mark = context.findings.mark();
    let access_sources = access_of(&fields, "[defaults.access]", context).unwrap_or_default();
    let access_sources = context.findings.settle(mark, false).then_some(access_sources);
    Defaults { limits, cors, access_sources }
}

/// Reads `limits` of a tenant or of the defaults.
pub(super) fn limits_of(
    entry: &Fields<'_>,
    title: &'static str,
    context: &mut Context<'_>,
) -> Limits {
    let findings = &mut context.findings;
    let Some(fields) = entry.table("limits", title, findings) else { return Limits::default() };
    fields.only(&["rate", "burst", "queue", "weight"], &context.suggester, findings);
    let rate_bounds = limits::RATE_PER_S_MIN..=limits::RATE_PER_S_MAX;
    Limits {
        rate_per_s: fields.number("rate", rate_bounds, findings),
        burst: fields
            .whole("burst", 1..=u64::from(limits::BURST_MAX), findings)
            .and_then(|burst| u32::try_from(burst).ok()),
        queue_max: fields.whole("queue", 1..=limits::QUEUE_PER_TENANT_MAX, findings),
        weight: fields
            .whole("weight", 1..=u64::from(limits::WEIGHT_MAX), findings)
            .and_then(|weight| u32::try_from(weight).ok()),
    }
}

impl Limits {
    /// These, and where they say nothing, `below`.
    pub(super) fn over(self, below: Self) -> Self {
        Self {
            rate_per_s: self.rate_per_s.or(below.rate_per_s),
            burst: self.burst.or(below.burst),
            queue_max: self.queue_max.or(below.queue_max),
            weight: self.weight.or(below.weight),
        }
    }

    /// These with the host's own values where they say nothing.
    pub(super) fn complete(self) -> TenantLimits {
        // One second's worth, unless it is said.
        let worth = self.rate_per_s.unwrap_or(1.0).ceil().clamp(1.0, f64::from(limits::BURST_MAX));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
        let burst = worth as u32;
        TenantLimits {
            rate_per_s: self.rate_per_s,
            burst: self.burst.unwrap_or(burst),
            queue_max: self.queue_max.unwrap_or(limits::QUEUE_PER_TENANT_DEFAULT),
            weight: self.weight.unwrap_or(1),
        }
    }
}

/// Reads `access.sources` of a tenant or of the defaults; none when nothing is said.
pub(super) fn access_of(
    entry: &Fields<'_>,
    title: &'static str,
    context: &mut Context<'_>,
) -> Option<Vec<AddressRange>> {
    let findings = &mut context.findings;
    let fields = entry.table("access", title, findings)?;
    fields.only(&["sources"], &context.suggester, findings);
    let sources = fields.parsed_list::<AddressRange>("sources", findings)?;
    Some(sources.into_iter().map(|source| source.value).collect())
}
