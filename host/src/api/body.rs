//! Reading a body: its type, its size and its pace, before a byte of it is parsed.

use std::pin::pin;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, header},
};
use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use super::{kinds, problem::Problem};
use crate::limits::REQUEST_BODY_TIMEOUT;

/// Reads at most `bytes_max` bytes that say to be JSON.
///
/// # Errors
/// 415, 413, 408 or 400.
pub(super) async fn read_json(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, Problem> {
    check_media_type(headers)?;
    check_announced_length(headers, bytes_max)?;
    let mut collected = pin!(Limited::new(body, bytes_max).collect());
    // A small body has come with the head, and needs no clock.
    let arrived = match collected.as_mut().now_or_never() {
        Some(arrived) => Ok(arrived),
        None => tokio::time::timeout(REQUEST_BODY_TIMEOUT, collected).await,
    };
    match arrived {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if is_length_limit(error.as_ref()) => Err(too_large(bytes_max, None)),
        Ok(Err(_)) => Err(Problem::new(
            kinds::MALFORMED_JSON,
            "The body could not be read to its end: the connection broke.",
        )),
        Err(_) => Err(Problem::new(
            kinds::BODY_TIMEOUT,
            format!("The body did not arrive within {} s.", REQUEST_BODY_TIMEOUT.as_secs()),
        )),
    }
}

fn is_length_limit(error: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    error.is::<LengthLimitError>()
        || error.source().is_some_and(|source| source.is::<LengthLimitError>())
}

fn check_announced_length(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<usize>().ok());
    match announced {
        Some(length) if length > bytes_max => Err(too_large(bytes_max, Some(length))),
        _ => Ok(()),
    }
}

fn too_large(bytes_max: usize, length: Option<usize>) -> Problem {
    let found = length.map_or_else(|| String::from("more"), |length| format!("{length} bytes"));
    Problem::new(
        kinds::BODY_TOO_LARGE,
        format!("The body may have {bytes_max} bytes and has {found}."),
    )
    .with("bytesMax", bytes_max)
    // What is left of the body is not read, so the connection cannot be used again.
    .header(header::CONNECTION, HeaderValue::from_static("close"))
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    // The usual spelling first: this is on the path of every notification.
    if found == Some(b"application/json") {
        return Ok(());
    }
    let text = found.and_then(|value| std::str::from_utf8(value).ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_json = essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    let charset_ok = text.split(';').skip(1).all(|parameter| {
        let parameter = parameter.trim().to_ascii_lowercase();
        !parameter.starts_with("charset=")
            || matches!(
                parameter.trim_start_matches("charset=").trim_matches('"'),
                "utf-8" | "utf8"
            )
    });
    if is_json && charset_ok {
        return Ok(());
    }
    let found = if essence.is_empty() { "no Content-Type" } else { text };
    Err(Problem::new(
        kinds::UNSUPPORTED_MEDIA_TYPE,
        format!(
            "Found {}; send \"Content-Type: application/json\" in UTF-8.",
            super::json::shorten(found)
        ),
    )
    .header(header::ACCEPT, HeaderValue::from_static("application/json")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_type(value: &str) -> Result<(), Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
        check_media_type(&headers)
    }

    #[test]
    fn json_is_recognised_in_every_spelling_and_nothing_else_is() {
        for good in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;charset=\"UTF-8\"",
            "application/cloudevents+json",
        ] {
            assert!(with_type(good).is_ok(), "{good}");
        }
        for bad in ["text/plain", "text/json", "application/json; charset=latin1", ""] {
            assert!(with_type(bad).is_err(), "{bad}");
        }
        assert!(check_media_type(&HeaderMap::new()).is_err());
    }

    #[tokio::test]
    async fn a_body_is_refused_by_its_announced_and_by_its_real_length() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        let read = |headers: HeaderMap, text: &'static str| async move {
            read_json(&headers, Body::from(text), 4).await
        };
        assert_eq!(read(headers.clone(), "1234").await.unwrap(), "1234");
        assert_eq!(read(headers.clone(), "12345").await.unwrap_err().kind(), kinds::BODY_TOO_LARGE);
        headers.insert(header::CONTENT_LENGTH, 5.into());
        assert_eq!(read(headers, "").await.unwrap_err().kind(), kinds::BODY_TOO_LARGE);
    }
}
