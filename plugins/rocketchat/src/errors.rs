//! What Rocket.Chat's refusals mean. One can come with a status of 200: `success` says it
//! (<https://developer.rocket.chat/apidocs/rocketchat-api>).

use std::time::UNIX_EPOCH;

use conductor_sdk::{prelude::*, time};

const CODES: [(&str, Meaning); 3] = [
    ("error-too-many-requests", Meaning::Retry(RetryScope::Credential)),
    ("error-unauthorized error-invalid-user unauthorized", Meaning::Misconfigured),
    // No integration of this id and token, or it is switched off.
    ("invalid_integration", Meaning::Misconfigured),
];

/// The answer, if it says that it worked.
pub(crate) fn checked(response: Response, is_webhook: bool) -> Result<Response, SendError> {
    let failed = response.text_at("/success").as_deref() == Some("false");
    // A success that does not parse is one all the same.
    if response.is_success() && !failed {
        Ok(response)
    } else {
        Err(outcome(&response, is_webhook))
    }
}

fn outcome(response: &Response, is_webhook: bool) -> SendError {
    let field = response.text_at("/errorType").unwrap_or_default();
    let sentence = response.text_at("/error").or_else(|| response.text_at("/message"));
    let sentence = sentence.unwrap_or_default();
    let kind = kind_of(&field, &sentence);
    let refusal = response.refusal("Rocket.Chat", kind, &sentence).wait(until_reset(response));
    refusal.by_code(&CODES).unwrap_or_else(|refusal| match (response.status, kind) {
        (403 | 404 | 410, "") if is_webhook => refusal.misconfigured(),
        (404, "") => refusal.hint("is url right?").misconfigured(),
        // Rejected are, among others: error-room-not-found, invalid-channel, error-not-allowed,
        // error-message-size-exceeded, room_is_archived.
        _ => refusal.by_status(RetryScope::Credential),
    })
}

/// Its word for the error: a field of its own, or in brackets at the end of the sentence, or the
/// sentence itself.
fn kind_of<'a>(field: &'a str, sentence: &'a str) -> &'a str {
    if !field.is_empty() {
        return field;
    }
    let bracketed = sentence.rsplit_once('[').and_then(|(_, rest)| rest.split_once(']'));
    let word = bracketed.map_or(sentence, |(word, _)| word);
    let is_word = !word.is_empty()
        && word.len() <= 64
        && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    match sentence {
        _ if is_word => word,
        // https://github.com/RocketChat/Rocket.Chat, integrations' api: an unknown id or token.
        _ if sentence.starts_with("Invalid integration") => "invalid_integration",
        _ => "",
    }
}

/// Until more is allowed; the header says when, in milliseconds since 1970.
fn until_reset(response: &Response) -> Option<Duration> {
    let at: u64 = response.header("x-ratelimit-reset")?.trim().parse().ok()?;
    Some((UNIX_EPOCH + Duration::from_millis(at)).duration_since(time::now()).unwrap_or_default())
}
