//! `[channel.throttle]`.

use super::context::Context;
use crate::{
    config::{
        fields::Fields,
        model::{Throttle, ThrottleScope},
    },
    limits,
};

const KEYS: &[&str] = &["rate_per_s", "burst", "per"];

/// Reads it, if it is there and right.
pub(super) fn read(channel: &Fields<'_>, context: &mut Context<'_>) -> Option<Throttle> {
    let findings = &mut context.findings;
    let fields = channel.table("throttle", "[channel.throttle]", findings)?;
    fields.only(KEYS, &context.suggester, findings);
    if !fields.table.contains_key("rate_per_s") {
        findings.wrong(
            &fields.origin(),
            "[channel.throttle] has no rate_per_s; add for example rate_per_s = 30",
        );
    }
    let bounds = limits::THROTTLE_PER_S_MIN..=limits::THROTTLE_PER_S_MAX;
    let rate_per_s = fields.number("rate_per_s", bounds, findings);
    let burst = fields.whole("burst", 1..=u64::from(limits::BURST_MAX), findings);
    let burst = burst.and_then(|burst| u32::try_from(burst).ok());
    let mut per = ThrottleScope::default();
    if let Some(written) = fields.text("per", findings) {
        per = match written.value {
            "channel" => ThrottleScope::Channel,
            "destination" => ThrottleScope::Destination,
            other => {
                let hint = context.suggester.hint(other, ["channel", "destination"]);
                findings.wrong(&written.origin, format!("per cannot be \"{other}\"; {hint}"));
                per
            }
        };
    }
    Some(Throttle { rate_per_s: rate_per_s?, burst: burst.unwrap_or(1), per })
}
