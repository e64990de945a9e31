//! The names of things: small types that are valid by construction, so that no function has to ask
//! again whether a string is a tenant or a channel.

use std::{
    borrow::Borrow,
    cell::RefCell,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

/// The longest name of a channel, plugin or secret, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// A tenant: the "business context" that every notification, channel and secret belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(pub Uuid);

/// A notification: a UUIDv7 (RFC 9562), so that ids sort by the time they were made.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NotificationId(pub Uuid);

impl NotificationId {
    /// A new id, for the present moment. Of one process each is greater than the one before: what
    /// the format leaves free after the milliseconds counts on from their 4096th parts (RFC 9562,
    /// section 6.2, method 3), and a clock that is set back is waited for.
    #[must_use]
    pub fn generate() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        #[expect(clippy::disallowed_methods, reason = "an id holds the machine's own time")]
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let parts = (u128::from(since_epoch.subsec_nanos()) << 12) / 1_000_000;
        let now = (u128::from(since_epoch.as_secs()) * 1_000) << 12;
        let now = u64::try_from(now + parts).unwrap_or(u64::MAX);
        let later = |last: u64| Some(now.max(last.saturating_add(1)));
        let at = LAST
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, later)
            .map_or(now, |last| now.max(last.saturating_add(1)));
        let Some(random) = random_bytes() else { return Self(Uuid::now_v7()) };
        let [.., high, low] = (at & 0xfff).to_be_bytes();
        let [a, b, c, d, e, f, g, h] = random;
        let free = [high, low, a, b, c, d, e, f, g, h];
        Self(Builder::from_unix_timestamp_millis(at >> 12, &free).into_uuid())
    }
}

/// Eight bytes nobody can guess. They are fetched from the system for many ids at once, to spare each
/// notification a system call. None when the system has none, which it has once it is up.
fn random_bytes() -> Option<[u8; 8]> {
    const AHEAD: usize = 64;
    thread_local! {
        static FETCHED: RefCell<Vec<[u8; 8]>> = const { RefCell::new(Vec::new()) };
    }
    FETCHED.with_borrow_mut(|fetched| {
        if fetched.is_empty() {
            let mut bytes = [0; AHEAD * 8];
            SystemRandom::new().fill(&mut bytes).ok()?;
            fetched.extend(bytes.as_chunks().0);
        }
        fetched.pop()
    })
}

/// For maps by [`NotificationId`].
pub type IdHash = BuildHasherDefault<IdHasher>;

/// Hashes a [`NotificationId`] by itself: its last eight bytes are random bits of this host's own
/// making, two bits aside.
#[derive(Default, Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_be_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The name that no channel and no plugin of the configuration has; see `ChannelName::callbacks`.
const CALLBACKS: &str = "@callbacks";

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{found}\" is not a name: use 1 to 64 characters from a-z, 0-9, '-' and '_', beginning with a \
     letter or a digit"
)]
pub struct NameError {
    found: String,
}

fn check_name(text: &str) -> Result<(), NameError> {
    let mut bytes = text.bytes();
    let first_ok =
        bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let rest_ok = bytes.all(|byte| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_'
    });
    if first_ok && rest_ok && text.len() <= NAME_BYTES_MAX {
        return Ok(());
    }
    let mut found: String = text.chars().take(NAME_BYTES_MAX).collect();
    if found.len() < text.len() {
        found.push('…');
    }
    Err(NameError { found })
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The host's own, for callbacks: the queue and the metrics have it, and no
            /// configuration may.
            #[must_use]
            pub fn callbacks() -> Self {
                Self(Arc::from(CALLBACKS))
            }

            /// Whether it is [`Self::callbacks`].
            #[must_use]
            pub fn is_callbacks(&self) -> bool {
                &*self.0 == CALLBACKS
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                if text != CALLBACKS {
                    check_name(text)?;
                }
                Ok(Self(Arc::from(text)))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, formatter)
            }
        }
    };
}

name_type! {
    /// A tenant's name for one of its channels. Unique inside the tenant.
    ChannelName
}
name_type! {
    /// The name of a plugin in plugins.toml.
    PluginName
}

macro_rules! uuid_text {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_text!(TenantId);
uuid_text!(NotificationId);

/// The SHA-256 of a component file: what "this plugin" means to the sandbox and its caches.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut value = [0; 32];
        value.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, bytes).as_ref());
        Self(value)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Every attempt's record has one: byte by byte through `write!` takes a microsecond.
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit =
            |value: u8| DIGITS.get(usize::from(value)).map_or('0', |digit| char::from(*digit));
        let mut hex = String::with_capacity(2 * self.0.len());
        for byte in self.0 {
            hex.push(digit(byte >> 4));
            hex.push(digit(byte & 15));
        }
        formatter.write_str("sha256:")?;
        formatter.write_str(&hex)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "a digest is \"sha256:\" and 64 hexadecimal digits";
        let hex = text.strip_prefix("sha256:").ok_or(FORM)?;
        if hex.len() != 64 || !hex.is_ascii() {
            return Err(FORM);
        }
        let mut value = [0; 32];
        for (byte, pair) in value.iter_mut().zip(hex.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| FORM)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| FORM)?;
        }
        Ok(Self(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_uuids_of_version_7_that_rise_and_differ_on_all_threads() {
        let before = u64::try_from(crate::clock::Clock::system().now().0).unwrap();
        let make = || (0..2_000).map(|_| NotificationId::generate()).collect::<Vec<_>>();
        let other = std::thread::spawn(make);
        let ids = make();
        assert!(ids.is_sorted_by(|one, next| one < next));
        let all: std::collections::HashSet<_> =
            ids.iter().copied().chain(other.join().unwrap()).collect();
        assert_eq!(all.len(), 4_000);
        for id in all {
            assert_eq!((id.0.get_version_num(), id.0.get_variant()), (7, uuid::Variant::RFC4122));
            let (seconds, nanos) = id.0.get_timestamp().unwrap().to_unix();
            let made = seconds * 1_000 + u64::from(nanos) / 1_000_000;
            assert!((before..before + 10_000).contains(&made), "{id}");
        }
    }

    #[test]
    fn a_name_is_lower_case_and_short() {
        for good in ["log", "a", "0", "team-chat_2", &"x".repeat(NAME_BYTES_MAX)] {
            assert!(good.parse::<ChannelName>().is_ok(), "{good}");
        }
        for bad in ["", "Log", "-a", "_a", "a b", "ä", "a/b", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(bad.parse::<ChannelName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_digest_reads_back_as_it_was_written() {
        let digest = Digest::of(b"abc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            digest.to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("sha256:xyz".parse::<Digest>().is_err());
        assert!("ba78".parse::<Digest>().is_err());
    }
}
