//! What ntfy's refusals mean. Its own five digits decide where there are some: the status, and two
//! more (<https://github.com/binwiederhier/ntfy/blob/main/server/errors.go>).

use std::time::SystemTime;

use conductor_sdk::{prelude::*, time};

/// What an answer that is not 2xx means. `own_target` says that the notification named the topic,
/// and not the options.
pub(crate) fn outcome(response: &Response, own_target: bool) -> SendError {
    let refusal = response.refusal_at("ntfy", "/code", &["/error"]);
    match (response.status, refusal.code()) {
        // The credential may not write to the topic.
        (403, _) if !own_target => refusal.misconfigured(),
        // The day's messages or bytes of attachments are used up
        // (https://docs.ntfy.sh/config/#rate-limiting: they count anew at midnight, UTC).
        (429, "42905" | "42908") => {
            refusal.retry(RetryScope::Credential, Some(until_midnight(time::now())))
        }
        // 50701: the topic takes pushes for apps (UnifiedPush) and no app listens.
        (507, _) => refusal.rejected(),
        // Limits are counted for each visitor: an account, or the host's address. Rejected are,
        // among others: the form (400…), no such page (40401), too large (413…).
        _ => refusal.by_status(RetryScope::Credential),
    }
}

fn until_midnight(now: SystemTime) -> Duration {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    Duration::from_secs(DAY_SECONDS - time::unix_seconds(now) % DAY_SECONDS)
}
