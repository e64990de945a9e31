//! Types for options that many channels have.

use std::{borrow::Cow, fmt};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de::Error};

/// The URL of a server or of its API: `http` or `https`, with a path or without, never with a user,
/// a query or a fragment. It is written without a slash at its end; one that is given is removed.
///
/// ```
/// use conductor_sdk::options::BaseUrl;
///
/// let url: BaseUrl = conductor_sdk::serde_json::from_str("\"https://chat.example/\"").unwrap();
/// assert_eq!(format!("{url}/api/v1"), "https://chat.example/api/v1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

impl BaseUrl {
    /// For a default. What is not a base URL is found when a request is made to it.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self(url.trim_end_matches('/').to_owned())
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl serde::Serialize for BaseUrl {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for BaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let url = String::deserialize(deserializer)?;
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let is_right = rest.is_some_and(|rest| {
            !rest.is_empty()
                && !rest.starts_with('/')
                && !rest.contains(|c: char| c.is_whitespace() || matches!(c, '?' | '#' | '@'))
        });
        if is_right {
            return Ok(Self::new(&url));
        }
        // Not the text itself: a credential may stand in it.
        Err(D::Error::custom(
            "expected a URL like \"https://chat.example\", without user, query and fragment",
        ))
    }
}

impl JsonSchema for BaseUrl {
    fn schema_name() -> Cow<'static, str> {
        "BaseUrl".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^https?://[^/\\s?#@][^\\s?#@]*$" })
    }
}

/// Where a provider's API is, in place of its usual address: for a proxy, a region or a test. With
/// `#[serde(default)]` the option may be left out.
///
/// ```
/// # use conductor_sdk::{options::ApiBase, serde_json::from_str};
/// let usual = ApiBase::default();
/// assert_eq!(usual.or("https://api.chat.example").to_string(), "https://api.chat.example");
/// let proxy: ApiBase = from_str("\"http://127.0.0.1:8080/\"").unwrap();
/// assert_eq!(proxy.or("https://api.chat.example").to_string(), "http://127.0.0.1:8080");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiBase(Option<BaseUrl>);

impl ApiBase {
    /// The address, where `usual` is the provider's own.
    #[must_use]
    pub fn or(&self, usual: &str) -> BaseUrl {
        self.0.clone().unwrap_or_else(|| BaseUrl::new(usual))
    }
}

impl<'de> Deserialize<'de> for ApiBase {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BaseUrl::deserialize(deserializer).map(|url| Self(Some(url)))
    }
}

impl JsonSchema for ApiBase {
    fn schema_name() -> Cow<'static, str> {
        "ApiBase".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        BaseUrl::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_a_server_and_a_path_alone() {
        let read = |url: &str| serde_json::from_value::<BaseUrl>(url.into()).ok();
        let text = |url: &str| read(url).map(|url| url.to_string());
        assert_eq!(text("https://a.example//").as_deref(), Some("https://a.example"));
        assert_eq!(text("http://127.0.0.1:80/api").as_deref(), Some("http://127.0.0.1:80/api"));
        for bad in
            ["", "a.example", "ftp://a", "https://", "https:///x", "https://u@a", "https://a?b"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert!(read("https://a/#b").is_none() && read("https://a b").is_none());
    }
}
