//! Where a caller is, as far as counting goes: an IPv4 address, or the /64 that one IPv6 subscriber
//! has (RFC 6177), in which addresses cost nothing.

use std::net::IpAddr;

/// One source of calls.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Source(u128);

/// What stays of an IPv6 address.
const SUBNET: u128 = !0 << 64;

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        // An IPv4 caller of a listener on [::] is that IPv4 caller.
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(address.to_ipv6_mapped())),
            IpAddr::V6(address) => Self(u128::from(address) & SUBNET),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source_and_ipv4_addresses_are_each_one() {
        assert_eq!(source("2001:db8:1:2::1"), source("2001:db8:1:2:ffff::9"));
        assert_ne!(source("2001:db8:1:2::1"), source("2001:db8:1:3::1"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.2"), source("192.0.2.1"));
        assert_ne!(source("::1"), source("127.0.0.1"));
    }
}
