//! What Slack's refusals mean. A word says it: in `error` of a Web API answer, whose status is 200
//! all the same, and as the whole body of a webhook's
//! (<https://docs.slack.dev/reference/methods/chat.postMessage#errors>,
//! <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks#handling_errors>).

use conductor_sdk::{
    prelude::*,
    text::{consists_of, excerpt},
};

const WORDS: [(&str, Meaning); 6] = [
    // The token, or the account that it is of.
    (
        "invalid_auth not_authed account_inactive token_revoked token_expired",
        Meaning::Misconfigured,
    ),
    // What the token may do.
    ("missing_scope no_permission not_allowed_token_type access_denied", Meaning::Misconfigured),
    // What the organisation allows.
    (
        "org_login_required ekm_access_denied enterprise_is_restricted team_access_not_granted \
         two_factor_setup_required accesslimited",
        Meaning::Misconfigured,
    ),
    // About one message a second for each room; a burst over it is held against that room.
    ("ratelimited rate_limited message_limit_exceeded", Meaning::Retry(RetryScope::Destination)),
    ("service_unavailable request_timeout team_added_to_org", Meaning::Retry(RetryScope::Message)),
    // "It's possible some aspect of the operation succeeded before the error was raised."
    ("internal_error fatal_error", Meaning::Unknown),
];

/// A webhook's, before the others.
const WEBHOOK_WORDS: [(&str, Meaning); 3] = [
    // It was removed or switched off, or its address is wrong.
    ("no_service no_service_id no_team team_disabled invalid_token", Meaning::Misconfigured),
    // The room it belongs to is gone. No message of this channel can work.
    (
        "channel_not_found channel_is_archived action_prohibited posting_to_general_channel_denied",
        Meaning::Misconfigured,
    ),
    // "Something strange and unusual happened that was likely not your fault at all."
    ("rollup_error", Meaning::Retry(RetryScope::Message)),
];

/// The answer of a Web API method that worked.
pub(crate) fn web_api(answer: Response) -> Result<Response, SendError> {
    if answer.is_success() {
        if answer.text_at("/ok").as_deref() == Some("true") {
            return Ok(answer);
        }
        // What cannot be read may be a success: it is not sent again without being asked for.
        if answer.text_at("/error").is_none() {
            return Err(SendError::unknown("unreadable_answer", answer.summary()));
        }
    }
    Err(outcome(&answer.text_at("/error").unwrap_or_default(), &answer))
}

/// What a webhook's answer that is not 2xx means.
pub(crate) fn webhook(response: &Response) -> SendError {
    let body = response.text();
    let word = response.text_at("/error").unwrap_or_else(|| body.trim().to_owned());
    let is_word = consists_of(&word, 1..=64, |byte| byte.is_ascii_lowercase() || byte == b'_');
    let refusal = response.refusal("Slack refuses the webhook", &word, &word);
    refusal.by_code(&WEBHOOK_WORDS).unwrap_or_else(|_| match response.status {
        ..429 if is_word => outcome(&word, response),
        _ => response.webhook_error(),
    })
}

fn outcome(word: &str, response: &Response) -> SendError {
    let mut refusal = response.refusal("Slack", word, word);
    if let Some(scope) = response.text_at("/needed") {
        refusal = refusal.hint(&format!("the scope {} is missing", excerpt(&scope)));
    }
    refusal.by_code(&WORDS).unwrap_or_else(|refusal| match response.status {
        // Among them: channel_not_found, not_in_channel, is_archived, msg_too_long, no_text,
        // restricted_action, user_not_found, invalid_blocks.
        ..429 if !word.is_empty() => refusal.rejected(),
        _ => response.status_error(),
    })
}
