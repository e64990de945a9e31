//! What Telegram's refusals mean (<https://core.telegram.org/bots/api#making-requests>). It has a
//! number, which is the HTTP status, and a sentence, which "may change in the future"; so that the
//! number decides, and the sentence only picks a word for programs.

use std::time::Duration;

use conductor_sdk::{Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// What is of use of an answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    description: String,
    parameters: Parameters,
}

/// <https://core.telegram.org/bots/api#responseparameters>
#[derive(Default, Deserialize)]
#[serde(default)]
struct Parameters {
    migrate_to_chat_id: Option<i64>,
    retry_after: Option<u64>,
}

/// Beginnings of sentences that are known, in lower case, and the word for each.
const WORDS: [(&str, &str); 10] = [
    ("bad request: chat not found", "chat_not_found"),
    ("bad request: message text is empty", "message_text_is_empty"),
    ("bad request: message is too long", "message_is_too_long"),
    ("bad request: message thread not found", "message_thread_not_found"),
    ("bad request: not enough rights", "not_enough_rights"),
    ("forbidden: bot was blocked", "bot_was_blocked"),
    ("forbidden: bot was kicked", "bot_was_kicked"),
    ("forbidden: bot is not a member", "bot_is_not_a_member"),
    ("forbidden: bot can't initiate", "bot_cannot_initiate"),
    ("forbidden: user is deactivated", "user_is_deactivated"),
];

/// What an answer that is not `ok` means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let refusal: Refusal = response.json().unwrap_or_default();
    let sentence = refusal.description.to_lowercase();
    let code = WORDS
        .iter()
        .find(|(begin, _)| sentence.starts_with(begin))
        .map_or_else(|| format!("http_{}", response.status), |(_, word)| (*word).to_owned());
    let detail = if refusal.description.is_empty() {
        response.summary()
    } else {
        format!("Telegram: {}", text::excerpt(&refusal.description))
    };
    // A group that became a supergroup.
    if let Some(chat) = refusal.parameters.migrate_to_chat_id {
        return SendError::moved(chat.to_string(), "migrated", detail);
    }
    match response.status {
        // "Unauthorized" for a token that was revoked, "Not Found" for one that never was.
        401 | 404 => SendError::misconfigured(code, format!("{detail} (is BOT_TOKEN right?)")),
        429 => {
            let body = refusal.parameters.retry_after.map(Duration::from_secs);
            Retry::new(code, detail)
                .after(response.retry_after().max(body))
                .scope(RetryScope::Destination)
                .into()
        }
        408 | 500..=599 => Retry::new(code, detail).after(response.retry_after()).into(),
        _ => SendError::rejected(code, detail),
    }
}
