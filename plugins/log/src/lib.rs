//! The channel that needs no account anywhere: each notification becomes one line of the host's
//! log.

use conductor_sdk::{
    Channel, Context, Failure, Format, Manifest, Message, Receipt, SendError, log,
};

/// The channel's options.
#[derive(serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// The level at which the notifications are logged.
    #[serde(default)]
    level: log::Level,
}

/// See the crate's own documentation.
pub struct Log {
    level: log::Level,
}

impl Channel for Log {
    type Options = Options;

    fn manifest() -> Manifest {
        Manifest::default().formats([Format::Plain, Format::Markdown])
    }

    fn initialize(context: Context<Options>) -> Result<Self, Failure> {
        Ok(Self { level: context.options.level })
    }

    fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let mut fields = vec![("priority", message.priority.name())];
        fields.extend(message.title.as_deref().map(|title| ("title", title)));
        fields.extend(message.target.as_deref().map(|target| ("target", target)));
        log::write(self.level, &message.body, &fields);
        Ok(Receipt::delivered().provider_id(&message.id))
    }
}

conductor_sdk::export!(Log);

#[cfg(test)]
mod tests;
