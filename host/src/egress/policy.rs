//! What one channel may reach: what its plugin asks for, what the operator grants, and the address
//! ranges that are allowed beyond the default.

use std::fmt;

use reqwest::Url;

use super::{AddressRange, DenialReason, HostPattern, pattern::Match, smtp::Origin};
use crate::config::{GrantMode, Grants, Object};

/// How an entry of a manifest's host list names the origin of an option's URL.
const OPTION_PREFIX: &str = "option:";

/// The parsed policy. In normal form (sorted, without repetitions), so that two that say the same
/// are equal: connections are shared between channels whose policies are.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct EgressPolicy {
    asks: Vec<HostPattern>,
    grants: Vec<HostPattern>,
    addresses: Vec<AddressRange>,
    mode: GrantMode,
}

/// Which of the two is missing, in words for the operator. Holds the origin only: the rest of a URL
/// may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// The origin.
    pub origin: String,
    /// Whether the plugin asks for it, so that only the operator's grant is missing.
    pub is_asked: bool,
    /// Whether it is a mail server.
    pub is_mail: bool,
    /// What is wrong with it.
    pub reason: DenialReason,
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { origin, is_asked, is_mail, reason } = self;
        if *is_asked {
            let key = if *is_mail { "smtp" } else { "hosts" };
            write!(
                formatter,
                "plugins.toml does not grant {origin} (add it to [plugin.grants] {key})"
            )?;
        } else {
            write!(
                formatter,
                "the plugin's manifest does not ask for {origin}: only hosts that the plugin \
                 declares can be reached"
            )?;
        }
        match reason {
            DenialReason::Port => formatter.write_str("; the host is there with another port"),
            DenialReason::Scheme => formatter.write_str("; the host is there with another scheme"),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Denied {}

impl EgressPolicy {
    /// The policy of a channel: `asks` as the manifest lists them (an origin with or without a
    /// wildcard, `option:NAME` for the origin of the URL in the channel's option NAME, or
    /// `smtp://option:NAME` for the mail server in it; an option that is not set asks for nothing),
    /// and the operator's grants.
    ///
    /// # Errors
    /// When an entry of `asks` is neither, or the option is no URL. The option's value is not shown.
    pub fn new(asks: &[String], options: &Object, grants: &Grants) -> Result<Self, String> {
        let mut parsed = Vec::with_capacity(asks.len());
        for ask in asks {
            let scheme_and_rest = ask.split_once("://").unwrap_or(("", ask));
            match (scheme_and_rest.0, scheme_and_rest.1.strip_prefix(OPTION_PREFIX)) {
                ("", Some(name)) => parsed.extend(option_origin(name, options)?),
                (scheme @ ("smtp" | "smtp+plaintext"), Some(name)) => {
                    parsed.extend(option_server(scheme, name, options)?);
                }
                _ => parsed.push(ask.parse::<HostPattern>().map_err(|error| error.to_string())?),
            }
        }
        Ok(Self {
            asks: normal(parsed),
            grants: normal(grants.hosts.clone()),
            addresses: normal(grants.addresses.clone()),
            mode: grants.mode,
        })
    }

    /// Nothing can be reached: the policy while a plugin describes itself.
    #[must_use]
    pub const fn nothing() -> Self {
        Self {
            asks: Vec::new(),
            grants: Vec::new(),
            addresses: Vec::new(),
            mode: GrantMode::Enforce,
        }
    }

    /// Whether a request may go to `url`, as far as its origin tells.
    ///
    /// # Errors
    /// When the plugin does not ask for the origin or the operator does not grant it.
    pub fn permits(&self, url: &Url) -> Result<(), Denied> {
        self.judge(&|pattern| pattern.compare(url)).map_err(|(reason, is_asked)| {
            let origin = origin_text(url);
            Denied { origin, is_asked, is_mail: false, reason }
        })
    }

    /// Whether a missing grant is reported and not enforced.
    #[must_use]
    pub fn is_report_only(&self) -> bool {
        self.mode == GrantMode::ReportOnly
    }

    /// Whether a mail server may be spoken to, as far as its name and port tell.
    ///
    /// # Errors
    /// When the plugin does not ask for it or the operator does not grant it.
    pub(super) fn permits_server(&self, server: &Origin) -> Result<(), Denied> {
        self.judge(&|pattern| server.compare(pattern)).map_err(|(reason, is_asked)| {
            let origin = server.to_string();
            Denied { origin, is_asked, is_mail: true, reason }
        })
    }

    /// What is missing, and whether it is only the grant.
    fn judge(&self, compare: &dyn Fn(&HostPattern) -> Match) -> Result<(), (DenialReason, bool)> {
        for (list, is_asked) in [(&self.asks, false), (&self.grants, true)] {
            let reason = match list.iter().map(compare).max().unwrap_or(Match::Not) {
                Match::Whole => continue,
                Match::OtherPort => DenialReason::Port,
                Match::OtherScheme => DenialReason::Scheme,
                Match::Not if is_asked => DenialReason::NotGranted,
                Match::Not => DenialReason::NotAsked,
            };
            return Err((reason, is_asked));
        }
        Ok(())
    }

    /// What the operator grants.
    #[must_use]
    pub fn grants(&self) -> &[HostPattern] {
        &self.grants
    }

    /// The ranges that are allowed although the default denies them.
    #[must_use]
    pub fn addresses(&self) -> &[AddressRange] {
        &self.addresses
    }
}

/// The origin of `url` for messages: never its path or query.
pub(super) fn origin_text(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn option_origin(name: &str, options: &Object) -> Result<Option<HostPattern>, String> {
    let Some(value) = options.get(name) else { return Ok(None) };
    // Not the pattern's own error: it shows the text, and a URL in an option may be a secret.
    let origin = value.as_str().and_then(|url| HostPattern::origin_of(url).ok());
    match origin {
        Some(origin) => Ok(Some(origin)),
        None => {
            Err(format!("the option \"{name}\" must be a URL that begins with https:// or http://"))
        }
    }
}

/// On every port: which one is the grant's to say.
fn option_server(
    scheme: &str,
    name: &str,
    options: &Object,
) -> Result<Option<HostPattern>, String> {
    let Some(value) = options.get(name) else { return Ok(None) };
    let pattern = value.as_str().filter(|host| !host.contains('*')).and_then(|host| {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        format!("{scheme}://{host}:*").parse().ok()
    });
    pattern.map(Some).ok_or_else(|| {
        format!(
            "the option \"{name}\" must be the name of a mail server or its address, without a \
             port, as in \"smtp.example.com\""
        )
    })
}

fn normal<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list.dedup();
    list
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn policy(asks: &[&str], options: &serde_json::Value, hosts: &[&str]) -> EgressPolicy {
        let asks: Vec<String> = asks.iter().map(ToString::to_string).collect();
        let grants = Grants {
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            ..Grants::default()
        };
        EgressPolicy::new(&asks, options.as_object().unwrap(), &grants).unwrap()
    }

    fn permits(policy: &EgressPolicy, url: &str) -> Result<(), Denied> {
        policy.permits(&Url::parse(url).unwrap())
    }

    #[test]
    fn a_request_needs_the_ask_and_the_grant() {
        let policy =
            policy(&["https://a.example", "https://b.example"], &json!({}), &["https://a.example"]);
        assert_eq!(permits(&policy, "https://a.example/x"), Ok(()));
        let not_granted = permits(&policy, "https://b.example/secret").unwrap_err().to_string();
        assert_eq!(
            not_granted,
            "plugins.toml does not grant https://b.example (add it to [plugin.grants] hosts)"
        );
        let not_asked = permits(&policy, "https://c.example/secret").unwrap_err().to_string();
        assert!(not_asked.contains("does not ask for https://c.example:"), "{not_asked}");
    }

    #[test]
    fn an_option_asks_for_the_origin_of_its_url() {
        let options = json!({"url": "https://hooks.example:8443/T/B?x=1"});
        let policy = policy(&["option:url", "option:absent"], &options, &["https://*:*"]);
        assert_eq!(permits(&policy, "https://hooks.example:8443/other"), Ok(()));
        assert!(permits(&policy, "https://hooks.example/").is_err());
    }

    #[test]
    fn an_option_asks_for_a_mail_server_on_any_port() {
        let asks = ["smtp://option:server", "smtp+plaintext://option:server", "smtp://option:no"];
        let options = json!({"server": "Mail.example"});
        let policy = policy(&asks, &options, &["smtp://mail.example:2525"]);
        let permits = |host, port, plaintext| {
            policy.permits_server(&Origin::new(host, port, plaintext).unwrap())
        };
        assert_eq!(permits("mail.example", 2525, false), Ok(()));
        let not_granted = permits("mail.example", 2525, true).unwrap_err().to_string();
        assert!(not_granted.contains("grant smtp+plaintext://mail.example:2525"), "{not_granted}");
        assert!(not_granted.contains("[plugin.grants] smtp"), "{not_granted}");
        let reason = |host, port| permits(host, port, false).unwrap_err().reason;
        assert_eq!(reason("mail.example", 25), DenialReason::Port);
        assert_eq!(reason("other.example", 2525), DenialReason::NotAsked);
        assert!(permits_nothing_of_http(&policy));
        for bad in ["*.example", "mail.example:25", "smtp://mail.example", "a/b", "", "a@b"] {
            let options = json!({"server": bad});
            let asks = [String::from("smtp://option:server")];
            let error = EgressPolicy::new(&asks, options.as_object().unwrap(), &Grants::default());
            assert!(error.unwrap_err().contains("\"server\""), "{bad}");
        }
    }

    fn permits_nothing_of_http(policy: &EgressPolicy) -> bool {
        permits(policy, "https://mail.example:2525/").is_err()
            && permits(policy, "http://mail.example:2525/").is_err()
    }

    #[test]
    fn an_option_that_is_no_url_is_an_error_that_does_not_show_it() {
        for value in [json!("hooks.example/T0KEN"), json!(7), json!("mailto:T0KEN@x")] {
            let options = json!({"url": value});
            let error = EgressPolicy::new(
                &[String::from("option:url")],
                options.as_object().unwrap(),
                &Grants::default(),
            )
            .unwrap_err();
            assert!(error.contains("\"url\"") && !error.contains("T0KEN"), "{error}");
        }
    }

    #[test]
    fn policies_that_say_the_same_are_equal() {
        let one = policy(&["https://a", "https://b"], &json!({}), &["https://b", "https://a"]);
        let other = policy(
            &["https://b", "https://a", "https://a"],
            &json!({}),
            &["https://a", "https://b"],
        );
        assert_eq!(one, other);
        assert!(permits(&EgressPolicy::nothing(), "https://a/").is_err());
    }
}
