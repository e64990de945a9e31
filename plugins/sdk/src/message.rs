//! Conveniences on the message.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::{Message, SendError, text::one_line, time};

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

    /// The same if the target has the form that the provider gives its targets, so that nothing else
    /// gets into a URL. `expected` says for a person what that is: "the id of a room".
    ///
    /// # Errors
    /// Rejected as `missing_target` or `invalid_target`.
    pub fn checked_target<'a>(
        &'a self,
        default: Option<&'a str>,
        has_form: impl FnOnce(&str) -> bool,
        expected: &str,
    ) -> Result<&'a str, SendError> {
        let target = self.require_target(default)?;
        if has_form(target) { Ok(target) } else { Err(SendError::invalid_target(expected)) }
    }

    /// The title on one line, if there is one with more in it than white space.
    #[must_use]
    pub fn title_line(&self) -> Option<String> {
        self.title.as_deref().map(one_line).filter(|title| !title.is_empty())
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

    /// For how long the provider shall keep what it cannot deliver at once: as long as anybody wants
    /// the message, and no longer than an option of so many seconds says. None when neither says it.
    #[must_use]
    pub fn life(&self, option_s: Option<u32>) -> Option<Duration> {
        let option = option_s.map(|seconds| Duration::from_secs(seconds.into()));
        self.time_left().into_iter().chain(option).min()
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
    fn a_target_has_the_providers_form_or_is_rejected() {
        let mut message = message("x");
        let is_digits = |target: &str| target.bytes().all(|byte| byte.is_ascii_digit());
        let check = |message: &Message, default| {
            let found = message.checked_target(default, is_digits, "a number");
            found.map(str::to_owned).map_err(|error| error.problem().clone())
        };
        assert_eq!(check(&message, Some("7")).unwrap(), "7");
        assert_eq!(check(&message, None).unwrap_err().code, "missing_target");
        message.target = Some("7/8".to_owned());
        let problem = check(&message, Some("7")).unwrap_err();
        assert_eq!(problem.code, "invalid_target");
        assert_eq!(problem.detail, "the target must be a number");
    }

    #[test]
    fn a_title_is_one_line_with_something_in_it() {
        let line = |title: Option<&str>| {
            let mut message = message("x");
            message.title = title.map(str::to_owned);
            message.title_line()
        };
        assert_eq!(line(Some(" a\n b ")).as_deref(), Some("a b"));
        assert_eq!(line(Some(" \n")), None);
        assert_eq!(line(None), None);
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

        let life = |expires_at: Option<&str>, option_s| {
            let mut message = message("x");
            message.expires_at = expires_at.map(str::to_owned);
            message.life(option_s).map(|life| life.as_secs())
        };
        assert_eq!(life(None, None), None);
        assert_eq!(life(None, Some(60)), Some(60));
        assert_eq!(life(Some("1970-01-01T00:02:00Z"), None), Some(20));
        assert_eq!(life(Some("1970-01-01T00:02:00Z"), Some(60)), Some(20));
        assert_eq!(life(Some("1970-01-01T00:02:00Z"), Some(10)), Some(10));
    }
}
