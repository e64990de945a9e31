//! What Twilio's refusals mean. Its own code decides where there is one
//! (<https://www.twilio.com/docs/api/errors>), else the status.

use conductor_sdk::{RetryScope, SendError, http::Response};
use serde::Deserialize;

/// The body of an error (<https://www.twilio.com/docs/usage/twilios-response>).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    code: Option<u32>,
    message: String,
}

/// What an answer that is not 2xx means.
pub(crate) fn outcome(response: &Response) -> SendError {
    let body: Body = response.json().unwrap_or_default();
    let code = body.code.map(|code| code.to_string()).unwrap_or_default();
    let refusal = response.refusal("Twilio", &code, &body.message);
    match (body.code.unwrap_or_default(), response.status) {
        // Wrong credential (20003, 20006, 20008), account that is not active (20005) or not there (20404);
        // `from` is missing, is no number of the account, is of another account or cannot send
        // (21212, 21603, 21606, 21607, 21659, 21660, 21661); the messaging service is not there or
        // has nobody to send from (21701, 21703, 21704, 21705); the address for status reports
        // (21609).
        (
            20_003 | 20_005 | 20_006 | 20_008 | 20_404 | 21_212 | 21_603 | 21_606 | 21_607 | 21_609
            | 21_659 | 21_660 | 21_661 | 21_701 | 21_703 | 21_704 | 21_705,
            _,
        )
        | (0, 403 | 404) => refusal.misconfigured(),
        // More is queued than the sender can send in ten hours
        // (https://www.twilio.com/docs/api/errors/21611).
        (21_611, _) => refusal.retry(RetryScope::Credential, None),
        // 429 (20429) was "never processed" and is counted for the account
        // (https://www.twilio.com/docs/api/errors/20429). Rejected are, among others: no number
        // (21211), no way there (21214, 21217, 21612), a country that is not enabled (21408),
        // somebody who said STOP (21610), a landline (21614), too long (21617), a trial account and
        // a number that it has not verified (21608).
        _ => refusal.by_status(RetryScope::Credential),
    }
}
