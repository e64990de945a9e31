//! Sends notifications to Microsoft Teams: posts an Adaptive Card to a workflow that begins with
//! "When a Teams webhook request is received"
//! (<https://support.microsoft.com/office/create-incoming-webhooks-with-workflows-for-microsoft-teams-8ae491c7-0394-4861-ba59-055e33f75498>).
//!
//! The workflow answers when it has begun, before it posts: a message is accepted and not delivered.
//! It knows no key by which it would recognise a message that it already has, so that a request
//! without an answer is reported as unknown.

mod card;

use conductor_sdk::{markdown::Rich, prelude::*, text};
use serde::Deserialize;

const SIGNATURE: &str = "SIGNATURE";

/// Of the request's body: Teams takes messages of about 28 KB
/// (<https://learn.microsoft.com/microsoftteams/limits-specifications-teams>).
const PAYLOAD_BYTES_MAX: usize = 27 * 1_024;
/// Of the message. A card is longer than its text: what the limit of the payload says comes on top.
const BODY_BYTES_MAX: usize = 24 * 1_024;

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The workflow's URL up to and without &sig=…, which is the secret SIGNATURE.
    #[schemars(regex(pattern = "^https?://[^/\\s#@]+/[^\\s#]*\\?[^\\s#]+$"))]
    url: String,
    /// What happens to a message whose card is larger than Teams takes.
    #[serde(default)]
    overflow: Overflow,
}

/// See the crate's own documentation.
pub struct Teams {
    options: Options,
}

impl Channel for Teams {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                SIGNATURE,
                "what follows &sig= in the workflow's URL (Teams: Workflows, the workflow, Edit, When \
                 a Teams webhook request is received, HTTP POST URL)",
            )
            .host("option:url")
            .body_max(BODY_BYTES_MAX, LengthUnit::Bytes)
            .formats([Format::Plain, Format::Markdown])
            // https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using#rate-limiting-for-connectors
            .rate(RateScope::Credential, 4, Duration::from_secs(1))
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let url = &context.options.url;
        if url.contains("?sig=") || url.contains("&sig=") {
            return Err(Failure::configuration(
                "signature_in_option",
                "take &sig=… out of the option url and give what follows it as the secret SIGNATURE: \
                 options are shown to callers",
            ));
        }
        Ok(Self { options: context.options })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        if message.target_or(None).is_some() {
            return Err(SendError::rejected(
                "no_targets",
                "a workflow posts where it was made to post; make a channel for each workflow",
            ));
        }
        let priority = message.priority;
        let content = Rich::of(message).measured(card::bytes);
        let parts = self.options.overflow.apply(&content, PAYLOAD_BYTES_MAX)?;
        let signature = secrets::placeholder(SIGNATURE)?;
        let url = format!("{}&sig={signature}", self.options.url);
        send_parts(message, &parts, |part, _| {
            outcome(&http::post(&url).json(&card::envelope(part, priority)).fetch()?)
        })
    }

    // No `probe`: a workflow can be asked nothing that would not run it.
}

/// The workflow is switched off, gone, or begins with something else.
const CODES: [(&str, Meaning); 3] = [
    ("WorkflowTriggerIsNotEnabled WorkflowNotEnabled", Meaning::Misconfigured),
    ("TriggerNotFound WorkflowTriggerNotFound", Meaning::Misconfigured),
    ("MissingApiVersionParameter InvalidApiVersionParameter", Meaning::Misconfigured),
];

fn outcome(response: &Response) -> Result<Receipt, SendError> {
    if response.is_success() {
        // The connectors that were there before workflows say so in the text of a 200.
        let body = response.text();
        if body.contains("HTTP error 429") {
            let refusal = response.refusal("Teams", "http_429", "too many messages");
            return Err(refusal.retry(RetryScope::Credential, None));
        }
        if body.contains("Microsoft Teams endpoint returned HTTP error") {
            return Err(SendError::retry("connector_error", text::excerpt(&body)));
        }
        let run = response.header("x-ms-workflow-run-id").map(ToOwned::to_owned);
        return Ok(Receipt::accepted().provider_id_if(run));
    }
    if response.text_at("/error/code").is_none() {
        return Err(response.webhook_error());
    }
    let refusal = response.refusal_at("Teams", "/error/code", &["/error/message"]);
    Err(refusal.by_code(&CODES).unwrap_or_else(|refusal| match response.status {
        401 | 403 | 404 | 410 => refusal.misconfigured(),
        _ => refusal.by_status(RetryScope::Credential),
    }))
}

conductor_sdk::export!(Teams);

#[cfg(test)]
mod tests;
