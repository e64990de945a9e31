//! Reading a provider's answer without a type for it.

use std::time::Duration;

use serde_json::Value;

use super::{Response, response::seconds};
use crate::SendError;

impl Response {
    /// The response itself if its status is 2xx, else what `refused` makes of it: the function in
    /// which a plugin says what its provider's refusals mean.
    ///
    /// # Errors
    /// What `refused` answers.
    pub fn success_or(self, refused: impl FnOnce(&Self) -> SendError) -> Result<Self, SendError> {
        if self.is_success() { Ok(self) } else { Err(refused(&self)) }
    }

    /// The body as JSON, or null where it is none.
    #[must_use]
    pub fn json_or_null(&self) -> Value {
        self.json().unwrap_or_default()
    }

    /// A text, a number or a boolean of the body by its JSON pointer (RFC 6901), as text. None where
    /// there is nothing, or something else, or a text without characters, or no JSON: what a success
    /// says beside its success never decides anything.
    ///
    /// ```
    /// # use conductor_sdk::http::Response;
    /// let body = br#"{"result":{"message_id":7,"from":""}}"#.to_vec();
    /// let response = Response { status: 200, headers: Vec::new(), body };
    /// assert_eq!(response.text_at("/result/message_id").as_deref(), Some("7"));
    /// assert_eq!(response.text_at("/result/from"), None);
    /// ```
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> Option<String> {
        let text = match self.json_or_null().pointer(pointer)? {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => return None,
        };
        Some(text).filter(|text| !text.is_empty())
    }

    /// A number of seconds of the body, whole or not, by its JSON pointer: for providers that say
    /// there how long to wait. Never shorter than what stands there.
    #[must_use]
    pub fn seconds_at(&self, pointer: &str) -> Option<Duration> {
        seconds(&self.text_at(pointer)?)
    }

    /// The same for a whole number of milliseconds.
    #[must_use]
    pub fn millis_at(&self, pointer: &str) -> Option<Duration> {
        self.text_at(pointer)?.parse().ok().map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, body: &str) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    #[test]
    fn texts_and_numbers_are_read_wherever_they_stand() {
        let answer = response(200, r#"{"a":[{"b":"x"},{"b":-2}],"c":1.5,"d":true,"e":null}"#);
        assert_eq!(answer.text_at("/a/0/b").as_deref(), Some("x"));
        assert_eq!(answer.text_at("/a/1/b").as_deref(), Some("-2"));
        assert_eq!(answer.text_at("/c").as_deref(), Some("1.5"));
        assert_eq!(answer.text_at("/d").as_deref(), Some("true"));
        for nothing in ["", "/a", "/a/2/b", "/e", "/f", "b"] {
            assert_eq!(answer.text_at(nothing), None, "{nothing}");
        }
        assert_eq!(response(200, "<html>").text_at("/a"), None);
        assert_eq!(response(200, "").json_or_null(), Value::Null);
    }

    #[test]
    fn waiting_times_are_never_shortened() {
        let at = |body: &str| response(429, body).seconds_at("/wait");
        assert_eq!(at(r#"{"wait":3}"#), Some(Duration::from_secs(3)));
        assert_eq!(at(r#"{"wait":0.3001}"#), Some(Duration::from_millis(301)));
        assert_eq!(at(r#"{"wait":"2.5"}"#), Some(Duration::from_millis(2_500)));
        assert_eq!(at(r#"{"wait":-1}"#), None);
        assert_eq!(at(r#"{"wait":"soon"}"#), None);
        let millis = |body: &str| response(429, body).millis_at("/wait");
        assert_eq!(millis(r#"{"wait":1500}"#), Some(Duration::from_millis(1_500)));
        assert_eq!(millis(r#"{"wait":-1}"#), None);
    }

    #[test]
    fn a_refusal_is_what_the_plugin_says() {
        let refused = |response: &Response| SendError::rejected(response.status, "no");
        assert_eq!(response(204, "").success_or(refused), Ok(response(204, "")));
        assert_eq!(response(302, "").success_or(refused), Err(SendError::rejected(302, "no")));
    }
}
