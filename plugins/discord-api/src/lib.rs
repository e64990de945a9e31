//! What the channels to Discord share: the body of a message, the nonce that makes sending it again
//! safe, what Discord's refusals mean, and a bot's requests.

mod body;
mod errors;
mod nonce;

use conductor_sdk::{
    Message, Receipt, SendError,
    http::{Request, Response},
    options::BaseUrl,
    secrets,
};

pub use body::{Body, CONTENT_MAX, TitleStyle, build};
pub use errors::outcome;
pub use nonce::of as nonce;

/// The secret with the bot's token.
pub const BOT_TOKEN: &str = "BOT_TOKEN";
/// Where the API is.
pub const API_BASE: &str = "https://discord.com/api/v10";
/// The form that the API asks for (<https://docs.discord.com/developers/reference#user-agent>).
pub const USER_AGENT: &str = concat!("DiscordBot (Conductor, ", env!("CARGO_PKG_VERSION"), ")");

/// Discord's ids are numbers in one form only, `^(0|[1-9][0-9]*)$` in its OpenAPI description. Anything
/// else would become a part of the path.
///
/// # Errors
/// Rejected as `invalid_target`.
pub fn snowflake(id: &str) -> Result<&str, SendError> {
    let is_number = (1..=20).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_digit());
    if is_number && (id == "0" || !id.starts_with('0')) {
        return Ok(id);
    }
    Err(SendError::rejected(
        "invalid_target",
        "the target must be the id of a Discord channel or thread: digits only, without a zero in \
         front",
    ))
}

/// A bot's request, with its token.
///
/// # Errors
/// When there is no token.
pub fn bot_request(api_base: &BaseUrl, method: &str, path: &str) -> Result<Request, SendError> {
    let token = secrets::placeholder(BOT_TOKEN)?;
    Ok(Request::new(method, format!("{api_base}/{path}"))
        .header("authorization", format!("Bot {token}"))
        .header("user-agent", USER_AGENT))
}

/// A part of a message, posted by a bot to the message's target or else to `channel`. It carries a
/// nonce by which Discord recognises it for some minutes, so sending it again is safe: a missing
/// answer is a reason to repeat it ([`HttpError::repeatable`](conductor_sdk::http::HttpError)).
///
/// # Errors
/// When there is no token, no target, or none that is an id.
pub fn bot_message(
    api_base: &BaseUrl,
    message: &Message,
    channel: Option<&str>,
    body: &Body,
    part: usize,
) -> Result<Request, SendError> {
    let channel = snowflake(message.require_target(channel)?)?;
    let path = format!("channels/{channel}/messages");
    Ok(bot_request(api_base, "POST", &path)?.json(&body.with_nonce(nonce(message, part))))
}

/// What is of use of the message object that Discord answers with.
#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Sent {
    id: Option<String>,
    channel_id: Option<String>,
}

/// What the answer to a message means.
///
/// # Errors
/// When Discord has refused it.
pub fn receipt(response: &Response) -> Result<Receipt, SendError> {
    if !response.is_success() {
        return Err(outcome(response));
    }
    // Delivered, whatever the body looks like.
    let sent: Sent = response.json().unwrap_or_default();
    let mut receipt = Receipt::delivered();
    receipt.provider_id = sent.id;
    Ok(match sent.channel_id {
        Some(channel) => receipt.detail("channel_id", channel),
        None => receipt,
    })
}
