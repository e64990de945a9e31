//! A client that keeps of an answer all that a test can ask about.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    /// Null if the body is no JSON.
    pub(crate) json: Value,
}

impl Answer {
    /// A header, "" if it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of the notification.
    pub(crate) fn id(&self) -> String {
        self.json["id"].as_str().unwrap_or_else(|| panic!("no id in {self:?}")).to_owned()
    }

    /// Fails unless this is a problem (RFC 9457) of this status and kind.
    #[track_caller]
    pub(crate) fn assert_problem(&self, status: u16, kind: &str) -> &Self {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        assert_eq!(self.json["type"], format!("/problems/{kind}"), "{self:?}");
        assert_eq!(self.json["status"], status, "{self:?}");
        for member in ["title", "detail"] {
            assert!(!self.json[member].as_str().unwrap().is_empty(), "{self:?}");
        }
        self
    }

    /// The places that a problem names.
    pub(crate) fn pointers(&self) -> Vec<&str> {
        let errors = self.json["errors"].as_array().map_or(&[][..], Vec::as_slice);
        errors.iter().filter_map(|error| error["pointer"].as_str()).collect()
    }
}

/// A call, to be sent.
#[derive(Debug)]
#[must_use]
pub(crate) struct Call(reqwest::RequestBuilder);

impl Call {
    pub(super) fn new(client: &reqwest::Client, method: &str, url: &str) -> Self {
        Self(client.request(method.parse().unwrap(), url))
    }

    /// With a tenant's key.
    pub(crate) fn key(self, key: &str) -> Self {
        Self(self.0.bearer_auth(key))
    }

    /// With a header.
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self(self.0.header(name, value))
    }

    /// With a body of JSON.
    pub(crate) fn json(self, body: &Value) -> Self {
        self.raw(body.to_string())
    }

    /// With a body that says to be JSON.
    pub(crate) fn raw(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.header("content-type", "application/json").body(body))
    }

    /// With a body that says nothing about itself.
    pub(crate) fn untyped(self, body: impl Into<reqwest::Body>) -> Self {
        Self(self.0.body(body))
    }

    /// Sends it.
    pub(crate) async fn send(self) -> Answer {
        self.try_send().await.unwrap()
    }

    /// Sends it, and leaves the body to be read piece by piece.
    pub(crate) async fn open(self) -> reqwest::Response {
        self.0.send().await.unwrap()
    }

    /// Sends it; there may be nobody there.
    pub(crate) async fn try_send(self) -> reqwest::Result<Answer> {
        let response = self.0.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, headers, text, json })
    }
}

pub(super) fn client() -> reqwest::Client {
    // All tests of a process would install the same.
    let _first = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(60)).build().unwrap()
}
