//! What the Cloud API's refusals mean. Meta says to go by `code` and `details` and not by the status
//! (<https://developers.facebook.com/documentation/business-messaging/whatsapp/support/error-codes>).

use std::time::Duration;

use conductor_sdk::{LengthUnit, Retry, RetryScope, SendError, http::Response, text};
use serde::Deserialize;

/// One message every six seconds to the same person
/// (<https://developers.facebook.com/documentation/business-messaging/whatsapp/throughput>).
const PAIR_RATE_WAIT: Duration = Duration::from_secs(6);

/// The body of an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: Problem,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    // Absent where something else than the API answers; 0 is a code of its own.
    code: Option<u32>,
    message: String,
    error_data: ProblemData,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ProblemData {
    details: String,
}

/// What an answer that is not 2xx means. `own_template` says that the notification named the
/// template, and not the options.
pub(crate) fn outcome(response: &Response, own_template: bool) -> SendError {
    let problem = response.json::<Refusal>().unwrap_or_default().error;
    let (code, detail) = describe(response, &problem);
    let retry = |scope, least: Option<Duration>| {
        Retry::new(&code, &detail).after(response.retry_after().max(least)).scope(scope).into()
    };
    let Some(number) = problem.code else {
        return match response.status {
            403 | 404 => SendError::misconfigured(code, detail),
            _ => response.status_error(),
        };
    };
    match number {
        // Credential and permissions (0, 3, 10, 190, 200 to 299, 131005); a number that is not there
        // or not registered (33, 133010, 131045), has no approved name (131037); an account that is
        // blocked (368, 131031) or cannot pay (131042).
        0
        | 3
        | 10
        | 33
        | 190
        | 200..=299
        | 368
        | 131_005
        | 131_031
        | 131_037
        | 131_042
        | 131_045
        | 133_010 => SendError::misconfigured(code, detail),
        // The template: the number or form of its parameters (132000, 132012), not there in this
        // language (132001), against a policy (132007), paused (132015), disabled (132016).
        132_000 | 132_001 | 132_007 | 132_012 | 132_015 | 132_016 if !own_template => {
            SendError::misconfigured(code, detail)
        }
        // Limits of the app (4), the account (80007) and the number (130429; 131048 after too many
        // complaints).
        4 | 80_007 | 130_429 | 131_048 => retry(RetryScope::Credential, None),
        131_056 => retry(RetryScope::Destination, Some(PAIR_RATE_WAIT)),
        // Unknown or down (1, 2, 131000, 131016), in maintenance (131057, 133004).
        1 | 2 | 131_000 | 131_016 | 131_057 | 133_004 => retry(RetryScope::Message, None),
        // Among them: nobody to deliver to (131026), more than 24 hours since the person's last
        // message (131047), too much marketing for one person (131049) or stopped (131050), an
        // experiment (130472), the form (100, 131008, 131009, 131051), a country (130497).
        _ => SendError::rejected(code, detail),
    }
}

/// Meta's code and words where there are some.
fn describe(response: &Response, problem: &Problem) -> (String, String) {
    const MESSAGE_CHARACTERS_MAX: usize = 300;
    let code =
        problem.code.map_or_else(|| format!("http_{}", response.status), |code| code.to_string());
    let said = [problem.message.as_str(), problem.error_data.details.as_str()]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect::<Vec<_>>()
        .join(": ");
    let detail = if said.is_empty() {
        response.summary()
    } else {
        let unit = LengthUnit::Characters;
        format!("WhatsApp: {}", text::truncate(&said, MESSAGE_CHARACTERS_MAX, unit))
    };
    (code, detail)
}
