//! What ntfy's refusals mean. Its own five digits decide where there are some: the status, and two
//! more (<https://github.com/binwiederhier/ntfy/blob/main/server/errors.go>).

use std::time::{Duration, SystemTime};

use conductor_sdk::{LengthUnit, Retry, RetryScope, SendError, http::Response, text, time};
use serde::Deserialize;

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: u32,
    error: String,
}

/// What an answer that is not 2xx means. `own_target` says that the notification named the topic,
/// and not the options.
pub(crate) fn outcome(response: &Response, own_target: bool) -> SendError {
    let refusal: Refusal = response.json().unwrap_or_default();
    let (code, detail) = describe(response, &refusal);
    match (response.status, refusal.code) {
        (401, _) => SendError::misconfigured(code, detail),
        // The credential may not write to the topic.
        (403, _) if !own_target => SendError::misconfigured(code, detail),
        // The day's messages or bytes of attachments are used up
        // (https://docs.ntfy.sh/config/#rate-limiting: they count anew at midnight, UTC).
        (429, 42_905 | 42_908) => Retry::new(code, detail)
            .after(response.retry_after().max(Some(until_midnight(time::now()))))
            .scope(RetryScope::Credential)
            .into(),
        // Counted for each visitor: an account, or the host's address.
        (429, _) => Retry::new(code, detail)
            .after(response.retry_after())
            .scope(RetryScope::Credential)
            .into(),
        // 50701: the topic takes pushes for apps (UnifiedPush) and no app listens.
        (507, _) => SendError::rejected(code, detail),
        (408 | 425 | 500..=599, _) => Retry::new(code, detail).after(response.retry_after()).into(),
        // Among them: the form is wrong (400…), no such page (40401), too large (413…).
        _ => SendError::rejected(code, detail),
    }
}

/// ntfy's code and words where there are some.
fn describe(response: &Response, refusal: &Refusal) -> (String, String) {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let code = match refusal.code {
        0 => format!("http_{}", response.status),
        code => code.to_string(),
    };
    let detail = if refusal.error.is_empty() {
        response.summary()
    } else {
        let unit = LengthUnit::Characters;
        format!("ntfy: {}", text::truncate(&refusal.error, MESSAGE_CHARACTERS_MAX, unit))
    };
    (code, detail)
}

fn until_midnight(now: SystemTime) -> Duration {
    const DAY_SECONDS: u64 = 24 * 60 * 60;
    Duration::from_secs(DAY_SECONDS - time::unix_seconds(now) % DAY_SECONDS)
}
