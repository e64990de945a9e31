//! One entry of a host list: which origins it covers. Parsed once; what does not parse does not
//! load.

use std::{fmt, str::FromStr};

use reqwest::Url;

/// An origin or a set of origins: `https://discord.com`, `https://*.example.com`,
/// `http://127.0.0.1:8080`, `https://*`; for websockets `wss://gateway.discord.gg`.
///
/// A pattern without a port covers the scheme's own port only (443 or 80); `:*` covers all. A
/// wildcard stands for one or more whole labels in front of the rest, never for a part of one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct HostPattern {
    scheme: Scheme,
    host: Host,
    port: Port,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Scheme {
    Http,
    Https,
    Ws,
    Wss,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    const fn usual_port(self) -> u16 {
        match self {
            Self::Http | Self::Ws => 80,
            Self::Https | Self::Wss => 443,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Host {
    Any,
    /// Everything under `.suffix`; kept with the leading dot.
    Under(String),
    Exactly(String),
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Port {
    Any,
    Exactly(u16),
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{found}\" is not an origin: {why}; write for example \"https://discord.com\", \
     \"https://*.example.com\" or \"http://127.0.0.1:8080\""
)]
pub struct HostPatternError {
    found: String,
    why: &'static str,
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        parse(text).map_err(|why| HostPatternError { found: text.chars().take(200).collect(), why })
    }
}

fn parse(text: &str) -> Result<HostPattern, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("wss", rest)) => (Scheme::Wss, rest),
        Some(("ws", rest)) => (Scheme::Ws, rest),
        Some(_) => return Err("only the schemes https, http, wss and ws are known"),
        None => return Err("the scheme is missing"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#', '@']) {
        return Err("a path, a query or a user name does not belong to it");
    }
    let (host, any_port) = match rest.strip_suffix(":*") {
        Some(host) => (host, true),
        None => (rest, false),
    };
    let (wild, host) = match host.strip_prefix('*') {
        Some(after) => (true, after),
        None => (false, host),
    };
    // The URL parser knows ports, IPv6 brackets, punycode and the odd spellings of IPv4 addresses.
    let stand_in = if wild { format!("https://any{host}") } else { format!("https://{host}") };
    let url = Url::parse(&stand_in).map_err(|_| "the host is not valid")?;
    let name = url.host_str().ok_or("the host is missing")?;
    if name.contains('*') {
        return Err("a \"*\" may only stand for whole labels at the beginning");
    }
    let host = match (wild, name.strip_prefix("any")) {
        (false, _) => Host::Exactly(name.to_owned()),
        (true, Some("")) => Host::Any,
        (true, Some(suffix)) if suffix.starts_with('.') && suffix.len() > 1 => {
            Host::Under(suffix.to_owned())
        }
        (true, _) => return Err("a \"*\" may only stand for whole labels at the beginning"),
    };
    let port = match (any_port, url.port()) {
        (true, Some(_)) => return Err("there are two ports"),
        (true, None) => Port::Any,
        // The stand-in is https whatever the pattern's scheme is: an absent port is 443 there.
        (false, Some(port)) => Port::Exactly(port),
        (false, None) if has_port(rest) => Port::Exactly(443),
        (false, None) => Port::Exactly(scheme.usual_port()),
    };
    Ok(HostPattern { scheme, host, port })
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(host, port)| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (!host.contains(':') || host.ends_with(']'))
    })
}

impl HostPattern {
    /// Whether `url` (already parsed, so its host is in normal form) is covered.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        let scheme_ok = url.scheme() == self.scheme.name();
        let port_ok = match self.port {
            Port::Any => true,
            Port::Exactly(port) => url.port_or_known_default() == Some(port),
        };
        let host_ok = url.host_str().is_some_and(|host| match &self.host {
            Host::Any => true,
            Host::Under(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Host::Exactly(name) => host == name,
        });
        scheme_ok && port_ok && host_ok
    }

    /// The pattern that covers just the origin of `url`.
    ///
    /// # Errors
    /// When `url` is no http(s) or ws(s) URL with a host.
    pub fn origin_of(url: &str) -> Result<Self, HostPatternError> {
        let fail = |why| HostPatternError { found: url.chars().take(200).collect(), why };
        let parsed = Url::parse(url).map_err(|_| fail("it is not a URL"))?;
        let origin = parsed.origin();
        if !origin.is_tuple() {
            return Err(fail("it has no host"));
        }
        origin.ascii_serialization().parse()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = (self.scheme.name(), self.scheme.usual_port());
        write!(formatter, "{scheme}://")?;
        match &self.host {
            Host::Any => formatter.write_str("*")?,
            Host::Under(suffix) => write!(formatter, "*{suffix}")?,
            Host::Exactly(name) => formatter.write_str(name)?,
        }
        match self.port {
            Port::Any => formatter.write_str(":*"),
            Port::Exactly(port) if port == usual => Ok(()),
            Port::Exactly(port) => write!(formatter, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(pattern: &str, url: &str) -> bool {
        pattern.parse::<HostPattern>().unwrap().matches(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_plain_origin_covers_itself_and_nothing_else() {
        assert!(covers("https://discord.com", "https://discord.com/api/v10?x=1"));
        assert!(covers("https://discord.com/", "https://DISCORD.com:443/"));
        assert!(!covers("https://discord.com", "http://discord.com/"));
        assert!(!covers("https://discord.com", "https://discord.com:8443/"));
        assert!(!covers("https://discord.com", "https://evil-discord.com/"));
        assert!(!covers("https://discord.com", "https://discord.com.evil.example/"));
        assert!(!covers("https://discord.com", "https://discord.com@evil.example/"));
    }

    #[test]
    fn a_wildcard_stands_for_whole_labels() {
        assert!(covers("https://*.example.com", "https://a.example.com/"));
        assert!(covers("https://*.example.com", "https://a.b.example.com/"));
        assert!(!covers("https://*.example.com", "https://example.com/"));
        assert!(!covers("https://*.example.com", "https://notexample.com/"));
        assert!(covers("https://*", "https://anything.example/"));
        assert!(!covers("https://*", "https://anything.example:8443/"));
        assert!(covers("https://*:*", "https://anything.example:8443/"));
        assert!(!covers("https://*", "http://anything.example/"));
        assert!(covers("wss://gateway.example", "wss://gateway.example/?v=10"));
        assert!(!covers("https://gateway.example", "wss://gateway.example/"));
        assert!(!covers("wss://gateway.example", "ws://gateway.example/"));
    }

    #[test]
    fn ports_and_addresses_are_compared_in_normal_form() {
        assert!(covers("http://127.0.0.1:8080", "http://127.0.0.1:8080/x"));
        assert!(covers("http://127.0.0.1:8080", "http://2130706433:8080/x"));
        assert!(covers("http://127.0.0.1:*", "http://127.0.0.1:1/x"));
        assert!(covers("http://h:443", "http://h:443/"));
        assert!(!covers("http://h:443", "http://h/"));
        assert!(covers("http://[::1]:9", "http://[0:0::1]:9/"));
    }

    #[test]
    fn what_is_no_origin_does_not_parse() {
        for bad in [
            "",
            "discord.com",
            "ftp://x",
            "https://",
            "https://a/b",
            "https://u@h",
            "https://a*b.c",
            "https://*b.c",
            "https://a.*",
            "https://h:99999",
            "https://h:1:*",
        ] {
            assert!(bad.parse::<HostPattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_is_written_as_it_was_read() {
        for text in
            ["https://discord.com", "https://*.example.com", "http://127.0.0.1:8080", "https://*:*"]
        {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
        assert_eq!(
            HostPattern::origin_of("http://localhost:81/api/v10").unwrap().to_string(),
            "http://localhost:81"
        );
        assert!(HostPattern::origin_of("mailto:a@b").is_err());
    }
}
