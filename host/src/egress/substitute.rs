//! Puts secrets into a request that is about to leave. One pass over each part: what a secret's value
//! looks like is never read again, so a value that contains a placeholder stays what it is.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use reqwest::Url;

use super::{
    FetchError,
    denial::{DenialReason, Refused},
    escape::{self, Escape},
    policy::origin_text,
    secrets::{Entry, PLACEHOLDER_BYTES, Vault},
};
use crate::limits;

/// Replaces the placeholders in all parts of a request to `url`.
///
/// # Errors
/// A denial as [`FetchError::SecretDenied`] when a secret is not granted for the origin of `url`,
/// [`FetchError::Invalid`] when it does not fit its place or the result is too large.
pub(super) fn substitute(
    vault: &Vault,
    url: &mut Url,
    headers: &mut HeaderMap,
    body: &mut Bytes,
) -> Result<(), Refused> {
    // The origin decides; only path and query change below.
    let job = Job { vault, to: url.clone() };
    job.in_url(url)?;
    job.in_headers(headers)?;
    let escape = body_escape(headers.get(header::CONTENT_TYPE));
    if let Some(changed) = job.replace(body, escape, limits::EGRESS_REQUEST_BYTES_MAX, "body")? {
        *body = Bytes::from(changed);
    }
    Ok(())
}

struct Job<'a> {
    vault: &'a Vault,
    to: Url,
}

impl Job<'_> {
    fn in_url(&self, url: &mut Url) -> Result<(), Refused> {
        let bytes_max = limits::EGRESS_URL_BYTES_MAX;
        let path = self.replace(url.path().as_bytes(), escape::path, bytes_max, "URL")?;
        if let Some(path) = path {
            url.set_path(&text(path)?);
        }
        let query = url.query().unwrap_or_default().as_bytes();
        let query = self.replace(query, escape::component, bytes_max, "URL")?;
        if let Some(query) = query {
            url.set_query(Some(&text(query)?));
        }
        Ok(())
    }

    fn in_headers(&self, headers: &mut HeaderMap) -> Result<(), Refused> {
        for (name, value) in headers.iter_mut() {
            let bytes_max = limits::EGRESS_HEADER_BYTES_MAX;
            let changed = self.replace(value.as_bytes(), escape::raw, bytes_max, "header")?;
            let Some(changed) = changed else { continue };
            let mut changed = HeaderValue::from_bytes(&changed).map_err(|_| {
                Refused::invalid(
                    DenialReason::Header,
                    format!(
                        "a secret in the header \"{name}\" has a character that no header can have \
                         (a line break at its end?)"
                    ),
                )
            })?;
            // Keeps it out of debug output and of HTTP/2's header compression.
            changed.set_sensitive(true);
            *value = changed;
        }
        Ok(())
    }

    /// `bytes` with its placeholders replaced; none when there are none.
    fn replace(
        &self,
        bytes: &[u8],
        escape: Escape,
        bytes_max: usize,
        place: &str,
    ) -> Result<Option<Vec<u8>>, Refused> {
        let mut rest = bytes;
        let mut changed = None;
        while let Some((at, entry)) = self.vault.find(rest) {
            self.check_origin(&entry)?;
            let out = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            let (before, after) = rest.split_at_checked(at).unwrap_or((rest, &[]));
            out.extend_from_slice(before);
            escape(entry.value.expose(), out);
            // Checked at each one: many placeholders of a long secret would grow without end.
            if out.len() > bytes_max {
                return Err(too_large(place, bytes_max));
            }
            rest = after.get(PLACEHOLDER_BYTES..).unwrap_or_default();
        }
        let Some(mut out) = changed else { return Ok(None) };
        out.extend_from_slice(rest);
        if out.len() > bytes_max {
            return Err(too_large(place, bytes_max));
        }
        Ok(Some(out))
    }

    fn check_origin(&self, entry: &Entry) -> Result<(), Refused> {
        if entry.hosts.iter().any(|pattern| pattern.matches(&self.to)) {
            return Ok(());
        }
        let Entry { name, .. } = entry;
        let error = FetchError::SecretDenied(format!(
            "the secret \"{name}\" may not be sent to {} (plugins.toml, [plugin.grants.secrets])",
            origin_text(&self.to)
        ));
        let secret = Some(name.clone());
        Err(Refused { secret, ..Refused::new(DenialReason::Secret, error) })
    }
}

fn too_large(place: &str, bytes_max: usize) -> Refused {
    Refused::invalid(
        DenialReason::Size,
        format!("with its secrets, the request's {place} is larger than {bytes_max} bytes"),
    )
}

fn text(bytes: Vec<u8>) -> Result<String, Refused> {
    // Cannot happen: a URL is ASCII and so is what was put in.
    String::from_utf8(bytes)
        .map_err(|_| Refused::invalid(DenialReason::Malformed, "the URL is not UTF-8"))
}

fn body_escape(content_type: Option<&HeaderValue>) -> Escape {
    let essence = content_type
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default();
    match essence.as_str() {
        "application/x-www-form-urlencoded" => escape::component,
        "application/json" => escape::json,
        other if other.ends_with("+json") => escape::json,
        _ => escape::raw,
    }
}
