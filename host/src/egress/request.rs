//! What a guest's request must be before anything is done with it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, Uri, header};
use reqwest::Url;

use super::{
    FetchError,
    denial::{DenialReason, Refused},
};
use crate::limits;

/// Reads a URL as a browser does (odd spellings of addresses become plain ones, other scripts
/// punycode) into the form that a request holds.
///
/// # Errors
/// When it is no URL with a host, or too long. Which schemes may leave is the door's to say, which keeps
/// count of what it refuses.
pub fn parse_url(text: &str) -> Result<Uri, FetchError> {
    check_url_length(text.len())?;
    let url = Url::parse(text).map_err(|_| malformed("the URL is not valid"))?;
    // "f:x@host:1" is a scheme and a path to a browser, and a host with a user to others.
    if url.host_str().is_none_or(str::is_empty) {
        return Err(malformed("the URL has no host").into());
    }
    let uri = url.as_str().parse();
    uri.map_err(|_| FetchError::Invalid(String::from("the URL is not valid")))
}

/// A guest's request, checked.
pub(super) struct Checked {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Checked {
    pub(super) fn new(request: Request<Bytes>) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        let url = check_url(&parts.uri)?;
        // CONNECT makes a tunnel of the connection; TRACE has the provider repeat the request with
        // its secrets.
        if matches!(parts.method, Method::CONNECT | Method::TRACE) {
            return Err(Refused::invalid(
                DenialReason::Method,
                "the methods CONNECT and TRACE are not allowed",
            ));
        }
        check_headers(&parts.headers)?;
        if body.len() > limits::EGRESS_REQUEST_BYTES_MAX {
            return Err(too_large(format!(
                "the request's body has {} bytes and the host sends {} at most",
                body.len(),
                limits::EGRESS_REQUEST_BYTES_MAX
            )));
        }
        Ok(Self { method: parts.method, url, headers: parts.headers, body })
    }
}

fn check_url(uri: &Uri) -> Result<Url, Refused> {
    let text = uri.to_string();
    check_url_length(text.len())?;
    let mut url = Url::parse(&text).map_err(|_| malformed("the URL is not valid"))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(Refused::invalid(
            DenialReason::Scheme,
            "the URL does not begin with https:// or http:// and a host",
        ));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed(
            "the URL has a user name or a password: use an authorization header (basic-auth)",
        ));
    }
    url.set_fragment(None);
    Ok(url)
}

/// The URL of a websocket.
pub(super) fn check_socket_url(text: &str) -> Result<Url, Refused> {
    check_url_length(text.len())?;
    let mut url = Url::parse(text).map_err(|_| malformed("the URL is not valid"))?;
    if !matches!(url.scheme(), "wss" | "ws") || !url.has_host() {
        return Err(malformed("the URL does not begin with wss:// or ws:// and a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(malformed(
            "the URL has a user name or a password: use an authorization header",
        ));
    }
    url.set_fragment(None);
    Ok(url)
}

fn check_url_length(bytes: usize) -> Result<(), Refused> {
    if bytes <= limits::EGRESS_URL_BYTES_MAX {
        return Ok(());
    }
    Err(too_large(format!(
        "the URL has {bytes} bytes and the host takes {} at most",
        limits::EGRESS_URL_BYTES_MAX
    )))
}

/// Also after secrets were put in.
pub(super) fn check_sizes(url: &Url, headers: &HeaderMap) -> Result<(), Refused> {
    check_url_length(url.as_str().len())?;
    check_header_bytes(headers)
}

pub(super) fn check_headers(headers: &HeaderMap) -> Result<(), Refused> {
    if let Some(name) = headers.keys().find(|name| is_forbidden(name)) {
        return Err(Refused::invalid(
            DenialReason::Header,
            format!("the header \"{name}\" is the host's to set"),
        ));
    }
    check_header_bytes(headers)
}

fn check_header_bytes(headers: &HeaderMap) -> Result<(), Refused> {
    let bytes = header_bytes(headers);
    if bytes <= limits::EGRESS_HEADER_BYTES_MAX {
        return Ok(());
    }
    Err(too_large(format!(
        "the request's headers have {bytes} bytes and the host sends {} at most",
        limits::EGRESS_HEADER_BYTES_MAX
    )))
}

/// Names and values, with what separates them on the wire.
pub(super) fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Headers that say how the message is framed, or whom the connection belongs to. A guest that could
/// set them could say one thing to the host and another to the provider.
fn is_forbidden(name: &HeaderName) -> bool {
    *name == header::HOST
        || *name == header::CONTENT_LENGTH
        || *name == header::EXPECT
        || is_hop(name)
}

/// Headers about one connection, not about the message.
pub(super) fn is_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "transfer-encoding" | "connection" | "keep-alive" | "upgrade" | "te" | "trailer"
    ) || name.as_str().starts_with("proxy-")
        || name == "http2-settings"
}

fn malformed(text: &str) -> Refused {
    Refused::invalid(DenialReason::Malformed, text)
}

fn too_large(text: String) -> Refused {
    Refused::invalid(DenialReason::Size, text)
}
