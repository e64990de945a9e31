//! What Telegram's refusals mean (<https://core.telegram.org/bots/api#making-requests>). It has a
//! number, which is the HTTP status, and a sentence, which "may change in the future"; so that the
//! number decides, and the sentence only picks a word for programs.

use conductor_sdk::prelude::*;

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
    let description = response.text_at("/description").unwrap_or_default();
    // A group that became a supergroup (https://core.telegram.org/bots/api#responseparameters).
    if let Some(chat) = response.text_at("/parameters/migrate_to_chat_id") {
        return response.refusal("Telegram", "migrated", &description).moved(chat);
    }
    let sentence = description.to_lowercase();
    let known = WORDS.iter().find(|(begin, _)| sentence.starts_with(begin));
    let refusal = response
        .refusal("Telegram", known.map_or("", |(_, word)| word), &description)
        .wait(response.seconds_at("/parameters/retry_after"));
    match response.status {
        // "Unauthorized" for a token that was revoked, "Not Found" for one that never was.
        401 | 404 => refusal.hint("is BOT_TOKEN right?").misconfigured(),
        _ => refusal.by_status(RetryScope::Destination),
    }
}
