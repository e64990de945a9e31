//! `[channel.retry]`.

use std::time::Duration;

use super::context::Context;
use crate::{
    config::{
        fields::Fields,
        findings::Findings,
        model::{OnUnknown, RetryPolicy},
    },
    limits,
};

const KEYS: &[&str] = &["attempts", "first_ms", "factor", "cap_ms", "span_ms", "on_unknown"];

/// Reads the policy; what is not said is as by default.
pub(super) fn read(channel: &Fields<'_>, context: &mut Context<'_>) -> RetryPolicy {
    let mut policy = RetryPolicy::default();
    let findings = &mut context.findings;
    let Some(fields) = channel.table("retry", "[channel.retry]", findings) else { return policy };
    fields.only(KEYS, &context.suggester, findings);
    let attempts = fields.whole("attempts", 1..=u64::from(limits::ATTEMPTS_MAX), findings);
    policy.attempts =
        attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(policy.attempts);
    policy.factor =
        fields.number("factor", 1.0..=limits::RETRY_FACTOR_MAX, findings).unwrap_or(policy.factor);
    policy.first = duration(&fields, "first_ms", findings).unwrap_or(policy.first);
    policy.span = duration(&fields, "span_ms", findings).unwrap_or(policy.span);
    policy.cap = match duration(&fields, "cap_ms", findings) {
        Some(cap) if cap < policy.first => {
            let first_ms = policy.first.as_millis();
            findings.wrong(
                &fields.origin_of("cap_ms"),
                format!("cap_ms is the longest pause, but the first is {first_ms} ms; raise it"),
            );
            cap
        }
        Some(cap) => cap,
        None => policy.cap.max(policy.first),
    };
    if let Some(written) = fields.text("on_unknown", findings) {
        policy.on_unknown = match written.value {
            "auto" => OnUnknown::Auto,
            "retry" => OnUnknown::Retry,
            "dead" => OnUnknown::Dead,
            other => {
                let hint = context.suggester.hint(other, ["auto", "retry", "dead"]);
                findings
                    .wrong(&written.origin, format!("on_unknown cannot be \"{other}\"; {hint}"));
                OnUnknown::Auto
            }
        };
    }
    policy
}

fn duration(fields: &Fields<'_>, key: &str, findings: &mut Findings) -> Option<Duration> {
    let most = u64::try_from(limits::RETRY_SPAN_MAX.as_millis()).unwrap_or(u64::MAX);
    fields.whole(key, 1..=most, findings).map(Duration::from_millis)
}
