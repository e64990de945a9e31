//! Errors as RFC 9457 problem details: the only shape in which this API says no.

use std::borrow::Cow;

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Map, Value};

/// One kind of problem. The slug is stable: clients branch on `type`, people read the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    /// Last part of the `type` URI, `/problems/{slug}`.
    pub slug: &'static str,
    /// The same for every occurrence.
    pub title: &'static str,
    /// The status it is answered with.
    pub status: StatusCode,
}

/// One place in the request that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldError {
    /// Where.
    pub place: Place,
    /// What was found and what was expected.
    pub detail: String,
}

/// Where in the request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A JSON pointer (RFC 6901) into the body.
    Pointer(String),
    /// The name of a query parameter.
    Parameter(String),
    /// The name of a header.
    Header(&'static str),
}

impl FieldError {
    /// An error in the body.
    #[must_use]
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { place: Place::Pointer(pointer.into()), detail: detail.into() }
    }

    /// An error in the query.
    #[must_use]
    pub fn parameter(name: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Parameter(String::from(name)), detail: detail.into() }
    }

    /// An error in a header.
    #[must_use]
    pub fn header(name: &'static str, detail: impl Into<String>) -> Self {
        Self { place: Place::Header(name), detail: detail.into() }
    }

    fn to_json(&self) -> Value {
        let (key, place) = match &self.place {
            Place::Pointer(pointer) => ("pointer", pointer.as_str()),
            Place::Parameter(name) => ("parameter", name.as_str()),
            Place::Header(name) => ("header", *name),
        };
        let mut object = Map::new();
        object.insert(String::from(key), Value::from(place));
        object.insert(String::from("detail"), Value::from(self.detail.as_str()));
        Value::Object(object)
    }
}

/// An answer that says no. Boxed, because every handler returns one in its `Result`.
#[derive(Clone, Debug)]
pub struct Problem(Box<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<FieldError>,
    extensions: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// The status it is answered with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.kind.status
    }

    /// A problem with one sentence about this occurrence. No secret, nothing of other tenants.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Map::new(),
            headers: Vec::new(),
        }))
    }

    /// Which kind it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Adds the places that are wrong.
    #[must_use]
    pub fn errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    /// Adds a member of its own.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.extensions.insert(String::from(name), value.into());
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.push((name, value));
        self
    }

    /// Says when to come back: whole seconds, rounded up, one at least.
    #[must_use]
    pub fn retry_after(self, after: std::time::Duration) -> Self {
        let seconds = after.as_millis().div_ceil(1_000).max(1);
        let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
        self.header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The body.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let inner = &self.0;
        let mut object = inner.extensions.clone();
        let mut put = |name: &str, value: Value| drop(object.insert(String::from(name), value));
        put("type", Value::from(format!("/problems/{}", inner.kind.slug)));
        put("title", Value::from(inner.kind.title));
        put("status", Value::from(inner.kind.status.as_u16()));
        put("detail", Value::from(inner.detail.as_ref()));
        if !inner.errors.is_empty() {
            put("errors", inner.errors.iter().map(FieldError::to_json).collect());
        }
        Value::Object(object)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let mut response = Response::new(Body::from(self.to_json().to_string()));
        *response.status_mut() = self.0.kind.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.extend(self.0.headers);
        response
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::api::kinds;

    #[test]
    fn a_problem_carries_the_members_of_rfc_9457_and_its_own() {
        let problem = Problem::new(kinds::INVALID_REQUEST, "Two fields are wrong.")
            .errors(vec![
                FieldError::at("/message", "is missing"),
                FieldError::parameter("limit", "is not a number"),
            ])
            .with("id", "x");
        assert_eq!(
            problem.to_json(),
            serde_json::json!({
                "type": "/problems/invalid-request",
                "title": "The request is not valid",
                "status": 400,
                "detail": "Two fields are wrong.",
                "id": "x",
                "errors": [
                    {"pointer": "/message", "detail": "is missing"},
                    {"parameter": "limit", "detail": "is not a number"},
                ],
            })
        );
    }

    #[test]
    fn retry_after_is_rounded_up_to_whole_seconds() {
        for (after_ms, seconds) in [(0, "1"), (1, "1"), (1_000, "1"), (1_001, "2")] {
            let response = Problem::new(kinds::RATE_LIMITED, "")
                .retry_after(Duration::from_millis(after_ms))
                .into_response();
            assert_eq!(response.headers()[header::RETRY_AFTER], seconds, "{after_ms}");
        }
    }
}
