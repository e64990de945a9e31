//! Pushes notifications to apps on Android, Apple's devices and in browsers through Firebase Cloud
//! Messaging (<https://firebase.google.com/docs/cloud-messaging/send/v1-api>).
//!
//! The host signs an assertion with the service account's key and keeps the access token that Google
//! gives for it, so neither enters this channel. FCM has nothing by which it would recognise a
//! message that it already has: a request without an answer is unknown.

mod errors;
mod message;

use std::time::Duration;

use conductor_sdk::{
    Channel, Context, Failure, HealthReport, LengthUnit, Manifest, Message, Overflow, Receipt,
    ReceiptStatus, SendError, http,
    options::BaseUrl,
    overflow::send_parts,
    secrets::{self, Jwt},
    serde_json::Value,
};
use serde::Deserialize;

use message::{Own, Target};

const PRIVATE_KEY: &str = "PRIVATE_KEY";
const ACCESS_TOKEN: &str = "ACCESS_TOKEN";

/// <https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>: an
/// assertion is valid for an hour at most.
const ASSERTION_LIFE: Duration = Duration::from_secs(60 * 60);
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// An access token is asked for anew so long before it ends.
const RENEW_BEFORE_END: Duration = Duration::from_secs(5 * 60);

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The Firebase project: `project_id` in the service account's file.
    #[schemars(regex(pattern = "^[a-z][a-z0-9-]{4,28}[a-z0-9]$"))]
    project_id: String,
    /// The service account: `client_email` in its file.
    #[schemars(regex(pattern = "^[^@\\s]+@[^@\\s]+$"))]
    client_email: String,
    /// Whom to send to when a notification names no target: a registration token, or /topics/NAME.
    #[schemars(length(min = 1, max = 4_096))]
    target: Option<String>,
    /// The notification channel of the Android app.
    #[schemars(length(min = 1, max = 255))]
    android_channel_id: Option<String>,
    /// How long Google keeps a message for a device that it does not reach, in seconds; 0 to try
    /// once. Four weeks unless set, and never longer than the notification's own `expiresAt`.
    #[schemars(range(max = 2_419_200))]
    ttl_s: Option<u32>,
    /// Google looks at the messages and delivers none: to try a configuration.
    #[serde(default)]
    validate_only: bool,
    /// Where the API is, for a proxy or a test.
    #[serde(default = "default_api_base")]
    api_base: BaseUrl,
    /// Where access tokens are given, for a proxy or a test: the origin of `token_uri`.
    #[serde(default = "default_token_base")]
    token_base: BaseUrl,
    /// What happens to a message that is longer than FCM takes: 4,096 bytes with all that goes
    /// along, 2,048 to a topic.
    #[serde(default)]
    overflow: Overflow,
}

fn default_api_base() -> BaseUrl {
    BaseUrl::new("https://fcm.googleapis.com")
}

fn default_token_base() -> BaseUrl {
    BaseUrl::new("https://oauth2.googleapis.com")
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    fcm: Own,
}

/// What Google gives for an assertion.
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

/// What is of use of FCM's answer.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Sent {
    name: Option<String>,
}

/// See the crate's own documentation.
pub struct Fcm {
    options: Options,
}

impl Channel for Fcm {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                PRIVATE_KEY,
                "the service account's file, or the `private_key` in it (Firebase console, Project \
                 settings, Service accounts, Generate new private key)",
            )
            .host("https://fcm.googleapis.com")
            .host("https://oauth2.googleapis.com")
            .host("option:api_base")
            .host("option:token_base")
            .body_max(4_096, LengthUnit::Bytes)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let channel = Self { options: context.options };
        // A key that cannot sign is found now and not with the first message.
        channel.assertion()?;
        Ok(channel)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let target = message.require_target(self.options.target.as_deref())?;
        let Data { fcm } = message.parse_data()?;
        let messages = message::build(message, &self.options, &fcm, Target::parse(target)?)?;
        let mut receipt = send_parts(message, &messages, |body, _| self.post(body))?;
        // FCM has taken it; whether the device gets it nobody tells.
        receipt.status = ReceiptStatus::Accepted;
        Ok(receipt)
    }

    /// Asks Google for an access token: FCM itself has no call that sends nothing.
    fn health(&self) -> HealthReport {
        match self.access_token() {
            Ok(_) => HealthReport::healthy(),
            Err(error) => error.into(),
        }
    }
}

impl Fcm {
    fn post(&self, body: &Value) -> Result<Receipt, SendError> {
        let Options { api_base, project_id, .. } = &self.options;
        let token = self.access_token()?;
        let response = http::post(format!("{api_base}/v1/projects/{project_id}/messages:send"))
            .header("authorization", format!("Bearer {token}"))
            .json(body)
            .fetch()?;
        if !response.is_success() {
            let (outcome, token_is_to_blame) = errors::outcome(&response);
            if token_is_to_blame {
                secrets::forget(ACCESS_TOKEN);
            }
            return Err(outcome);
        }
        // Taken, whatever the answer looks like.
        let sent: Sent = response.json().unwrap_or_default();
        let mut receipt = Receipt::accepted();
        receipt.provider_id = sent.name;
        Ok(receipt)
    }

    /// What stands for an access token: one that the host keeps, else a new one.
    fn access_token(&self) -> Result<String, SendError> {
        if let Some(token) = secrets::kept(ACCESS_TOKEN) {
            return Ok(token);
        }
        let assertion = self.assertion()?;
        let form = [("grant_type", GRANT_TYPE), ("assertion", assertion.as_str())];
        let response = http::post(format!("{}/token", self.options.token_base))
            .form(&form)
            .fetch()
            // Nothing is delivered by asking for a token.
            .map_err(|error| match SendError::from(error) {
                SendError::Unknown(problem) => SendError::retry(problem.code, problem.detail),
                error => error,
            })?;
        if !response.is_success() {
            return Err(errors::token_outcome(&response));
        }
        let granted: Granted = response.json().map_err(|error| {
            SendError::retry("no_access_token", format!("Google gave no access token: {error}"))
        })?;
        let life = Duration::from_secs(granted.expires_in).saturating_sub(RENEW_BEFORE_END);
        // Once at least: a life that is not told is a token for this message.
        let life = life.max(Duration::from_secs(1));
        Ok(secrets::keep(ACCESS_TOKEN, &granted.access_token, life)?)
    }

    fn assertion(&self) -> Result<String, secrets::Error> {
        Jwt::rs256(PRIVATE_KEY)
            .claim("iss", self.options.client_email.as_str())
            .claim("scope", SCOPE)
            // Google's own address whatever stands between.
            .claim("aud", "https://oauth2.googleapis.com/token")
            .expires_after(ASSERTION_LIFE)
            .placeholder()
    }
}

conductor_sdk::export!(Fcm);

#[cfg(test)]
mod tests;
