//! Access tokens that are given in exchange for another credential.

use std::time::Duration;

use serde::Deserialize;

use super::{Jwt, keep, kept, placeholder};
use crate::{
    RetryScope, SendError,
    http::{self, HttpError, Response},
};

/// An access token is asked for anew so long before it ends.
const RENEW_BEFORE_END: Duration = Duration::from_secs(5 * 60);
/// <https://www.rfc-editor.org/rfc/rfc7523#section-2.1>
const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

/// A token endpoint of OAuth 2.0 (RFC 6749, section 3.2), and the access token that it gives. The
/// host keeps that, as a secret, until shortly before its end; all instances of the channel share
/// it. When the provider refuses one, [`forget`](super::forget) it and answer "retry".
///
/// ```no_run
/// # fn example() -> Result<(), conductor_sdk::SendError> {
/// use conductor_sdk::{http, secrets::TokenServer};
///
/// let server = TokenServer {
///     provider: "Chat",
///     url: "https://login.chat.example/oauth/token".to_owned(),
///     keep_as: "ACCESS_TOKEN",
/// };
/// let token = server.token_for_client("my-app", "CLIENT_SECRET", "messages.write")?;
/// let request = http::post("https://api.chat.example/messages").bearer(&token);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenServer<'a> {
    /// Whose it is, for the details of outcomes.
    pub provider: &'a str,
    /// The endpoint, absolute.
    pub url: String,
    /// The name of the secret that the access token is kept as.
    pub keep_as: &'a str,
}

/// A success (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default)]
    expires_in: u64,
}

impl TokenServer<'_> {
    /// What stands for an access token that is given for a signed assertion (RFC 7523): the kept
    /// one, else a new one.
    ///
    /// # Errors
    /// Misconfigured when the assertion cannot be signed or the server refuses it; to be tried again
    /// when the server cannot answer.
    pub fn token_for_assertion(&self, assertion: &Jwt) -> Result<String, SendError> {
        match kept(self.keep_as) {
            Some(token) => Ok(token),
            None => self.ask(&[
                ("grant_type", JWT_BEARER),
                ("assertion", assertion.placeholder()?.as_str()),
            ]),
        }
    }

    /// The same for a client's own credential (RFC 6749, section 4.4): its id, the name of the secret
    /// that its secret is, and what the token is for.
    ///
    /// # Errors
    /// As [`token_for_assertion`](Self::token_for_assertion).
    pub fn token_for_client(
        &self,
        id: &str,
        secret: &str,
        scope: &str,
    ) -> Result<String, SendError> {
        match kept(self.keep_as) {
            Some(token) => Ok(token),
            None => self.ask(&[
                ("grant_type", "client_credentials"),
                ("client_id", id),
                ("client_secret", placeholder(secret)?.as_str()),
                ("scope", scope),
            ]),
        }
    }

    fn ask(&self, form: &[(&str, &str)]) -> Result<String, SendError> {
        // Nothing is delivered by asking for a token.
        let answer = http::post(&self.url).form(form).fetch().map_err(HttpError::repeatable)?;
        let answer = answer.success_or(|response| self.outcome(response))?;
        let granted: Granted = answer.json().map_err(|error| {
            let detail = format!("{} gave no access token: {error}", self.provider);
            SendError::retry("no_access_token", detail)
        })?;
        let life = Duration::from_secs(granted.expires_in).saturating_sub(RENEW_BEFORE_END);
        // Once at least: a life that is not told is a token for this message.
        let life = life.max(Duration::from_secs(1));
        Ok(keep(self.keep_as, &granted.access_token, life)?)
    }

    /// What a refusal means (RFC 6749, section 5.2): the credential is wrong, unless time helps.
    fn outcome(&self, response: &Response) -> SendError {
        let refusal = response.refusal_at(self.provider, "/error", &["/error_description"]);
        match response.status {
            408 | 425 | 429 | 500..=599 => refusal.retry(RetryScope::Credential, None),
            _ => refusal.misconfigured(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        json,
        secrets::forget,
        testing::{FakeHost, answer, jwt_placeholder, placeholder},
    };

    fn server() -> TokenServer<'static> {
        let url = "https://login.example/token".to_owned();
        TokenServer { provider: "Chat", url, keep_as: "ACCESS_TOKEN" }
    }

    fn for_client() -> Result<String, SendError> {
        server().token_for_client("me", "CLIENT_SECRET", "a b")
    }

    #[test]
    fn a_client_gets_a_token_once_until_it_is_forgotten() {
        let host = FakeHost::install();
        let granted = answer(200).json(&json!({ "access_token": "t", "expires_in": 3_600 }));
        host.secret("CLIENT_SECRET", "hush").answer(granted.clone()).answer(granted);
        let token = for_client().unwrap();
        assert_eq!(token, placeholder("ACCESS_TOKEN"));
        assert_eq!(for_client().unwrap(), token);
        let [request] = host.requests().try_into().unwrap();
        assert_eq!(request.url, "https://login.example/token");
        let secret = placeholder("CLIENT_SECRET");
        let form = format!(
            "grant_type=client_credentials&client_id=me&client_secret={secret}&scope=a%20b"
        );
        assert_eq!(request.text(), form);
        forget("ACCESS_TOKEN");
        for_client().unwrap();
        assert_eq!(host.requests().len(), 2);
    }

    #[test]
    fn an_assertion_gets_a_token() {
        let host = FakeHost::install();
        host.secret("KEY", "pem").answer(answer(200).json(&json!({ "access_token": "t" })));
        let assertion = Jwt::rs256("KEY").claim("iss", "me");
        assert!(server().token_for_assertion(&assertion).is_ok());
        let text = host.requests()[0].text();
        assert!(text.ends_with(&format!("&assertion={}", jwt_placeholder("KEY"))), "{text}");
        assert!(text.starts_with("grant_type=urn%3Aietf%3Aparams%3Aoauth%3A"), "{text}");
    }

    #[test]
    fn a_refusal_is_the_credentials_unless_time_helps() {
        let host = FakeHost::install();
        let refusal = json!({ "error": "invalid_client", "error_description": "no such client" });
        host.secret("CLIENT_SECRET", "hush")
            .answer(answer(401).json(&refusal))
            .answer(answer(503))
            .answer(answer(200).body("<html>"))
            .fail(HttpError::NoAnswer("timed out".to_owned()));
        let wrong = SendError::misconfigured("invalid_client", "Chat: no such client");
        assert_eq!(for_client(), Err(wrong));
        for code in ["http_503", "no_access_token", "no_answer"] {
            let Err(SendError::Retry(retry)) = for_client() else { panic!("{code}") };
            assert_eq!(retry.problem.code, code);
        }
    }
}
