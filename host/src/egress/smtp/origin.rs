//! A mail server's place, in the form in which it is compared with what is asked for and granted.

use std::fmt;

use reqwest::Url;

use super::super::{HostPattern, pattern::Match};

/// A host in normal form, a port, and whether there is TLS.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::egress) struct Origin {
    pub(super) host: String,
    pub(super) port: u16,
    plaintext: bool,
}

impl Origin {
    /// None when `host` is no name and no address.
    pub(in crate::egress) fn new(host: &str, port: u16, plaintext: bool) -> Option<Self> {
        let host = normal_host(host)?;
        (port != 0).then_some(Self { host, port, plaintext })
    }

    pub(in crate::egress) fn is_covered_by(&self, pattern: &HostPattern) -> bool {
        self.compare(pattern) == Match::Whole
    }

    /// How far the pattern covers it.
    pub(in crate::egress) fn compare(&self, pattern: &HostPattern) -> Match {
        let scheme = if self.plaintext { "smtp+plaintext" } else { "smtp" };
        pattern.compare_parts(scheme, &self.host, Some(self.port))
    }

    /// The host without the brackets of an IPv6 address.
    pub(super) fn bare_host(&self) -> &str {
        let inside = self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inside.unwrap_or(&self.host)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.plaintext { "smtp+plaintext" } else { "smtp" };
        write!(formatter, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// In lower case, in punycode, odd spellings of addresses as plain ones, IPv6 in brackets: as a
/// [`HostPattern`] has it.
pub(super) fn normal_host(host: &str) -> Option<String> {
    let is_v6 = host.parse::<std::net::Ipv6Addr>().is_ok();
    // What ends a host in a URL, or begins before it; and what a URL is cleaned of.
    if host.is_empty()
        || host.chars().any(|char| char.is_control() || char.is_whitespace())
        || (!is_v6 && host.contains([':', '/', '?', '#', '@', '\\', '[', ']', '%']))
    {
        return None;
    }
    let bracketed = if is_v6 { format!("[{host}]") } else { host.to_owned() };
    let url = Url::parse(&format!("https://{bracketed}/")).ok()?;
    url.host_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_form() {
        for (written, normal) in [
            ("Mail.Example", "mail.example"),
            ("bücher.example", "xn--bcher-kva.example"),
            ("0x7f.1", "127.0.0.1"),
            ("::1", "[::1]"),
            ("0:0::1", "[::1]"),
        ] {
            assert_eq!(normal_host(written).as_deref(), Some(normal));
        }
        for bad in ["", "a b", "a:25", "a/b", "u@h", "[::1]", "a%62", "a\r\nb", "1.2.3.4.5.6"] {
            assert_eq!(normal_host(bad), None, "{bad}");
        }
        assert_eq!(Origin::new("a.example", 0, false), None);
        assert_eq!(Origin::new("::1", 25, true).unwrap().to_string(), "smtp+plaintext://[::1]:25");
        assert_eq!(Origin::new("::1", 25, true).unwrap().bare_host(), "::1");
    }
}
