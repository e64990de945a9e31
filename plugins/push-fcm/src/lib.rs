//! Pushes notifications to apps on Android, Apple's devices and in browsers through Firebase Cloud
//! Messaging (<https://firebase.google.com/docs/cloud-messaging/send/v1-api>).
//!
//! The host signs an assertion with the service account's key and keeps the access token that Google
//! gives for it, so neither enters this channel. FCM has nothing by which it would recognise a
//! message that it already has: a request without an answer is unknown.

mod errors;
mod message;

use conductor_sdk::{
    prelude::*,
    secrets::{Jwt, TokenServer},
};
use serde::Deserialize;

const PRIVATE_KEY: &str = "PRIVATE_KEY";
const ACCESS_TOKEN: &str = "ACCESS_TOKEN";
const API: &str = "https://fcm.googleapis.com";
const TOKEN_API: &str = "https://oauth2.googleapis.com";

/// <https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests>: an
/// assertion is valid for an hour at most.
const ASSERTION_LIFE: Duration = Duration::from_secs(60 * 60);
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// The channel, which is its options: it keeps nothing else.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fcm {
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
    /// Where the API is, for a proxy or a test; https://fcm.googleapis.com unless set.
    #[serde(default)]
    api_base: ApiBase,
    /// Where access tokens are given, in place of Google's address: the origin of `token_uri`.
    #[serde(default)]
    token_base: ApiBase,
    /// What happens to a message that is longer than FCM takes: 4,096 bytes with all that goes
    /// along, 2,048 to a topic.
    #[serde(default)]
    overflow: Overflow,
}

impl Channel for Fcm {
    type Options = Self;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                PRIVATE_KEY,
                "the service account's file, or the `private_key` in it (Firebase console, Project \
                 settings, Service accounts, Generate new private key)",
            )
            .host(API)
            .host(TOKEN_API)
            .host("option:api_base")
            .host("option:token_base")
            .body_max(4_096, LengthUnit::Bytes)
    }

    fn initialize(context: Context<Self>) -> Result<Self, Failure> {
        // A key that cannot sign is found now and not with the first message.
        context.options.assertion().placeholder()?;
        Ok(context.options)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let messages = message::build(message, self)?;
        send_parts(message, &messages, |body, _| self.post(body))
    }

    /// Asks Google for an access token: FCM itself has no call that sends nothing.
    fn probe(&self) -> Result<HealthReport, SendError> {
        self.access_token().map(|_| HealthReport::healthy())
    }
}

impl Fcm {
    fn post(&self, body: &Value) -> Result<Receipt, SendError> {
        let Self { api_base, project_id, .. } = self;
        let url = format!("{}/v1/projects/{project_id}/messages:send", api_base.or(API));
        let response = http::post(url).bearer(&self.access_token()?).json(body).fetch()?;
        if response.status == 401 {
            secrets::forget(ACCESS_TOKEN);
        }
        let taken = response.success_or(errors::outcome)?;
        // FCM has taken it, whatever the answer looks like; whether the device gets it nobody tells.
        Ok(Receipt::accepted().provider_id_if(taken.text_at("/name")))
    }

    fn access_token(&self) -> Result<String, SendError> {
        let url = format!("{}/token", self.token_base.or(TOKEN_API));
        let server = TokenServer { provider: "Google", url, keep_as: ACCESS_TOKEN };
        server.token_for_assertion(&self.assertion())
    }

    fn assertion(&self) -> Jwt {
        Jwt::rs256(PRIVATE_KEY)
            .claim("iss", self.client_email.as_str())
            .claim("scope", SCOPE)
            // Google's own address whatever stands between.
            .claim("aud", format!("{TOKEN_API}/token"))
            .expires_after(ASSERTION_LIFE)
    }
}

conductor_sdk::export!(Fcm);

#[cfg(test)]
mod tests;
