//! Single values of a tenant: slug, domains, ports, origins of browsers.

use std::sync::Arc;

use reqwest::Url;

use crate::{
    config::{
        fields::Fields,
        findings::{At, Findings},
    },
    ids::{NAME_BYTES_MAX, TenantId},
};

/// The variable that a tenant's key stands in when this program chooses the name.
pub(in crate::config) fn key_variable(id: TenantId) -> String {
    format!("TENANT_{}_AUTHKEY", id.to_string().replace('-', "_").to_uppercase())
}

/// A UUID.
pub(super) fn tenant_id(key: &str, text: &At<&str>, findings: &mut Findings) -> Option<TenantId> {
    // In full with hyphens: the other spellings would make one tenant look like two.
    let id = text.value.parse::<TenantId>().ok().filter(|_| text.value.len() == 36);
    if id.is_none() {
        let found: String = text.value.chars().take(50).collect();
        findings.wrong(
            &text.origin,
            format!(
                "{key}: \"{found}\" is not a UUID; write 36 characters like \
                 \"0198c0de-0000-7000-8000-000000000001\""
            ),
        );
    }
    id
}

/// The slug: as written, or made from the name.
pub(super) fn slug(
    entry: &Fields<'_>,
    name: Option<&str>,
    findings: &mut Findings,
) -> Option<At<Arc<str>>> {
    if let Some(written) = entry.text("slug", findings) {
        let slug = slug_of(written.value);
        if slug != written.value || slug.is_empty() {
            let found: String = written.value.chars().take(NAME_BYTES_MAX).collect();
            let instead = if slug.is_empty() { "acme" } else { &slug };
            findings.wrong(
                &written.origin,
                format!(
                    "\"{found}\" is not a slug: it has 1 to {NAME_BYTES_MAX} characters from a-z, \
                     0-9 and '-'; write for example \"{instead}\""
                ),
            );
            return None;
        }
        return Some(At { value: Arc::from(slug), origin: written.origin });
    }
    let slug = slug_of(name?);
    let origin = entry.origin_of("name");
    if slug.is_empty() {
        findings
            .wrong(&origin, "no slug can be made from this name; add for example slug = \"acme\"");
        return None;
    }
    Some(At { value: Arc::from(slug), origin })
}

fn slug_of(name: &str) -> String {
    let mut slug = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(NAME_BYTES_MAX);
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}

/// Host names, as a browser would send them.
pub(super) fn domains(entry: &Fields<'_>, findings: &mut Findings) -> Vec<At<Arc<str>>> {
    let mut domains = Vec::new();
    for text in entry.texts("domains", findings).unwrap_or_default() {
        let plain = !text.value.is_empty() && !text.value.contains(['/', '@', '?', '#', '*', ' ']);
        let url = Url::parse(&format!("https://{}", text.value)).ok();
        let host = url.as_ref().filter(|url| plain && url.port().is_none()).and_then(Url::host_str);
        match host.filter(|_| !has_port(text.value)) {
            Some(host) => domains.push(At { value: Arc::from(host), origin: text.origin }),
            None => {
                let found: String = text.value.chars().take(80).collect();
                findings.wrong(
                    &text.origin,
                    format!(
                        "\"{found}\" is not a domain; write only the name, for example \
                         \"notify.example.com\" (ports belong into `ports`)"
                    ),
                );
            }
        }
    }
    domains
}

fn has_port(text: &str) -> bool {
    !text.ends_with(']') && text.contains(':')
}

/// Ports.
pub(super) fn ports(entry: &Fields<'_>, findings: &mut Findings) -> Vec<At<u16>> {
    entry
        .wholes("ports", 1..=u64::from(u16::MAX), findings)
        .into_iter()
        .filter_map(|At { value, origin }| Some(At { value: u16::try_from(value).ok()?, origin }))
        .collect()
}

/// Origins of browsers, as they write them into `Origin`; `*` is all.
pub(super) fn cors(entry: &Fields<'_>, findings: &mut Findings) -> Option<Vec<Arc<str>>> {
    let texts = entry.texts("cors", findings)?;
    let mut origins = Vec::with_capacity(texts.len());
    for text in texts {
        if text.value == "*" {
            origins.push(Arc::from("*"));
            continue;
        }
        let url = Url::parse(text.value).ok();
        let url = url.filter(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.path() == "/"
                && url.query().is_none()
                && url.fragment().is_none()
                && url.username().is_empty()
        });
        match url {
            Some(url) => origins.push(Arc::from(url.origin().ascii_serialization())),
            None => {
                let found: String = text.value.chars().take(80).collect();
                findings.wrong(
                    &text.origin,
                    format!(
                        "cors: \"{found}\" is not an origin; write for example \
                         \"https://app.example.com\", or \"*\" for every one"
                    ),
                );
            }
        }
    }
    Some(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slug_is_made_from_a_name() {
        for (name, slug) in [
            ("Default Tenant", "default-tenant"),
            ("  Ärger & Söhne GmbH. ", "rger-s-hne-gmbh"),
            ("株式会社", ""),
            ("A--b", "a-b"),
        ] {
            assert_eq!(slug_of(name), slug);
        }
        assert_eq!(slug_of(&"ab-".repeat(100)).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn the_key_variable_is_named_after_the_tenant() {
        let id = "0198c0de-0000-7000-8000-00000000000a".parse().unwrap();
        assert_eq!(key_variable(id), "TENANT_0198C0DE_0000_7000_8000_00000000000A_AUTHKEY");
    }
}
