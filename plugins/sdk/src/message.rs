//! Conveniences on the message.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Message, SendError, time};

impl Message {
    /// The target of this message, else the one that the options name.
    #[must_use]
    pub fn target_or<'a>(&'a self, default: Option<&'a str>) -> Option<&'a str> {
        self.target.as_deref().or(default).filter(|target| !target.is_empty())
    }

    /// The same, for a channel that cannot send without one.
    ///
    /// # Errors
    /// Rejected as `missing_target`.
    pub fn require_target<'a>(&'a self, default: Option<&'a str>) -> Result<&'a str, SendError> {
        self.target_or(default).ok_or_else(|| {
            SendError::rejected(
                "missing_target",
                "the notification names no target and the channel's options name none either",
            )
        })
    }

    /// The caller's own data as a type of yours. Fields that you do not name are ignored.
    ///
    /// # Errors
    /// Rejected as `invalid_data`.
    pub fn parse_data<T: DeserializeOwned>(&self) -> Result<T, SendError> {
        serde_json::from_str(&self.data)
            .map_err(|error| SendError::rejected("invalid_data", error.to_string()))
    }

    /// How long this call may take.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms.into())
    }

    /// For how long anybody wants the message: for a provider that keeps what it cannot deliver at
    /// once. None when it does not expire.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let until = time::parse_utc(self.expires_at.as_deref()?)?;
        Some(until.duration_since(time::now()).unwrap_or_default())
    }

    /// The two parts of `delivery_key`: the notification's UUID, and the generation, which an
    /// operator's replay raises.
    #[must_use]
    pub fn delivery_key_parts(&self) -> (&str, &str) {
        self.delivery_key.split_once(':').unwrap_or((&self.delivery_key, ""))
    }
}
