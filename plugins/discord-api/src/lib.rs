//! What the channels to Discord share: the body of a message, the nonce that makes sending it again
//! safe, what Discord's refusals mean, and a bot's requests.

mod body;
mod errors;

use conductor_sdk::{prelude::*, text::consists_of};

pub use body::{CONTENT_MAX, TitleStyle, build};
pub use errors::outcome;

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
    let is_number = consists_of(id, 1..=20, |byte| byte.is_ascii_digit());
    if is_number && (id == "0" || !id.starts_with('0')) {
        return Ok(id);
    }
    Err(SendError::invalid_target(
        "the id of a Discord channel or thread: digits only, without a zero in front",
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
    body: &Value,
    part: usize,
) -> Result<Request, SendError> {
    let channel = snowflake(message.require_target(channel)?)?;
    let path = format!("channels/{channel}/messages");
    Ok(bot_request(api_base, "POST", &path)?
        .json(&body::with_nonce(body, &message.short_part_key(part))))
}

/// What the answer to a message means.
///
/// # Errors
/// When Discord has refused it.
pub fn receipt(answer: Response) -> Result<Receipt, SendError> {
    let sent = answer.success_or(outcome)?;
    // Delivered, whatever the body looks like.
    Ok(Receipt::delivered()
        .provider_id_if(sent.text_at("/id"))
        .detail_if("channel_id", sent.text_at("/channel_id")))
}
