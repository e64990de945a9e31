//! What the Cloud API's refusals mean. Meta says to go by `code` and `details` and not by the status
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes>).

use conductor_sdk::prelude::*;

/// One message every six seconds to the same person
/// (<https://developers.facebook.com/documentation/business-messaging/whatsapp/throughput>).
const PAIR_RATE_WAIT: Duration = Duration::from_secs(6);

const CODES: [(&str, Meaning); 5] = [
    // Credential and permissions; below those from 200 to 299.
    ("0 3 10 190 131005", Meaning::Misconfigured),
    // A number that is not there or not registered (33, 133010, 131045), has no approved name
    // (131037); an account that is blocked (368, 131031) or cannot pay (131042).
    ("33 133010 131045 131037 368 131031 131042", Meaning::Misconfigured),
    // Limits of the app (4), the account (80007) and the number (130429; 131048 after too many
    // complaints).
    ("4 80007 130429 131048", Meaning::Retry(RetryScope::Credential)),
    ("131056", Meaning::RetryAfter(RetryScope::Destination, PAIR_RATE_WAIT)),
    // Unknown or down (1, 2, 131000, 131016), in maintenance (131057, 133004).
    ("1 2 131000 131016 131057 133004", Meaning::Retry(RetryScope::Message)),
];

/// The number or form of a template's parameters (132000, 132012); it is not there in this language
/// (132001), against a policy (132007), paused (132015), disabled (132016).
const TEMPLATE: [u32; 6] = [132_000, 132_001, 132_007, 132_012, 132_015, 132_016];

/// What an answer that is not 2xx means. `own_template` says that the notification named the
/// template, and not the options.
pub(crate) fn outcome(response: &Response, own_template: bool) -> SendError {
    let words = ["/error/message", "/error/error_data/details"];
    let refusal = response.refusal_at("WhatsApp", "/error/code", &words);
    refusal.by_code(&CODES).unwrap_or_else(|refusal| match (refusal.number(), response.status) {
        (Some(200..=299), _) => refusal.misconfigured(),
        (Some(code), _) if TEMPLATE.contains(&code) && !own_template => refusal.misconfigured(),
        // Among them: nobody to deliver to (131026), more than 24 hours since the person's last
        // message (131047), too much marketing for one person (131049) or stopped (131050), an
        // experiment (130472), the form (100, 131008, 131009, 131051), a country (130497).
        (Some(_), _) => refusal.rejected(),
        // Something else than the API answers.
        (None, 403 | 404) => refusal.misconfigured(),
        (None, _) => refusal.by_status(RetryScope::Credential),
    })
}
