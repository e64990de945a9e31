//! Pushes notifications to iPhones, iPads, watches and Macs through the Apple Push Notification
//! service
//! (<https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns>).
//!
//! The host signs the provider token with the team's key and uses each for half an hour, as Apple
//! wants it (20 to 60 minutes), whatever becomes of the channel's instances. APNs speaks HTTP/2
//! alone, which the host does with every server that offers it. It has nothing by which it would
//! recognise a message that it already has.

mod errors;
mod payload;

use conductor_sdk::{prelude::*, secrets::Jwt, text::consists_of, time};
use serde::{Deserialize, Serialize};

use payload::Own;

const PRIVATE_KEY: &str = "PRIVATE_KEY";
const PRODUCTION: &str = "https://api.push.apple.com";
const SANDBOX: &str = "https://api.sandbox.push.apple.com";

/// Apple wants between 20 and 60 minutes
/// (<https://developer.apple.com/documentation/usernotifications/establishing-a-token-based-connection-to-apns>).
const TOKEN_USE: Duration = Duration::from_secs(30 * 60);

/// For which builds of the app.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// From the App Store and TestFlight.
    #[default]
    Production,
    /// Straight from Xcode.
    Sandbox,
}

/// The channel, which is its options: it keeps nothing else.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Apns {
    /// The developer team's id.
    #[schemars(regex(pattern = "^[A-Z0-9]{10}$"))]
    team_id: String,
    /// The key's id.
    #[schemars(regex(pattern = "^[A-Z0-9]{10}$"))]
    key_id: String,
    /// The app's bundle id.
    #[schemars(regex(pattern = "^[A-Za-z0-9.-]{1,155}$"))]
    topic: String,
    /// For which builds of the app.
    #[serde(default)]
    environment: Environment,
    /// The device to send to when a notification names no target.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{2}){16,100}$"))]
    device_token: Option<String>,
    /// The sound of all but notifications of low priority; "default", or a file of the app's. Silent
    /// unless set.
    #[schemars(length(min = 1, max = 255))]
    sound: Option<String>,
    /// How long Apple keeps a message for a device that it does not reach, in seconds; 0 to try
    /// once. 30 days unless set, and never longer than the notification's own `expiresAt`.
    #[schemars(range(max = 2_592_000))]
    ttl_s: Option<u32>,
    /// Where APNs is, for a proxy or a test, in place of the environment's.
    #[serde(default)]
    api_base: ApiBase,
    /// What happens to a message that is longer than APNs takes: 4,096 bytes with all that goes
    /// along.
    #[serde(default)]
    overflow: Overflow,
}

impl Channel for Apns {
    type Options = Self;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                PRIVATE_KEY,
                "the team's key for APNs: the .p8 file as it is (developer.apple.com, \
                 Certificates, Identifiers & Profiles, Keys)",
            )
            .host(PRODUCTION)
            .host(SANDBOX)
            .host("option:api_base")
            .body_max(4_096, LengthUnit::Bytes)
    }

    fn initialize(context: Context<Self>) -> Result<Self, Failure> {
        // A key that cannot sign is found now and not with the first message.
        context.options.token()?;
        Ok(context.options)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let device = message.checked_target(
            self.device_token.as_deref(),
            is_device_token,
            "a device token in hexadecimal, as the app gets it from Apple",
        )?;
        let own: Own = message.own_data("apns")?;
        own.check()?;
        let payloads = payload::build(message, self, &own)?;
        send_parts(message, &payloads, |payload, number| {
            // The id and what is replaced are those of the first part.
            self.post(message, device, payload, (number == 0).then_some(&own))
        })
    }

    /// APNs has no call that sends nothing, so this says whether the key signs.
    fn probe(&self) -> Result<HealthReport, SendError> {
        self.token()?;
        Ok(HealthReport::healthy())
    }
}

impl Apns {
    fn post(
        &self,
        message: &Message,
        device: &str,
        payload: &[u8],
        first: Option<&Own>,
    ) -> Result<Receipt, SendError> {
        let usual = match self.environment {
            Environment::Production => PRODUCTION,
            Environment::Sandbox => SANDBOX,
        };
        // Until when Apple keeps the message, in seconds since 1970; 0 to try once.
        let until = message
            .life(self.ttl_s)
            .map(|life| if life.is_zero() { 0 } else { time::unix_seconds(time::now() + life) });
        let request = http::post(format!("{}/3/device/{device}", self.api_base.or(usual)))
            .header("authorization", format!("bearer {}", self.token()?))
            .header("apns-topic", &self.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", message.priority.pick(["5", "10", "10", "10"]))
            .header("content-type", "application/json")
            .header_if("apns-id", first.map(|_| &message.id))
            .header_if("apns-collapse-id", first.and_then(|own| own.collapse_id.as_ref()))
            .header_if("apns-expiration", until.map(|until| until.to_string()));
        // Apple has taken it; whether the device gets it nobody tells.
        let taken = request.body(payload).fetch()?.success_or(errors::outcome)?;
        Ok(Receipt::accepted().provider_id_if(taken.header("apns-id").map(str::to_owned)))
    }

    fn token(&self) -> Result<String, secrets::Error> {
        Jwt::es256(PRIVATE_KEY)
            .header("kid", self.key_id.as_str())
            .claim("iss", self.team_id.as_str())
            .renew_after(TOKEN_USE)
            .placeholder()
    }
}

/// Apple says not to rely on a length; those given out have 32 bytes and newer ones up to 100.
fn is_device_token(target: &str) -> bool {
    target.len().is_multiple_of(2) && consists_of(target, 32..=200, |byte| byte.is_ascii_hexdigit())
}

conductor_sdk::export!(Apns);

#[cfg(test)]
mod tests;
