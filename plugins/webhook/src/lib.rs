//! Posts each notification as JSON to a URL, signed by Standard Webhooks 1.0.0
//! (<https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>).
//!
//! The receiver drops duplicates by `webhook-id`, which is the same on every attempt. So a request
//! without an answer is reported as unknown and the host may repeat it.

mod payload;

use std::collections::BTreeMap;

use conductor_sdk::{
    Channel, Context, Failure, Format, Manifest, Message, Receipt, Retry, RetryScope, SendError,
    http::{self, Response},
    secrets::{self, Encoding},
    time,
};

const SIGNING_SECRET: &str = "SIGNING_SECRET";
const SIGNING_SECRET_OLD: &str = "SIGNING_SECRET_OLD";
const AUTHORIZATION: &str = "AUTHORIZATION";
const USER_AGENT: &str = concat!("Conductor-Webhook/", env!("CARGO_PKG_VERSION"));

/// The channel sets these itself.
const RESERVED_HEADERS: [&str; 5] =
    ["content-type", "user-agent", "webhook-id", "webhook-signature", "webhook-timestamp"];

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Where to post to.
    #[schemars(regex(pattern = "^https?://"))]
    url: String,
    /// More headers. For a credential use the secret AUTHORIZATION.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// The `type` of the payload: words with full stops between them.
    #[serde(default = "default_event_type")]
    #[schemars(regex(pattern = "^[A-Za-z0-9_]+([.][A-Za-z0-9_]+)*$"))]
    event_type: String,
    /// Send without a signature. Then the receiver cannot know who posts.
    #[serde(default)]
    unsigned: bool,
}

fn default_event_type() -> String {
    "notification.created".to_owned()
}

/// See the crate's own documentation.
pub struct Webhook {
    options: Options,
    /// The secrets to sign with: the present one, and the one before it while receivers change
    /// over.
    signers: Vec<&'static str>,
    has_authorization: bool,
}

impl Channel for Webhook {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .optional_secret(
                SIGNING_SECRET,
                "the key to sign with: whsec_ and 24 to 64 random bytes in base64; share it with \
                 the receiver",
            )
            .optional_secret(
                SIGNING_SECRET_OLD,
                "the key before that, to sign with both while receivers change over",
            )
            .optional_secret(AUTHORIZATION, "the whole value of the authorization header")
            .host("option:url")
            .formats([Format::Plain, Format::Markdown])
            .deduplicates_by_key(64)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let signers: Vec<_> = [SIGNING_SECRET, SIGNING_SECRET_OLD]
            .into_iter()
            .filter(|name| context.has_secret(name))
            .collect();
        let has_authorization = context.has_secret(AUTHORIZATION);
        let options = context.options;
        if signers.first() != Some(&SIGNING_SECRET) && !options.unsigned {
            return Err(Failure::configuration(
                "missing_signing_secret",
                "configure the secret SIGNING_SECRET, or set the option unsigned = true if the \
                 receiver need not know who posts",
            ));
        }
        if options.unsigned && !signers.is_empty() {
            return Err(Failure::configuration(
                "unsigned_with_secret",
                "there is a signing secret and unsigned = true: remove one of them",
            ));
        }
        let reserved = |name: &&String| {
            RESERVED_HEADERS.contains(&name.to_ascii_lowercase().as_str())
                || (has_authorization && name.eq_ignore_ascii_case("authorization"))
        };
        if let Some(name) = options.headers.keys().find(reserved) {
            return Err(Failure::configuration(
                "reserved_header",
                format!("the channel sets the header {name} itself"),
            ));
        }
        Ok(Self { options, signers, has_authorization })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let id = webhook_id(message);
        let timestamp = time::unix_seconds(time::now());
        let body = payload::encode(&self.options.event_type, message)?;

        let mut request = http::post(&self.options.url);
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        if self.has_authorization {
            request = request.header("authorization", secrets::placeholder(AUTHORIZATION)?);
        }
        if !self.signers.is_empty() {
            let signature = self.signature(&id, timestamp, &body)?;
            request = request.header("webhook-signature", signature);
        }
        let response = request
            .header("content-type", "application/json")
            .header("user-agent", USER_AGENT)
            .header("webhook-id", &id)
            .header("webhook-timestamp", timestamp.to_string())
            .body(body)
            .fetch()?;
        outcome(&response)?;
        Ok(Receipt::delivered().provider_id(id).detail("status", response.status))
    }
}

impl Webhook {
    /// The value of `webhook-signature`: one signature for each key.
    fn signature(&self, id: &str, timestamp: u64, body: &[u8]) -> Result<String, SendError> {
        let signed = [format!("{id}.{timestamp}.").as_bytes(), body].concat();
        let mut signatures = Vec::new();
        for name in &self.signers {
            let signature = secrets::sign(name, Encoding::Whsec, &signed)?;
            signatures.push(format!("v1,{}", signature.to_base64()));
        }
        Ok(signatures.join(" "))
    }
}

/// The same on every attempt, another one on a replay. A full stop would make the signed text
/// ambiguous; the delivery key has none.
fn webhook_id(message: &Message) -> String {
    format!("msg_{}", message.delivery_key.replace([':', '.'], "_"))
}

/// What the receiver's status means (Standard Webhooks, "Delivery and success").
fn outcome(response: &Response) -> Result<(), SendError> {
    let code = format!("http_{}", response.status);
    let detail = response.summary();
    match response.status {
        200..=299 => Ok(()),
        // Following one would send the notification where nobody granted it to go.
        300..=399 => Err(SendError::rejected(code, format!("{detail} (a redirect, not followed)"))),
        410 => Err(SendError::misconfigured(code, format!("{detail} (the endpoint is gone)"))),
        429 | 502..=504 => Err(Retry::new(code, detail)
            .after(response.retry_after())
            .scope(RetryScope::Destination)
            .into()),
        500..=599 => Err(Retry::new(code, detail).after(response.retry_after()).into()),
        _ => Err(SendError::rejected(code, detail)),
    }
}

conductor_sdk::export!(Webhook);

#[cfg(test)]
mod tests;
