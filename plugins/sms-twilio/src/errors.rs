//! What Twilio's refusals mean. Its own code decides where there is one
//! (<https://www.twilio.com/docs/api/errors>), else the status.

use conductor_sdk::{LengthUnit, Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// The body of an error (<https://www.twilio.com/docs/usage/twilios-response>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    code: u32,
    message: String,
}

/// What an answer that is not 2xx means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let refusal: Refusal = response.json().unwrap_or_default();
    let (code, detail) = describe(response, &refusal);
    match refusal.code {
        // Wrong credential (20003, 20008), account that is not active (20005) or not there (20404);
        // `from` is missing, is no number of the account, is of another account or cannot send
        // (21212, 21603, 21606, 21607, 21659, 21660, 21661); the messaging service is not there or
        // has nobody to send from (21701, 21703, 21704, 21705); the address for status reports
        // (21609).
        20_003 | 20_005 | 20_008 | 20_404 | 21_212 | 21_603 | 21_606 | 21_607 | 21_609 | 21_659
        | 21_660 | 21_661 | 21_701 | 21_703 | 21_704 | 21_705 => {
            return SendError::misconfigured(code, detail);
        }
        // More is queued than the sender can send in ten hours
        // (https://www.twilio.com/docs/api/errors/21611).
        21_611 => {
            return Retry::new(code, detail)
                .after(response.retry_after())
                .scope(RetryScope::Credential)
                .into();
        }
        _ => {}
    }
    match response.status {
        401 | 403 | 404 => SendError::misconfigured(code, detail),
        // 20429: "never processed", and counted for the account
        // (https://www.twilio.com/docs/api/errors/20429).
        429 => Retry::new(code, detail)
            .after(response.retry_after())
            .scope(RetryScope::Credential)
            .into(),
        408 | 425 | 500..=599 => Retry::new(code, detail).after(response.retry_after()).into(),
        // Among them: no number (21211), no way there (21214, 21217, 21612), a country that is not
        // enabled (21408), somebody who said STOP (21610), a landline (21614), too long (21617), a
        // trial account and a number that it has not verified (21608).
        _ => SendError::rejected(code, detail),
    }
}

/// Twilio's code and words where there are some.
fn describe(response: &Response, refusal: &Refusal) -> (String, String) {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let code = match refusal.code {
        0 => format!("http_{}", response.status),
        code => code.to_string(),
    };
    let detail = if refusal.message.is_empty() {
        response.summary()
    } else {
        let unit = LengthUnit::Characters;
        format!("Twilio: {}", text::truncate(&refusal.message, MESSAGE_CHARACTERS_MAX, unit))
    };
    (code, detail)
}
