//! What Slack's refusals mean. A word says it: in `error` of a Web API answer, whose status is 200
//! all the same, and as the whole body of a webhook's
//! (<https://docs.slack.dev/reference/methods/chat.postMessage#errors>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>).

use conductor_sdk::{Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// What is of use of a Web API answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) error: String,
    /// The scope that is missing.
    needed: String,
    pub(crate) ts: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) team: String,
    pub(crate) user: String,
}

/// The answer of a Web API method that worked.
pub(crate) fn web_api(response: &Response) -> Result<Answer, SendError> {
    match response.json::<Answer>() {
        Ok(answer) if answer.ok && response.is_success() => Ok(answer),
        // What cannot be read may be a success: it is not sent again without being asked for.
        Err(_) if response.is_success() => {
            Err(SendError::unknown("unreadable_answer", response.summary()))
        }
        refusal => {
            let refusal = refusal.unwrap_or_default();
            Err(outcome(&refusal.error, &refusal.needed, response))
        }
    }
}

/// What a webhook's answer means.
pub(crate) fn webhook(response: &Response) -> Result<(), SendError> {
    if response.is_success() {
        return Ok(());
    }
    let body = response.text();
    let limited: Answer = response.json().unwrap_or_default();
    let word = if limited.error.is_empty() { body.trim() } else { &limited.error };
    match word {
        // The webhook was removed or switched off, or its address is wrong; the room it belongs to
        // is gone. No message of this channel can work.
        "no_service"
        | "no_service_id"
        | "no_team"
        | "team_disabled"
        | "invalid_token"
        | "channel_not_found"
        | "channel_is_archived"
        | "action_prohibited"
        | "posting_to_general_channel_denied" => {
            Err(SendError::misconfigured(word, format!("Slack refuses the webhook: {word}")))
        }
        // "Something strange and unusual happened that was likely not your fault at all."
        "rollup_error" => Err(SendError::retry(word, "Slack had an error of its own")),
        _ if is_word(word) && response.status < 429 => Err(outcome(word, "", response)),
        _ => Err(response.webhook_error()),
    }
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

fn outcome(word: &str, needed: &str, response: &Response) -> SendError {
    let mut detail = format!("Slack: {}", text::excerpt(word));
    if !needed.is_empty() {
        detail.push_str(&format!(" (the scope {} is missing)", text::excerpt(needed)));
    }
    match word {
        "invalid_auth"
        | "not_authed"
        | "account_inactive"
        | "token_revoked"
        | "token_expired"
        | "missing_scope"
        | "no_permission"
        | "org_login_required"
        | "ekm_access_denied"
        | "not_allowed_token_type"
        | "enterprise_is_restricted"
        | "access_denied"
        | "team_access_not_granted"
        | "two_factor_setup_required"
        | "accesslimited" => SendError::misconfigured(word, detail),
        // About one message a second for each room; a burst over it is held against that room.
        "ratelimited" | "rate_limited" | "message_limit_exceeded" => Retry::new(word, detail)
            .after(response.retry_after())
            .scope(RetryScope::Destination)
            .into(),
        "service_unavailable" | "request_timeout" | "team_added_to_org" => {
            Retry::new(word, detail).after(response.retry_after()).into()
        }
        // "It's possible some aspect of the operation succeeded before the error was raised."
        "internal_error" | "fatal_error" => SendError::unknown(word, detail),
        "" => response.status_error(),
        // Among them: channel_not_found, not_in_channel, is_archived, msg_too_long, no_text,
        // restricted_action, user_not_found, invalid_blocks.
        _ if response.status < 429 => SendError::rejected(word, detail),
        _ => response.status_error(),
    }
}
