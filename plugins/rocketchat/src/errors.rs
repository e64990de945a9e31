//! What Rocket.Chat's refusals mean. One can come with a status of 200: `success` says it
//! (<https://developer.rocket.chat/apidocs/rocketchat-api>).

use std::time::{Duration, UNIX_EPOCH};

use conductor_sdk::{Retry, RetryScope, SendError, http::Response, serde_json::Value, text, time};

/// The answer, if it says that it worked.
pub(crate) fn checked(response: &Response, is_webhook: bool) -> Result<Value, SendError> {
    let answer: Value = response.json().unwrap_or_default();
    let failed = answer.get("success") == Some(&Value::Bool(false));
    // A success that does not parse is one all the same.
    if response.is_success() && !failed {
        Ok(answer)
    } else {
        Err(outcome(response, &answer, is_webhook))
    }
}

fn outcome(response: &Response, answer: &Value, is_webhook: bool) -> SendError {
    let field = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default();
    let sentence = if field("error").is_empty() { field("message") } else { field("error") };
    let kind = kind_of(field("errorType"), sentence);
    let code = if kind.is_empty() { format!("http_{}", response.status) } else { kind.to_owned() };
    let detail = match sentence {
        "" => response.summary(),
        sentence => format!("Rocket.Chat: {}", text::excerpt(sentence)),
    };
    let retry = |scope| {
        let wait = response.retry_after().max(until_reset(response));
        Retry::new(&code, &detail).after(wait).scope(scope).into()
    };
    match (response.status, kind) {
        (429, _) | (_, "error-too-many-requests") => retry(RetryScope::Credential),
        (401, _) | (_, "error-unauthorized" | "error-invalid-user" | "unauthorized") => {
            SendError::misconfigured(code, detail)
        }
        // No integration of this id and token, or it is switched off.
        (_, "invalid_integration") => SendError::misconfigured(code, detail),
        (403 | 404 | 410, "") if is_webhook => SendError::misconfigured(code, detail),
        (404, "") => SendError::misconfigured(code, format!("{detail} (is url right?)")),
        (408 | 500..=599, _) => retry(RetryScope::Message),
        // Among them: error-room-not-found, invalid-channel, error-not-allowed,
        // error-message-size-exceeded, room_is_archived.
        _ => SendError::rejected(code, detail),
    }
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
