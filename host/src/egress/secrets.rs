//! A channel's secrets as its plugin sees them: placeholders, signatures, and the value itself only
//! where the operator grants it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use memchr::memmem;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use zeroize::Zeroizing;

use super::{HostPattern, scrub::Veil};
use crate::{
    config::{ChannelSecret, Grants},
    limits,
    secrets::Secret,
};

/// What every placeholder begins with. Letters and digits only, in lower case: it stays the same in a
/// header, a URL, JSON and a form, whatever escapes the text around it.
const PLACEHOLDER_PREFIX: &str = "csec";
/// The random part: 128 bits, as hexadecimal digits.
const PLACEHOLDER_RANDOM_BYTES: usize = 16;
/// A whole placeholder.
pub(super) const PLACEHOLDER_BYTES: usize = PLACEHOLDER_PREFIX.len() + 2 * PLACEHOLDER_RANDOM_BYTES;

/// Base64 as secrets are handed out: with or without padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The secrets of one channel.
pub struct Vault {
    secrets: BTreeMap<String, Held>,
    basics: RwLock<Vec<Basic>>,
    veil: RwLock<Veil>,
}

struct Held {
    entry: Arc<Entry>,
    reveal: bool,
}

struct Basic {
    username: String,
    entry: Arc<Entry>,
}

/// What one placeholder stands for.
pub(super) struct Entry {
    /// The secret's name, for messages.
    pub(super) name: String,
    /// What is put in.
    pub(super) value: Secret,
    /// Empty when the machine has no randomness: then there is no placeholder.
    pub(super) placeholder: String,
    /// Where it may be sent.
    pub(super) hosts: Arc<[HostPattern]>,
}

/// How a secret's text is turned into key bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyEncoding {
    /// Its UTF-8 bytes.
    Text,
    /// Base64.
    Base64,
    /// Base64 behind the prefix `whsec_` (Standard Webhooks 1.0.0).
    Whsec,
}

/// How to sign.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SignatureAlgorithm {
    /// HMAC with SHA-256 (RFC 2104): 32 bytes.
    HmacSha256,
}

/// Why a secret cannot be used. Never shows its value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The channel has no secret of that name.
    #[error("this channel has no secret of that name")]
    Unknown,
    /// The operator does not grant this use of it.
    #[error("plugins.toml does not grant this use of the secret")]
    Denied,
    /// The value does not fit the use.
    #[error("{0}")]
    Unusable(String),
}

impl Vault {
    /// The vault of a channel with `secrets`, under `grants`.
    #[must_use]
    pub fn new(secrets: &BTreeMap<String, ChannelSecret>, grants: &Grants) -> Self {
        let everywhere: Arc<[HostPattern]> = Arc::from(grants.hosts.as_slice());
        let mut veil = Veil::default();
        let mut held = BTreeMap::new();
        for (name, secret) in secrets {
            let hosts = match grants.secrets.get(name) {
                Some(hosts) => Arc::from(hosts.as_slice()),
                None => Arc::clone(&everywhere),
            };
            let entry = Entry {
                name: name.clone(),
                value: secret.value.clone(),
                placeholder: new_placeholder(),
                hosts,
            };
            let reveal = grants.reveal.contains(name);
            veil.add(&entry, reveal);
            held.insert(name.clone(), Held { entry: Arc::new(entry), reveal });
        }
        Self { secrets: held, basics: RwLock::new(Vec::new()), veil: RwLock::new(veil) }
    }

    /// The text that stands for the secret `name`.
    ///
    /// # Errors
    /// When there is no such secret.
    pub fn placeholder(&self, name: &str) -> Result<String, SecretError> {
        usable_placeholder(&self.held(name)?.entry)
    }

    /// The text that stands for `Basic …` (RFC 7617) of `username` and the secret
    /// `password_secret`. The same pair has the same text.
    ///
    /// # Errors
    /// When there is no such secret, or `username` is too long or has a colon or a control
    /// character, or there are [`limits::BASIC_AUTHS_MAX`] pairs already.
    pub fn basic_auth(&self, username: &str, password_secret: &str) -> Result<String, SecretError> {
        let held = self.held(password_secret)?;
        if username.len() > limits::BASIC_AUTH_USERNAME_BYTES_MAX
            || username.chars().any(|char| char == ':' || char.is_control())
        {
            return Err(SecretError::Unusable(format!(
                "the user name must be {} bytes at most, without colons and control characters",
                limits::BASIC_AUTH_USERNAME_BYTES_MAX
            )));
        }
        let mut basics = self.basics.write().unwrap_or_else(PoisonError::into_inner);
        let known = basics
            .iter()
            .find(|basic| basic.username == username && basic.entry.name == password_secret);
        if let Some(basic) = known {
            return usable_placeholder(&basic.entry);
        }
        if basics.len() >= limits::BASIC_AUTHS_MAX {
            return Err(SecretError::Unusable(format!(
                "this channel has used {} user names already",
                limits::BASIC_AUTHS_MAX
            )));
        }
        let pair = Zeroizing::new(format!("{username}:{}", held.entry.value.expose()));
        let entry = Arc::new(Entry {
            name: password_secret.to_owned(),
            value: Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes()))),
            placeholder: new_placeholder(),
            hosts: Arc::clone(&held.entry.hosts),
        });
        self.veil.write().unwrap_or_else(PoisonError::into_inner).add_basic(&entry, held.reveal);
        let text = usable_placeholder(&entry);
        basics.push(Basic { username: username.to_owned(), entry });
        text
    }

    /// Signs `data` with the secret `name` as the key.
    ///
    /// # Errors
    /// When there is no such secret or its text does not decode.
    pub fn sign(
        &self,
        name: &str,
        encoding: KeyEncoding,
        algorithm: SignatureAlgorithm,
        data: &[u8],
    ) -> Result<Vec<u8>, SecretError> {
        let SignatureAlgorithm::HmacSha256 = algorithm;
        let key = key_bytes(&self.held(name)?.entry, encoding)?;
        if key.is_empty() {
            return Err(SecretError::Unusable(format!("the secret \"{name}\" is an empty key")));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        Ok(hmac::sign(&key, data).as_ref().to_vec())
    }

    /// The value of the secret `name`.
    ///
    /// # Errors
    /// When there is no such secret or the operator does not grant to read it.
    pub fn reveal(&self, name: &str) -> Result<Secret, SecretError> {
        let held = self.held(name)?;
        if held.reveal { Ok(held.entry.value.clone()) } else { Err(SecretError::Denied) }
    }

    /// The value of the secret `name`, for a place that this secret may go to by `allows`.
    ///
    /// # Errors
    /// When there is no such secret or it may not go there.
    pub(super) fn value_for(
        &self,
        name: &str,
        allows: impl Fn(&HostPattern) -> bool,
    ) -> Result<Secret, SecretError> {
        let entry = &self.held(name)?.entry;
        let allowed = entry.hosts.iter().any(allows);
        if allowed { Ok(entry.value.clone()) } else { Err(SecretError::Denied) }
    }

    /// `text` without secrets and placeholders, for logs, errors and reports. Call it before cutting
    /// the text: half a secret is not found.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.veil.read().unwrap_or_else(PoisonError::into_inner).scrub(text)
    }

    /// [`Self::scrub`] of a text that is rarely anything but clean.
    #[must_use]
    pub fn scrub_owned(&self, text: String) -> String {
        self.veil.read().unwrap_or_else(PoisonError::into_inner).scrub_owned(text)
    }

    /// An answer's bytes with placeholders in place of the secrets that the plugin may not read: a
    /// provider that repeats what it was sent must not hand them over. None: nothing to replace.
    pub(super) fn conceal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.veil.read().unwrap_or_else(PoisonError::into_inner).conceal(bytes)
    }

    /// The first placeholder in `bytes`, and where it begins.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(usize, Arc<Entry>)> {
        if self.secrets.is_empty() {
            return None;
        }
        let finder = memmem::Finder::new(PLACEHOLDER_PREFIX);
        let mut from = 0;
        loop {
            let at = from + finder.find(bytes.get(from..)?)?;
            let text = bytes.get(at..at + PLACEHOLDER_BYTES)?;
            if let Some(entry) = self.entry(text) {
                return Some((at, entry));
            }
            // Not behind the whole prefix: it ends with the letter that it begins with.
            from = at + 1;
        }
    }

    fn entry(&self, placeholder: &[u8]) -> Option<Arc<Entry>> {
        // Before any comparison: a body full of prefixes must not cost one with each entry.
        if placeholder.iter().skip(PLACEHOLDER_PREFIX.len()).any(|byte| !byte.is_ascii_hexdigit()) {
            return None;
        }
        let is_it = |entry: &&Arc<Entry>| entry.placeholder.as_bytes() == placeholder;
        if let Some(entry) = self.secrets.values().map(|held| &held.entry).find(is_it) {
            return Some(Arc::clone(entry));
        }
        let basics = self.basics.read().unwrap_or_else(PoisonError::into_inner);
        basics.iter().map(|basic| &basic.entry).find(is_it).map(Arc::clone)
    }

    fn held(&self, name: &str) -> Result<&Held, SecretError> {
        self.secrets.get(name).ok_or(SecretError::Unknown)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.secrets.keys()).finish()
    }
}

fn usable_placeholder(entry: &Entry) -> Result<String, SecretError> {
    if entry.placeholder.is_empty() {
        return Err(SecretError::Unusable(String::from("the machine has no randomness")));
    }
    Ok(entry.placeholder.clone())
}

fn new_placeholder() -> String {
    let mut random = [0; PLACEHOLDER_RANDOM_BYTES];
    if SystemRandom::new().fill(&mut random).is_err() {
        return String::new();
    }
    let mut text = String::with_capacity(PLACEHOLDER_BYTES);
    text.push_str(PLACEHOLDER_PREFIX);
    for byte in random {
        for nibble in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    text
}

fn key_bytes(entry: &Entry, encoding: KeyEncoding) -> Result<Zeroizing<Vec<u8>>, SecretError> {
    let text = entry.value.expose();
    let encoded = match encoding {
        KeyEncoding::Text => return Ok(Zeroizing::new(text.as_bytes().to_vec())),
        KeyEncoding::Base64 => text.trim(),
        KeyEncoding::Whsec => text.trim().strip_prefix("whsec_").ok_or_else(|| {
            SecretError::Unusable(format!(
                "the secret \"{}\" does not begin with \"whsec_\"",
                entry.name
            ))
        })?,
    };
    // Not the decoder's error: it shows the byte that it stumbled over.
    LENIENT
        .decode(encoded)
        .map(Zeroizing::new)
        .map_err(|_| SecretError::Unusable(format!("the secret \"{}\" is not base64", entry.name)))
}
