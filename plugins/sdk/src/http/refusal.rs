//! A provider's refusal in its own words.

use std::time::Duration;

use super::Response;
use crate::{Problem, Retry, RetryScope, SendError, text};

/// An answer that is no success, with the provider's own code and words: what is left to say is what
/// kind of outcome it is, by a table of codes ([`by_code`](Self::by_code)) or case by case.
///
/// ```
/// # use conductor_sdk::{RetryScope, SendError, http::Response};
/// fn outcome(response: &Response) -> SendError {
///     let refusal = response.refusal_at("Chat", "/error/code", &["/error/message"]);
///     match (response.status, refusal.code()) {
///         (_, "no_such_room" | "too_long") => refusal.rejected(),
///         (403, _) | (_, "token_revoked") => refusal.misconfigured(),
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

    /// The same where code and words stand in a JSON body, found by their pointers (RFC 6901). The
    /// code is a text or a number; of the words, all that are there are told.
    #[must_use]
    pub fn refusal_at(&self, provider: &str, code: &str, words: &[&str]) -> Refusal {
        let code = self.text_at(code).unwrap_or_default();
        let words: Vec<_> = words.iter().filter_map(|pointer| self.text_at(pointer)).collect();
        self.refusal(provider, &code, &words.join(": "))
    }
}

impl Refusal {
    /// The provider's own code, else `http_` and the status.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.problem.code
    }

    /// The same as a number, where the provider's codes are numbers.
    #[must_use]
    pub fn number(&self) -> Option<u32> {
        self.problem.code.parse().ok()
    }

    /// Adds a remark to the detail, in brackets, for the person who has to mend it: "is the option
    /// url right?".
    #[must_use]
    pub fn hint(mut self, remark: &str) -> Self {
        self.problem.detail.push_str(&format!(" ({remark})"));
        self
    }

    /// A waiting time that the provider says elsewhere than in `Retry-After`. The longer one counts.
    #[must_use]
    pub fn wait(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = self.retry_after.max(wait);
        self
    }

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

    /// The target has this address now.
    #[must_use]
    pub fn moved(self, target: impl Into<String>) -> SendError {
        let Problem { code, detail } = self.problem;
        SendError::moved(target, code, detail)
    }

    /// The request may have worked all the same: the message may have been delivered.
    #[must_use]
    pub fn unknown(self) -> SendError {
        SendError::Unknown(self.problem)
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
    fn code_and_words_are_found_in_a_body_and_the_longer_waiting_time_counts() {
        let body = r#"{"error":{"code":42,"text":"no","more":"never"},"wait":9}"#;
        let answer = response(429, &[("retry-after", "7")], body);
        let words = ["/error/text", "/error/nothing", "/error/more"];
        let refusal = answer.refusal_at("Chat", "/error/code", &words).hint("why?");
        assert_eq!((refusal.code(), refusal.number()), ("42", Some(42)));
        let wait = |wait| match refusal.clone().wait(wait).retry(RetryScope::Message, None) {
            SendError::Retry(retry) => retry.after_ms,
            other => panic!("{other:?}"),
        };
        assert_eq!(wait(answer.seconds_at("/wait")), Some(9_000));
        assert_eq!(wait(Some(Duration::from_secs(1))), Some(7_000));
        assert_eq!(wait(None), Some(7_000));
        assert_eq!(
            refusal.clone().moved("7"),
            SendError::moved("7", "42", "Chat: no: never (why?)")
        );
        assert_eq!(refusal.unknown(), SendError::unknown("42", "Chat: no: never (why?)"));
        let refusal = answer.refusal_at("Chat", "/code", &["/text"]);
        assert_eq!((refusal.code(), refusal.number()), ("http_429", None));
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
