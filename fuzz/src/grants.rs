//! The grant list: a pattern means what it prints, covers no origin but its own, and no spelling of
//! an address gets around the address policy.

use std::net::{IpAddr, Ipv4Addr};

use conductor::egress::{AddressGuard, AddressRange, HostPattern, parse_url};
use reqwest::Url;

/// One input, in lines: a pattern, a URL, a range of addresses, an IPv4 address. Whether the
/// pattern covers the URL.
pub fn run(input: &[u8]) -> bool {
    let input = String::from_utf8_lossy(input);
    let mut lines = input.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, url, range, v4) = (line(), line(), line(), line());
    let mut covered = false;
    if let Ok(pattern) = pattern.parse::<HostPattern>() {
        let printed = pattern.to_string();
        assert_eq!(printed.parse::<HostPattern>().as_ref(), Ok(&pattern), "{printed}");
        if let Ok(url) = Url::parse(url)
            && pattern.matches(&url)
        {
            covered = true;
            assert!(covers(&printed, &url), "{printed} does not cover {url}");
        }
    }
    if let Ok(origin) = HostPattern::origin_of(url) {
        let url = Url::parse(url).expect("it has an origin");
        assert!(origin.matches(&url), "{origin} is the origin of {url}");
    }
    if let Ok(uri) = parse_url(url) {
        assert!(uri.host().is_some_and(|host| !host.is_empty()), "{uri}");
    }
    // Four letters are an address too: most inputs should have one.
    let mut octets = [0; 4];
    octets.iter_mut().zip(v4.bytes()).for_each(|(octet, byte)| *octet = byte);
    addresses(range, v4.parse().unwrap_or(Ipv4Addr::from(octets)));
    covered
}

/// The same question, asked of the text.
fn covers(pattern: &str, url: &Url) -> bool {
    let Some((scheme, rest)) = pattern.split_once("://") else { return false };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.to_owned()),
        _ => (rest, String::from(if matches!(scheme, "https" | "wss") { "443" } else { "80" })),
    };
    let name = url.host_str().unwrap_or_default();
    let host_ok = match host.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix) && (suffix.is_empty() || suffix.starts_with('.')),
        None => name == host,
    };
    let port_ok =
        port == "*" || url.port_or_known_default().is_some_and(|found| found.to_string() == port);
    url.scheme() == scheme && host_ok && port_ok
}

fn addresses(range: &str, v4: Ipv4Addr) {
    let guard = AddressGuard::new(&[]);
    let plain = guard.check(IpAddr::V4(v4)).is_ok();
    let mapped = guard.check(IpAddr::V6(v4.to_ipv6_mapped())).is_ok();
    assert!(plain || !mapped, "{v4} is denied and its mapped form is not");
    if v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast() {
        assert!(!plain, "{v4} is allowed by default");
    }
    if let Ok(range) = range.parse::<AddressRange>() {
        let printed = range.to_string();
        assert_eq!(printed.parse::<AddressRange>().as_ref(), Ok(&range), "{printed}");
        let opened = AddressGuard::new(std::slice::from_ref(&range));
        if opened.check(IpAddr::V4(v4)).is_ok() {
            assert!(plain || range.contains(IpAddr::V4(v4)), "{printed} opens {v4}");
        }
    }
}
