//! A range of IP addresses, as operators write it.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;

/// `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct AddressRange(IpNet);

/// Why a text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a range of addresses: write for example \"10.0.0.0/8\" or \"127.0.0.1\"")]
pub struct AddressRangeError(String);

impl AddressRange {
    /// Whether `address` is inside. An IPv4 address in IPv6 form (`::ffff:a.b.c.d`) counts as the
    /// IPv4 address that it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }

    /// Whether this is just one address.
    #[must_use]
    pub fn is_single(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }
}

impl FromStr for AddressRange {
    type Err = AddressRangeError;

    fn from_str(text: &str) -> Result<Self, AddressRangeError> {
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address.to_canonical()),
            Err(_) => text
                .parse::<IpNet>()
                .map_err(|_| AddressRangeError(text.chars().take(100).collect()))?,
        };
        Ok(Self(net.trunc()))
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_contains_its_addresses_in_every_form() {
        let range: AddressRange = "127.0.0.0/8".parse().unwrap();
        for inside in ["127.0.0.1", "127.255.0.9", "::ffff:127.0.0.1"] {
            assert!(range.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["128.0.0.1", "::1"] {
            assert!(!range.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!("::1".parse::<AddressRange>().unwrap().contains("::1".parse().unwrap()));
        assert!("127.0.0.0/33".parse::<AddressRange>().is_err());
        assert!("localhost".parse::<AddressRange>().is_err());
    }
}
