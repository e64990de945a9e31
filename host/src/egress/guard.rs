//! Which addresses may be connected to. By default only what is reachable on the public internet:
//! a name that points into the machine or its network is how a request is forged from inside.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::AddressRange;

/// The address policy of one pool of connections.
#[derive(Clone, Debug)]
pub struct AddressGuard {
    /// Allowed although the default denies them.
    allowed: Vec<AddressRange>,
}

/// An address that the policy denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressDenied {
    address: IpAddr,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A range that is not on the public internet, by what it is called.
    Internal(&'static str),
    /// Where clouds hand out credentials. Only a grant of just this address opens it: a wide range
    /// is written with other things in mind.
    Metadata,
}

impl fmt::Display for AddressDenied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, kind } = self;
        match kind {
            Kind::Internal(what) => write!(
                formatter,
                "the address {address} is {what}, which is denied by default (to allow it, add a \
                 range with it to [plugin.grants] addresses)"
            ),
            Kind::Metadata => write!(
                formatter,
                "the address {address} is a cloud's metadata service, which is denied by default \
                 (to allow it, add just this address to [plugin.grants] addresses)"
            ),
        }
    }
}

impl std::error::Error for AddressDenied {}

impl AddressGuard {
    /// The default policy, and `allowed` beyond it.
    #[must_use]
    pub fn new(allowed: &[AddressRange]) -> Self {
        Self { allowed: allowed.to_vec() }
    }

    /// Whether a connection to `address` may be opened.
    ///
    /// # Errors
    /// When the default policy denies it and no range allows it.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressDenied> {
        let Some(kind) = classify(address) else { return Ok(()) };
        // A range may be written for the address itself or for the IPv4 address inside it.
        let carried = carried_v4(address).map(IpAddr::V4);
        let allowed = self.allowed.iter().any(|range| {
            let covers =
                range.contains(address) || carried.is_some_and(|inner| range.contains(inner));
            covers && (kind != Kind::Metadata || range.is_single())
        });
        if allowed { Ok(()) } else { Err(AddressDenied { address, kind }) }
    }
}

/// Why an address is denied; none for one on the public internet.
fn classify(address: IpAddr) -> Option<Kind> {
    match (address, carried_v4(address)) {
        (IpAddr::V4(v4), _) | (IpAddr::V6(_), Some(v4)) => classify_v4(v4),
        (IpAddr::V6(v6), None) => classify_v6(v6),
    }
}

/// The IPv4 address that an IPv6 address really leads to: IPv4-mapped (`::ffff:0:0/96`), and NAT64's
/// well-known prefix (`64:ff9b::/96`), through which networks without IPv4 reach all of it.
fn carried_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    let [a, b, c, d, e, f, high, low] = v6.segments();
    matches!((a, b, c, d, e, f), (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0))
        .then(|| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
}

fn classify_v4(address: Ipv4Addr) -> Option<Kind> {
    let [a, b, c, d] = address.octets();
    let what = match (a, b, c, d) {
        // AWS, Google, Azure and most others; Oracle; Alibaba; Azure's host agent (a public address).
        (169, 254, 169, 254) | (192, 0, 0, 192) | (100, 100, 100, 200) | (168, 63, 129, 16) => {
            return Some(Kind::Metadata);
        }
        (0, _, _, _) => "unspecified or on this network (0.0.0.0/8)",
        (127, _, _, _) => "a loopback address",
        (10, _, _, _) | (172, 16..=31, _, _) | (192, 168, _, _) => "in a private network",
        (100, 64..=127, _, _) => "in a carrier's shared network (100.64.0.0/10)",
        (169, 254, _, _) => "a link-local address",
        (192, 0, 0, _) => "reserved for protocols (192.0.0.0/24)",
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => "for documentation only",
        (192, 88, 99, _) => "a 6to4 relay",
        (198, 18 | 19, _, _) => "for benchmarks only",
        (224..=239, _, _, _) => "a multicast address",
        (255, 255, 255, 255) => "the broadcast address",
        (240..=255, _, _, _) => "reserved (240.0.0.0/4)",
        _ => return None,
    };
    Some(Kind::Internal(what))
}

fn classify_v6(address: Ipv6Addr) -> Option<Kind> {
    let segments = address.segments();
    let [a, b, ..] = segments;
    let what = match (a, b) {
        _ if address == Ipv6Addr::UNSPECIFIED => "the unspecified address",
        _ if address == Ipv6Addr::LOCALHOST => "a loopback address",
        // AWS; Google.
        _ if segments == [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254]
            || segments == [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] =>
        {
            return Some(Kind::Metadata);
        }
        (0xfe80..=0xfebf, _) => "a link-local address",
        (0xfec0..=0xfeff, _) => "a site-local address",
        (0xfc00..=0xfdff, _) => "in a private network (fc00::/7)",
        (0xff00..=0xffff, _) => "a multicast address",
        (0x2001, 0xdb8) | (0x3fff, 0..=0xfff) => "for documentation only",
        // Both carry an IPv4 address that someone else's relay would connect to; both are history.
        (0x2002, _) => "a 6to4 address",
        (0x2001, 0) => "a Teredo address",
        (0x2001, 2) => "for benchmarks only",
        (0x2001, 0..=0x1ff) => "reserved for protocols (2001::/23)",
        // All that is assigned for global unicast.
        (0x2000..=0x3fff, _) => return None,
        (0, 0) if segments.iter().take(6).all(|segment| *segment == 0) => {
            "in the form of an IPv4-compatible address"
        }
        _ => "outside of the public internet (2000::/3)",
    };
    Some(Kind::Internal(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, allowed: &[&str]) -> Result<(), AddressDenied> {
        let allowed: Vec<AddressRange> =
            allowed.iter().map(|range| range.parse().unwrap()).collect();
        AddressGuard::new(&allowed).check(address.parse().unwrap())
    }

    #[test]
    fn the_default_allows_the_public_internet() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.1.0.1",
            "198.17.0.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2a00:1450::1",
            "2001:4860:4860::8888",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(check(public, &[]), Ok(()), "{public}");
        }
    }

    #[test]
    fn the_default_denies_the_machine_its_network_and_all_that_is_special() {
        for denied in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::1.1.1.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "4000::1",
            "5f00::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(check(denied, &[]).is_err(), "{denied}");
        }
    }

    #[test]
    fn a_range_allows_what_is_inside_it_in_every_form() {
        for (address, range) in [
            ("127.0.0.1", "127.0.0.0/8"),
            ("::ffff:127.0.0.1", "127.0.0.1"),
            ("64:ff9b::10.1.2.3", "10.0.0.0/8"),
            ("64:ff9b::10.1.2.3", "64:ff9b::/96"),
            ("::1", "::1"),
            ("fd00::5", "fd00::/8"),
            ("2002::1", "2002::/16"),
        ] {
            assert_eq!(check(address, &[range]), Ok(()), "{address} {range}");
        }
        for (address, range) in
            [("127.0.0.1", "10.0.0.0/8"), ("::1", "127.0.0.0/8"), ("fe80::1", "fd00::/8")]
        {
            assert!(check(address, &[range]).is_err(), "{address} {range}");
        }
    }

    #[test]
    fn only_a_grant_of_just_its_address_opens_a_metadata_service() {
        for metadata in [
            "169.254.169.254",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "::ffff:169.254.169.254",
        ] {
            let wide = ["0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8"];
            let denied = check(metadata, &wide).unwrap_err().to_string();
            assert!(denied.contains("metadata"), "{denied}");
            assert_eq!(check(metadata, &[metadata]), Ok(()), "{metadata}");
        }
    }

    #[test]
    fn a_denial_names_the_address_the_reason_and_the_remedy() {
        let text = check("127.0.0.1", &[]).unwrap_err().to_string();
        assert!(text.contains("127.0.0.1 is a loopback address"), "{text}");
        assert!(text.contains("[plugin.grants] addresses"), "{text}");
    }
}
