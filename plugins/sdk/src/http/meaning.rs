//! What a provider's codes mean, as a table.

use std::time::Duration;

use super::Refusal;
use crate::{RetryScope, SendError};

/// What a code of a provider's means for the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The provider refuses this message and always will.
    Rejected,
    /// A credential or an option is wrong.
    Misconfigured,
    /// Not now: everything in this scope waits as long as the provider asks.
    Retry(RetryScope),
    /// The same, and for so long where the provider does not say.
    RetryAfter(RetryScope, Duration),
    /// The message may have been delivered.
    Unknown,
}

impl Refusal {
    /// What `table` says of the provider's code, if it is in there: each line has codes, with spaces
    /// between them, and what these mean. The first line with the code counts.
    ///
    /// ```
    /// # use conductor_sdk::{Meaning, RetryScope, SendError, http::Response};
    /// const CODES: [(&str, Meaning); 2] = [
    ///     // The token was withdrawn; the account is closed.
    ///     ("token_revoked account_inactive", Meaning::Misconfigured),
    ///     ("slow_mode", Meaning::Retry(RetryScope::Destination)),
    /// ];
    ///
    /// fn outcome(response: &Response) -> SendError {
    ///     let refusal = response.refusal_at("Chat", "/error", &["/message"]);
    ///     refusal.by_code(&CODES).unwrap_or_else(|refusal| match response.status {
    ///         404 => refusal.misconfigured(),
    ///         _ => refusal.by_status(RetryScope::Credential),
    ///     })
    /// }
    /// ```
    ///
    /// # Errors
    /// The refusal itself when the code is not in the table: then something else decides.
    pub fn by_code(self, table: &[(&str, Meaning)]) -> Result<SendError, Self> {
        let is_in = |codes: &str| codes.split_whitespace().any(|code| code == self.code());
        match table.iter().find(|(codes, _)| is_in(codes)) {
            Some((_, meaning)) => Ok(self.means(*meaning)),
            None => Err(self),
        }
    }

    fn means(self, meaning: Meaning) -> SendError {
        match meaning {
            Meaning::Rejected => self.rejected(),
            Meaning::Misconfigured => self.misconfigured(),
            Meaning::Retry(scope) => self.retry(scope, None),
            Meaning::RetryAfter(scope, otherwise) => self.retry(scope, Some(otherwise)),
            Meaning::Unknown => self.unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Response;

    const MINUTE: Duration = Duration::from_secs(60);
    const CODES: [(&str, Meaning); 6] = [
        ("10 gone", Meaning::Rejected),
        ("20", Meaning::Misconfigured),
        ("30", Meaning::Retry(RetryScope::Provider)),
        ("40 41\n42", Meaning::RetryAfter(RetryScope::Destination, MINUTE)),
        ("50", Meaning::Unknown),
        ("10", Meaning::Unknown),
    ];

    fn outcome(code: &str) -> Result<SendError, Refusal> {
        let response = Response { status: 400, headers: Vec::new(), body: Vec::new() };
        response.refusal("Chat", code, "no").by_code(&CODES)
    }

    #[test]
    fn a_code_means_what_its_line_says_and_nothing_else_is_in_the_table() {
        let retry = |code: &str, scope, after_ms| {
            let Ok(SendError::Retry(retry)) = outcome(code) else { panic!("{code}") };
            assert_eq!((retry.scope, retry.after_ms), (scope, after_ms), "{code}");
        };
        assert_eq!(outcome("10"), Ok(SendError::rejected("10", "Chat: no")));
        assert_eq!(outcome("gone"), Ok(SendError::rejected("gone", "Chat: no")));
        assert_eq!(outcome("20"), Ok(SendError::misconfigured("20", "Chat: no")));
        assert_eq!(outcome("50"), Ok(SendError::unknown("50", "Chat: no")));
        retry("30", RetryScope::Provider, None);
        for code in ["40", "41", "42"] {
            retry(code, RetryScope::Destination, Some(60_000));
        }
        for other in ["", "1", "4", "1020", "10 gone", "go"] {
            assert!(outcome(other).is_err(), "{other}");
        }
    }
}
