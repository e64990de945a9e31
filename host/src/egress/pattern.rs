//! One entry of a host list: which origins it covers. Parsed once; what does not parse does not
//! load.

use std::{fmt, str::FromStr};

use reqwest::Url;

/// An origin or a set of origins: `https://discord.com`, `https://*.example.com`,
/// `http://127.0.0.1:8080`, `https://*`; for websockets `wss://gateway.discord.gg`.
///
/// A pattern without a port covers the scheme's own port only (443 or 80); `:*` covers all. A
/// wildcard stands for one or more whole labels in front of the rest, never for a part of one.
///
/// Mail servers too: `smtp://smtp.example.com:587` is one with TLS of either kind,
/// `smtp+plaintext://127.0.0.1:25` one without. Neither covers the other, and without a port they
/// cover those of submission, 465 and 587.
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
    Smtp,
    SmtpPlaintext,
    Ws,
    Wss,
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
    /// 465 and 587 (RFC 8314, section 3.3).
    Submission,
    Exactly(u16),
}

/// How far a pattern covers a URL, the least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Match {
    /// Not even the host.
    Not,
    /// The host, by another scheme.
    OtherScheme,
    /// Host and scheme, at another port.
    OtherPort,
    /// All of it.
    Whole,
}

/// Why a text is no host pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{found}\" is not {wanted}: {why}; write for example {example}")]
pub struct HostPatternError {
    found: String,
    why: &'static str,
    wanted: &'static str,
    example: &'static str,
}

impl HostPatternError {
    fn origin(found: &str, why: &'static str) -> Self {
        Self {
            found: found.chars().take(200).collect(),
            why,
            wanted: "an origin",
            example: "\"https://discord.com\", \"https://*.example.com\" or \
                      \"http://127.0.0.1:8080\"",
        }
    }
}

impl FromStr for HostPattern {
    type Err = HostPatternError;

    fn from_str(text: &str) -> Result<Self, HostPatternError> {
        parse(text).map_err(|why| HostPatternError::origin(text, why))
    }
}

fn parse(text: &str) -> Result<HostPattern, &'static str> {
    let (scheme, rest) = match text.split_once("://") {
        Some(("https", rest)) => (Scheme::Https, rest),
        Some(("http", rest)) => (Scheme::Http, rest),
        Some(("smtp", rest)) => (Scheme::Smtp, rest),
        Some(("smtp+plaintext", rest)) => (Scheme::SmtpPlaintext, rest),
        Some(("wss", rest)) => (Scheme::Wss, rest),
        Some(("ws", rest)) => (Scheme::Ws, rest),
        Some(_) => {
            return Err("only the schemes https, http, wss, ws, smtp and smtp+plaintext are known");
        }
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
        (false, None) => scheme.usual_port(),
    };
    Ok(HostPattern { scheme, host, port })
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(host, port)| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && (!host.contains(':') || host.ends_with(']'))
    })
}

impl Scheme {
    const fn word(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Smtp => "smtp",
            Self::SmtpPlaintext => "smtp+plaintext",
            Self::Ws => "ws",
            Self::Wss => "wss",
        }
    }

    /// What an absent port means.
    const fn usual_port(self) -> Port {
        match self {
            Self::Http | Self::Ws => Port::Exactly(80),
            Self::Https | Self::Wss => Port::Exactly(443),
            Self::Smtp | Self::SmtpPlaintext => Port::Submission,
        }
    }
}

impl HostPattern {
    /// Whether `url` (already parsed, so its host is in normal form) is covered.
    #[must_use]
    pub fn matches(&self, url: &Url) -> bool {
        self.compare(url) == Match::Whole
    }

    /// Whether an origin, as a text, is covered.
    #[must_use]
    pub fn covers_origin(&self, origin: &str) -> bool {
        Url::parse(origin).is_ok_and(|url| self.matches(&url))
    }

    /// How far `url` is covered.
    pub(super) fn compare(&self, url: &Url) -> Match {
        let compare = |host| self.compare_parts(url.scheme(), host, url.port_or_known_default());
        url.host_str().map_or(Match::Not, compare)
    }

    /// The same by parts; `host` is in normal form.
    pub(super) fn compare_parts(&self, scheme: &str, host: &str, port: Option<u16>) -> Match {
        let port_ok = match self.port {
            Port::Any => true,
            Port::Submission => matches!(port, Some(465 | 587)),
            Port::Exactly(exactly) => port == Some(exactly),
        };
        let host_ok = match &self.host {
            Host::Any => true,
            Host::Under(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_str()),
            Host::Exactly(name) => host == name,
        };
        match (host_ok, scheme == self.scheme.word(), port_ok) {
            (false, _, _) => Match::Not,
            (true, false, _) => Match::OtherScheme,
            (true, true, false) => Match::OtherPort,
            (true, true, true) => Match::Whole,
        }
    }

    /// A mail server as operators write it: `smtp.example.com:587`, or with its scheme.
    ///
    /// # Errors
    /// When it is none, or the scheme is another one.
    pub fn mail_server(text: &str) -> Result<Self, HostPatternError> {
        let complete = match text.split_once("://") {
            None => format!("smtp://{text}"),
            Some(("smtp" | "smtp+plaintext", _)) => text.to_owned(),
            Some(_) => return Err(not_a_mail_server(text, "the scheme is another one")),
        };
        parse(&complete).map_err(|why| not_a_mail_server(text, why))
    }

    /// The pattern that covers just the origin of `url`.
    ///
    /// # Errors
    /// When `url` is no http(s) or ws(s) URL with a host.
    pub fn origin_of(url: &str) -> Result<Self, HostPatternError> {
        let fail = |why| HostPatternError::origin(url, why);
        let parsed = Url::parse(url).map_err(|_| fail("it is not a URL"))?;
        let origin = parsed.origin();
        // A blob has the origin of the URL inside it, and no host of its own.
        if !origin.is_tuple() || !parsed.has_host() {
            return Err(fail("it has no host"));
        }
        origin.ascii_serialization().parse()
    }
}

fn not_a_mail_server(found: &str, why: &'static str) -> HostPatternError {
    HostPatternError {
        wanted: "a mail server",
        example: "\"smtp.example.com:587\"",
        ..HostPatternError::origin(found, why)
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://", self.scheme.word())?;
        match &self.host {
            Host::Any => formatter.write_str("*")?,
            Host::Under(suffix) => write!(formatter, "*{suffix}")?,
            Host::Exactly(name) => formatter.write_str(name)?,
        }
        match self.port {
            Port::Any => formatter.write_str(":*"),
            usual if usual == self.scheme.usual_port() => Ok(()),
            Port::Submission => Ok(()),
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
    fn a_mail_server_is_covered_with_the_protection_that_was_named() {
        let covers = |pattern: &str, scheme, host, port| {
            HostPattern::mail_server(pattern).unwrap().compare_parts(scheme, host, Some(port))
                == Match::Whole
        };
        assert!(covers("mail.example", "smtp", "mail.example", 587));
        assert!(covers("smtp://mail.example", "smtp", "mail.example", 465));
        assert!(!covers("mail.example", "smtp", "mail.example", 25));
        assert!(covers("mail.example:25", "smtp", "mail.example", 25));
        assert!(covers("*.example:*", "smtp", "mail.example", 25));
        assert!(!covers("mail.example:587", "smtp+plaintext", "mail.example", 587));
        let plaintext = "smtp+plaintext://127.0.0.1:25";
        assert!(covers(plaintext, "smtp+plaintext", "127.0.0.1", 25));
        assert!(!covers(plaintext, "smtp", "127.0.0.1", 25));
        assert!(!covers("mail.example:443", "https", "mail.example", 443));
        for bad in ["https://mail.example", "", "mail.example/x", "user@mail.example", "a:b"] {
            let error = HostPattern::mail_server(bad).unwrap_err().to_string();
            assert!(error.contains("mail server") && error.contains("587"), "{error}");
        }
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
        for text in [
            "https://discord.com",
            "https://*.example.com",
            "http://127.0.0.1:8080",
            "https://*:*",
            "smtp://mail.example",
            "smtp+plaintext://mail.example:25",
        ] {
            assert_eq!(text.parse::<HostPattern>().unwrap().to_string(), text);
        }
        assert_eq!(
            HostPattern::origin_of("http://localhost:81/api/v10").unwrap().to_string(),
            "http://localhost:81"
        );
        assert!(HostPattern::origin_of("mailto:a@b").is_err());
        assert!(HostPattern::origin_of("blob:http://localhost:81/x").is_err());
    }
}
