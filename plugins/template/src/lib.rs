//! A channel to begin with: copy this folder, and change what your provider has otherwise.

use conductor_sdk::{overflow::Plain, prelude::*};

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The webhook's URL without its last part, which is the secret WEBHOOK_KEY.
    url: BaseUrl,
    /// What happens to a message of more than 2,000 characters.
    #[serde(default)]
    overflow: Overflow,
}

/// See the crate's own documentation.
pub struct Template(Options);

impl Channel for Template {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default()
            .secret("WEBHOOK_KEY", "the last part of the webhook's URL")
            .host("option:url")
            .body_max(2_000, LengthUnit::Characters)
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self(context.options))
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let url = format!("{}/{}", self.0.url, secrets::placeholder("WEBHOOK_KEY")?);
        let parts =
            self.0.overflow.apply(&Plain::new(&message.body, LengthUnit::Characters), 2_000)?;
        send_parts(message, &parts, |part, _| {
            let answer = http::post(&url).json(&json!({ "text": part })).fetch()?;
            answer.success_or(Response::webhook_error)?;
            Ok(Receipt::delivered())
        })
    }
}

conductor_sdk::export!(Template);

#[cfg(test)]
mod tests;
