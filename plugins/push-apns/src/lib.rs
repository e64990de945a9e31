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

use std::time::Duration;

use conductor_sdk::{
    Channel, Context, Failure, HealthReport, LengthUnit, Manifest, Message, Overflow, Priority,
    Receipt, ReceiptStatus, SendError, http,
    options::BaseUrl,
    overflow::send_parts,
    secrets::{self, Jwt},
    time,
};
use serde::{Deserialize, Serialize};

use payload::Own;

const PRIVATE_KEY: &str = "PRIVATE_KEY";

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

/// The channel's options.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
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
    api_base: Option<BaseUrl>,
    /// What happens to a message that is longer than APNs takes: 4,096 bytes with all that goes
    /// along.
    #[serde(default)]
    overflow: Overflow,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default)]
    apns: Own,
}

/// See the crate's own documentation.
pub struct Apns {
    options: Options,
    base: BaseUrl,
}

impl Channel for Apns {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret(
                PRIVATE_KEY,
                "the team's key for APNs: the .p8 file as it is (developer.apple.com, \
                 Certificates, Identifiers & Profiles, Keys)",
            )
            .host("https://api.push.apple.com")
            .host("https://api.sandbox.push.apple.com")
            .host("option:api_base")
            .body_max(4_096, LengthUnit::Bytes)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        let options = context.options;
        let base = options.api_base.clone().unwrap_or_else(|| {
            BaseUrl::new(match options.environment {
                Environment::Production => "https://api.push.apple.com",
                Environment::Sandbox => "https://api.sandbox.push.apple.com",
            })
        });
        let channel = Self { options, base };
        // A key that cannot sign is found now and not with the first message.
        channel.token()?;
        Ok(channel)
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let device = device(message.require_target(self.options.device_token.as_deref())?)?;
        let Data { apns } = message.parse_data()?;
        apns.check()?;
        let payloads = payload::build(message, &self.options, &apns)?;
        let mut receipt = send_parts(message, &payloads, |payload, number| {
            // The id and what is replaced are those of the first part.
            self.post(message, device, payload, if number == 0 { Some(&apns) } else { None })
        })?;
        // Apple has taken it; whether the device gets it nobody tells.
        receipt.status = ReceiptStatus::Accepted;
        Ok(receipt)
    }

    /// APNs has no call that sends nothing, so this says whether the key signs.
    fn health(&self) -> HealthReport {
        match self.token() {
            Ok(_) => HealthReport::healthy(),
            Err(error) => HealthReport::unhealthy(error.to_string()),
        }
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
        let priority = if message.priority == Priority::Low { "5" } else { "10" };
        let mut request = http::post(format!("{}/3/device/{device}", self.base))
            .header("authorization", format!("bearer {}", self.token()?))
            .header("apns-topic", &self.options.topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", priority)
            .header("content-type", "application/json");
        if let Some(own) = first {
            request = request.header("apns-id", &message.id);
            if let Some(id) = &own.collapse_id {
                request = request.header("apns-collapse-id", id);
            }
        }
        if let Some(until) = self.expiration(message) {
            request = request.header("apns-expiration", until.to_string());
        }
        let response = request.body(payload).fetch()?;
        if !response.is_success() {
            return Err(errors::outcome(&response));
        }
        let mut receipt = Receipt::accepted();
        receipt.provider_id = response.header("apns-id").map(str::to_owned);
        Ok(receipt)
    }

    fn token(&self) -> Result<String, secrets::Error> {
        Jwt::es256(PRIVATE_KEY)
            .header("kid", self.options.key_id.as_str())
            .claim("iss", self.options.team_id.as_str())
            .renew_after(TOKEN_USE)
            .placeholder()
    }

    /// Until when Apple keeps the message, in seconds since 1970; 0 to try once.
    fn expiration(&self, message: &Message) -> Option<u64> {
        let option = self.options.ttl_s.map(|seconds| Duration::from_secs(seconds.into()));
        let life = match (message.time_left(), option) {
            (Some(left), Some(option)) => left.min(option),
            (left, option) => left.or(option)?,
        };
        Some(if life.is_zero() { 0 } else { time::unix_seconds(time::now() + life) })
    }
}

/// Apple says not to rely on a length; those given out have 32 bytes and newer ones up to 100.
fn device(target: &str) -> Result<&str, SendError> {
    let is_token = (32..=200).contains(&target.len())
        && target.len().is_multiple_of(2)
        && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_token {
        return Ok(target);
    }
    Err(SendError::rejected(
        "invalid_target",
        "the target must be a device token in hexadecimal, as the app gets it from Apple",
    ))
}

conductor_sdk::export!(Apns);

#[cfg(test)]
mod tests;
