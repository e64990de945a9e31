//! A provider's refusal in its own words.

use std::time::Duration;

use super::Response;
use crate::{Problem, Retry, RetryScope, SendError, text};

/// An answer that is no success, with the provider's own code and words: what is left to say is what
/// kind of outcome it is.
///
/// ```
/// # use conductor_sdk::{RetryScope, SendError, http::Response, serde_json::Value};
/// fn outcome(response: &Response) -> SendError {
///     let body: Value = response.json().unwrap_or_default();
///     let text = |name| body.get(name).and_then(Value::as_str).unwrap_or_default();
///     let refusal = response.refusal("Chat", text("code"), text("message"));
///     match text("code") {
///         "no_such_room" | "too_long" => refusal.rejected(),
///         "token_revoked" => refusal.misconfigured(),
///         _ => refusal.by_status(RetryScope::Credential),
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    retry_after: Option<Duration>,
    problem: Problem,
}

impl Response {
    /// This answer as a refusal of `provider`'s, with its own code and words; where they are empty,
    /// the status and the beginning of the body stand for them.
    #[must_use]
    pub fn refusal(&self, provider: &str, code: &str, words: &str) -> Refusal {
        let code = if code.is_empty() { format!("http_{}", self.status) } else { code.to_owned() };
        let detail = match text::excerpt(words) {
            nothing if nothing.is_empty() => self.summary(),
            words => format!("{provider}: {words}"),
        };
        Refusal {
            status: self.status,
            retry_after: self.retry_after(),
            problem: Problem { code, detail },
        }
    }
}

impl Refusal {
    /// The provider refuses this message and always will.
    #[must_use]
    pub fn rejected(self) -> SendError {
        SendError::Rejected(self.problem)
    }

    /// A credential or an option is wrong.
    #[must_use]
    pub fn misconfigured(self) -> SendError {
        SendError::Misconfigured(self.problem)
    }

    /// Not now: everything in `scope` waits as long as the provider asks, or `otherwise` where it
    /// does not say.
    #[must_use]
    pub fn retry(self, scope: RetryScope, otherwise: Option<Duration>) -> SendError {
        let Problem { code, detail } = self.problem;
        Retry::new(code, detail).after(self.retry_after.or(otherwise)).scope(scope).into()
    }

    /// What the status means at most providers, as in [`Response::status_error`]; a 429 holds up
    /// `limited`.
    #[must_use]
    pub fn by_status(self, limited: RetryScope) -> SendError {
        match self.status {
            401 | 407 => self.misconfigured(),
            429 => self.retry(limited, None),
            408 | 425 | 500..=599 => self.retry(RetryScope::Message, None),
            _ => self.rejected(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &str) -> Response {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Response { status, headers: headers.iter().map(owned).collect(), body: body.into() }
    }

    #[test]
    fn the_providers_code_and_words_come_first_and_the_answer_itself_otherwise() {
        let answer = response(400, &[], "<html>no</html>");
        assert_eq!(
            answer.refusal("Chat", "too_long", " too\nlong ").rejected(),
            SendError::rejected("too_long", "Chat: too long")
        );
        assert_eq!(
            answer.refusal("Chat", "", "").misconfigured(),
            SendError::misconfigured("http_400", "the provider answered 400: <html>no</html>")
        );
        let long = answer.refusal("Chat", "x", &"é".repeat(301)).rejected();
        assert_eq!(long.problem().detail.chars().count(), "Chat: ".len() + 300);
    }

    #[test]
    fn the_providers_waiting_time_comes_first() {
        let wait = |headers: &[(&str, &str)], otherwise| match response(429, headers, "")
            .refusal("", "", "")
            .retry(RetryScope::Provider, otherwise)
        {
            SendError::Retry(retry) => (retry.after_ms, retry.scope),
            other => panic!("{other:?}"),
        };
        let minute = Some(Duration::from_secs(60));
        assert_eq!(wait(&[("retry-after", "7")], minute), (Some(7_000), RetryScope::Provider));
        assert_eq!(wait(&[], minute), (Some(60_000), RetryScope::Provider));
        assert_eq!(wait(&[], None), (None, RetryScope::Provider));
    }

    #[test]
    fn a_status_means_what_it_means_without_words_too() {
        for status in [301, 400, 401, 403, 404, 407, 408, 413, 425, 429, 500, 503] {
            let answer = response(status, &[("retry-after", "3")], "");
            let by_status = answer.refusal("", "", "").by_status(RetryScope::Destination);
            assert_eq!(by_status, answer.status_error(), "{status}");
        }
        let limited = response(429, &[], "").refusal("", "", "").by_status(RetryScope::Credential);
        assert!(
            matches!(limited, SendError::Retry(retry) if retry.scope == RetryScope::Credential)
        );
    }
}
