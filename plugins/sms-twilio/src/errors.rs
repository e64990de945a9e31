//! What Twilio's refusals mean. Its own code decides where there is one
//! (<https://www.twilio.com/docs/api/errors>), else the status.

use conductor_sdk::prelude::*;

const CODES: [(&str, Meaning); 4] = [
    // Wrong credential (20003, 20006, 20008), account that is not active (20005) or not there (20404).
    ("20003 20006 20008 20005 20404", Meaning::Misconfigured),
    // `from` is missing, is no number of the account, is of another account or cannot send; the
    // address for status reports (21609).
    ("21212 21603 21606 21607 21659 21660 21661 21609", Meaning::Misconfigured),
    // The messaging service is not there or has nobody to send from.
    ("21701 21703 21704 21705", Meaning::Misconfigured),
    // More is queued than the sender can send in ten hours
    // (https://www.twilio.com/docs/api/errors/21611).
    ("21611", Meaning::Retry(RetryScope::Credential)),
];

/// What an answer that is not 2xx means (<https://www.twilio.com/docs/usage/twilios-response>).
pub(crate) fn outcome(response: &Response) -> SendError {
    let refusal = response.refusal_at("Twilio", "/code", &["/message"]);
    refusal.by_code(&CODES).unwrap_or_else(|refusal| match (refusal.number(), response.status) {
        // Something else than the API answers.
        (None, 403 | 404) => refusal.misconfigured(),
        // 429 (20429) was "never processed" and is counted for the account
        // (https://www.twilio.com/docs/api/errors/20429). Rejected are, among others: no number
        // (21211), no way there (21214, 21217, 21612), a country that is not enabled (21408),
        // somebody who said STOP (21610), a landline (21614), too long (21617), a trial account and
        // a number that it has not verified (21608).
        _ => refusal.by_status(RetryScope::Credential),
    })
}
