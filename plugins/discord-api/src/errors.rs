//! What Discord's refusals mean. The JSON error code decides where there is one
//! (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>), else the status.

use std::time::Duration;

use conductor_sdk::{Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// The body of an error and of a 429.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: u32,
    message: String,
    retry_after: Option<f64>,
    global: bool,
}

/// What an answer that is not 2xx means.
#[must_use]
pub fn outcome(response: &Response) -> SendError {
    let parsed = response.json::<Refusal>();
    // Discord's own errors are JSON. What is not comes from the network in front of it.
    let from_the_edge = parsed.is_err();
    let refusal = parsed.unwrap_or_default();
    let (code, detail) = describe(response, &refusal);
    let retry = |scope| {
        Retry::new(&code, &detail).after(waiting_time(response, &refusal)).scope(scope).into()
    };
    match refusal.code {
        // Unknown webhook; invalid webhook token; invalid authentication token; unauthorized. To go
        // on asking gets the address of the whole host restricted.
        10_015 | 50_027 | 50_014 | 40_001 => return SendError::misconfigured(code, detail),
        // Slow mode; write limits of the channel and of the server; the resource is limited.
        20_016 | 20_028 | 20_029 | 40_062 => return retry(RetryScope::Destination),
        // Sending or a feature is switched off for a while; blocked by Cloudflare; overloaded.
        40_004 | 40_006 | 40_333 | 130_000 => return retry(RetryScope::Provider),
        _ => {}
    }
    match response.status {
        401 => SendError::misconfigured(code, detail),
        429 => retry(limit_scope(response, &refusal)),
        // An address that made too many invalid requests is banned for all who share it
        // (https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans).
        403 if from_the_edge => retry(RetryScope::Provider),
        408 | 500..=599 => retry(RetryScope::Message),
        // Among them: the form is wrong (50035), no access (50001, 50007, 50013), no such channel
        // (10003), not a text channel (50008), locked thread (160005), automatic moderation
        // (200000), too large (40005, 50045), a forum needs a thread (220001).
        _ => SendError::rejected(code, detail),
    }
}

/// Discord's code and words where there are some.
fn describe(response: &Response, refusal: &Refusal) -> (String, String) {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let code = match refusal.code {
        0 => format!("http_{}", response.status),
        code => code.to_string(),
    };
    let detail = if refusal.message.is_empty() {
        response.summary()
    } else {
        let unit = conductor_sdk::LengthUnit::Characters;
        format!("Discord: {}", text::truncate(&refusal.message, MESSAGE_CHARACTERS_MAX, unit))
    };
    (code, detail)
}

/// The longest of what header and body ask for, rounded up.
fn waiting_time(response: &Response, refusal: &Refusal) -> Option<Duration> {
    let body = refusal
        .retry_after
        .filter(|seconds| *seconds >= 0.0)
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    response.retry_after().max(body)
}

/// For what the limit counts
/// (<https://docs.discord.com/developers/topics/rate-limits#header-format-rate-limit-header-examples>).
fn limit_scope(response: &Response, refusal: &Refusal) -> RetryScope {
    let in_a_bucket = response.header("x-ratelimit-bucket").is_some();
    match response.header("x-ratelimit-scope") {
        Some("shared") => RetryScope::Destination,
        Some("global") => RetryScope::Credential,
        // A bucket is of one route and one channel or webhook.
        Some("user") if in_a_bucket => RetryScope::Destination,
        Some("user") => RetryScope::Credential,
        _ if refusal.global || response.header("x-ratelimit-global").is_some() => {
            RetryScope::Credential
        }
        _ if in_a_bucket || refusal.retry_after.is_some() => RetryScope::Destination,
        // No answer of Discord's own limits: the address is banned.
        _ => RetryScope::Provider,
    }
}
