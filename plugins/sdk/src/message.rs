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

    /// What the caller's data says to one kind of channel alone: its member `name`, or the default
    /// where there is none. A notification may go through channels of several kinds, so that each
    /// has a member of its own; there, deny unknown fields, and a typing mistake is told.
    ///
    /// # Errors
    /// Rejected as `invalid_data`.
    pub fn own_data<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, SendError> {
        let mut data: serde_json::Map<_, _> = self.parse_data()?;
        let Some(own) = data.remove(name) else { return Ok(T::default()) };
        serde_json::from_value(own)
            .map_err(|error| SendError::rejected("invalid_data", format!("data.{name}: {error}")))
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

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use serde::Deserialize;

    use crate::testing::{FakeHost, message};

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Own {
        link: String,
    }

    #[test]
    fn each_kind_of_channel_reads_its_own_member_of_data() {
        let read = |data: &str| {
            let mut message = message("x");
            message.data = data.to_owned();
            message.own_data::<Own>("chat")
        };
        assert_eq!(read(r#"{"chat":{"link":"a"},"other":{"x":1}}"#).unwrap().link, "a");
        assert_eq!(read(r#"{"other":{"x":1}}"#).unwrap(), Own::default());
        for wrong in [r#"{"chat":{"lnik":"a"}}"#, r#"{"chat":7}"#, r#"{"chat":null}"#] {
            let error = read(wrong).unwrap_err();
            assert!(error.problem().detail.starts_with("data.chat: "), "{error:?}");
        }
    }

    #[test]
    fn what_expires_has_so_much_time_left_and_never_less_than_none() {
        let host = FakeHost::install();
        host.now(UNIX_EPOCH + Duration::from_secs(100));
        let left = |expires_at: Option<&str>| {
            let mut message = message("x");
            message.expires_at = expires_at.map(str::to_owned);
            message.time_left()
        };
        assert_eq!(left(None), None);
        assert_eq!(left(Some("1970-01-01T00:02:00.500Z")), Some(Duration::from_millis(20_500)));
        assert_eq!(left(Some("1970-01-01T00:00:00Z")), Some(Duration::ZERO));
    }
}
