//! What ntfy's refusals mean. Its own five digits decide where there are some: the status, and two
//! more (<https://github.com/binwiederhier/ntfy/blob/main/server/errors.go>).

use std::time::{Duration, SystemTime};

use conductor_sdk::{RetryScope, SendError, http::Response, time};
use serde::Deserialize;

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    code: Option<u32>,
    error: String,
}

/// What an answer that is not 2xx means. `own_target` says that the notification named the topic,
/// and not the options.
pub(crate) fn outcome(response: &Response, own_target: bool) -> SendError {
    let body: Body = response.json().unwrap_or_default();
    let code = body.code.map(|code| code.to_string()).unwrap_or_default();
    let refusal = response.refusal("ntfy", &code, &body.error);
    match (response.status, code.as_str()) {
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
