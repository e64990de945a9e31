//! What Discord's refusals mean. The JSON error code decides where there is one
//! (<https://docs.discord.com/developers/topics/opcodes-and-status-codes#json>), else the status.

use conductor_sdk::prelude::*;

const CODES: [(&str, Meaning); 3] = [
    // Unknown webhook; invalid webhook token; invalid authentication token; unauthorized. To go on
    // asking gets the address of the whole host restricted.
    ("10015 50027 50014 40001", Meaning::Misconfigured),
    // Slow mode; write limits of the channel and of the server; the resource is limited.
    ("20016 20028 20029 40062", Meaning::Retry(RetryScope::Destination)),
    // Sending or a feature is switched off for a while; blocked by Cloudflare; overloaded.
    ("40004 40006 40333 130000", Meaning::Retry(RetryScope::Provider)),
];

/// What an answer that is not 2xx means.
#[must_use]
pub fn outcome(response: &Response) -> SendError {
    // 0 is no code.
    let code = response.text_at("/code").filter(|code| code != "0").unwrap_or_default();
    let words = response.text_at("/message").unwrap_or_default();
    let refusal = response.refusal("Discord", &code, &words);
    let refusal = refusal.wait(response.seconds_at("/retry_after"));
    refusal.by_code(&CODES).unwrap_or_else(|refusal| match response.status {
        429 => refusal.retry(limit_scope(response), None),
        // An address that made too many invalid requests is banned for all who share it
        // (https://docs.discord.com/developers/topics/rate-limits#invalid-request-limit-aka-cloudflare-bans).
        // Discord's own errors are JSON. What is not comes from the network in front of it.
        403 if !response.json_or_null().is_object() => refusal.retry(RetryScope::Provider, None),
        // Rejected are, among others: the form is wrong (50035), no access (50001, 50007, 50013), no
        // such channel (10003), not a text channel (50008), locked thread (160005), automatic
        // moderation (200000), too large (40005, 50045), a forum needs a thread (220001).
        _ => refusal.by_status(RetryScope::Destination),
    })
}

/// For what the limit counts
/// (<https://docs.discord.com/developers/topics/rate-limits#header-format-rate-limit-header-examples>).
fn limit_scope(response: &Response) -> RetryScope {
    let is_global = response.text_at("/global").as_deref() == Some("true");
    let in_a_bucket = response.header("x-ratelimit-bucket").is_some();
    match response.header("x-ratelimit-scope") {
        Some("shared") => RetryScope::Destination,
        Some("global") => RetryScope::Credential,
        // A bucket is of one route and one channel or webhook.
        Some("user") if in_a_bucket => RetryScope::Destination,
        Some("user") => RetryScope::Credential,
        _ if is_global || response.header("x-ratelimit-global").is_some() => RetryScope::Credential,
        _ if in_a_bucket || response.seconds_at("/retry_after").is_some() => {
            RetryScope::Destination
        }
        // No answer of Discord's own limits: the address is banned.
        _ => RetryScope::Provider,
    }
}
