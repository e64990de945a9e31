//! A channel's secrets as its plugin sees them: placeholders, signatures, and the value itself only
//! where the operator grants it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use memchr::memmem;
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use super::{
    HostPattern, JwtRequest, KeyEncoding, SignatureAlgorithm,
    derived::{Basic, Derived, Found, Jwt, Kept},
    jwt::{self, JwtPlan},
    scrub::Veil,
    signing::SigningKey,
};
use crate::{
    clock::{Clock, UnixMs},
    config::{ChannelSecret, Grants},
    ids::NAME_BYTES_MAX,
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

/// The secrets of one channel.
pub struct Vault {
    secrets: BTreeMap<String, Held>,
    derived: RwLock<Derived>,
    veil: RwLock<Veil>,
    /// Where secrets of these names may be sent; others may go [`Vault::everywhere`].
    hosts: BTreeMap<String, Arc<[HostPattern]>>,
    everywhere: Arc<[HostPattern]>,
    clock: Clock,
}

struct Held {
    entry: Arc<Entry>,
    key: SigningKey,
    reveal: bool,
    revealed: AtomicBool,
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
    pub fn new(secrets: &BTreeMap<String, ChannelSecret>, grants: &Grants, clock: Clock) -> Self {
        let listed = |(name, hosts): (&String, &Vec<HostPattern>)| {
            (name.clone(), Arc::from(hosts.as_slice()))
        };
        let mut vault = Self {
            secrets: BTreeMap::new(),
            derived: RwLock::default(),
            veil: RwLock::default(),
            hosts: grants.secrets.iter().map(listed).collect(),
            everywhere: Arc::from(grants.hosts.as_slice()),
            clock,
        };
        for (name, secret) in secrets {
            let entry = vault.new_entry(name, secret.value.clone());
            let reveal = grants.reveal.contains(name);
            vault.veil_mut().add(&entry, reveal);
            let revealed = AtomicBool::new(false);
            let held = Held { entry: Arc::new(entry), key: SigningKey::new(), reveal, revealed };
            vault.secrets.insert(name.clone(), held);
        }
        vault
    }

    fn new_entry(&self, name: &str, value: Secret) -> Entry {
        let hosts = self.hosts.get(name).unwrap_or(&self.everywhere);
        let placeholder = new_placeholder();
        Entry { name: name.to_owned(), value, placeholder, hosts: Arc::clone(hosts) }
    }

    /// The text that stands for the secret `name`: one that is configured or one that is kept.
    ///
    /// # Errors
    /// When there is no such secret, or its time is over.
    pub fn placeholder(&self, name: &str) -> Result<String, SecretError> {
        if let Some(held) = self.secrets.get(name) {
            return usable_placeholder(&held.entry);
        }
        let now = self.clock.now();
        match self.derived().kept.get(name) {
            Some(kept) if now < kept.until => usable_placeholder(&kept.entry),
            _ => Err(SecretError::Unknown),
        }
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
        let mut derived = self.derived_mut();
        let known = derived
            .basics
            .iter()
            .find(|basic| basic.username == username && basic.entry.name == password_secret);
        if let Some(basic) = known {
            return usable_placeholder(&basic.entry);
        }
        if derived.basics.len() >= limits::BASIC_AUTHS_MAX {
            return Err(SecretError::Unusable(format!(
                "this channel has used {} user names already",
                limits::BASIC_AUTHS_MAX
            )));
        }
        let pair = Zeroizing::new(format!("{username}:{}", held.entry.value.expose()));
        let value = Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let entry = Arc::new(self.new_entry(password_secret, value));
        self.veil_mut().add_basic(&entry, held.reveal);
        let text = usable_placeholder(&entry);
        derived.basics.push(Basic { username: username.to_owned(), entry });
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
        let held = self.held(name)?;
        held.key.sign(&held.entry.value, encoding, algorithm, data)
    }

    /// The text that stands for a token signed with the secret `name`: the same text for the same
    /// request, whichever token it is by then.
    ///
    /// # Errors
    /// When there is no such secret, it is no such key, or the request is not whole.
    pub fn jwt(&self, name: &str, request: JwtRequest) -> Result<String, SecretError> {
        let held = self.held(name)?;
        let now = self.clock.now();
        let mut derived = self.derived_mut();
        if let Some(jwt) = derived.jwt(name, &request) {
            if jwt.is_due(now) {
                self.renew(jwt, now)?;
            }
            return usable_placeholder(&jwt.entry);
        }
        let plan = JwtPlan::new(&request)?;
        let value = token(held, &request, &plan, now)?;
        let entry = Arc::new(self.new_entry(name, value));
        let text = usable_placeholder(&entry)?;
        let removed = derived.add_jwt(Jwt::new(name, request, plan, Arc::clone(&entry), now));
        let mut veil = self.veil_mut();
        veil.add(&entry, false);
        if let Some(removed) = removed {
            veil.forget(&removed.placeholder);
        }
        Ok(text)
    }

    /// Signs the next token. The placeholder stays.
    fn renew(&self, jwt: &mut Jwt, now: UnixMs) -> Result<(), SecretError> {
        let value = token(self.held(&jwt.secret)?, &jwt.request, &jwt.plan, now)?;
        jwt.signed_at = now;
        self.replace(&mut jwt.entry, value);
        Ok(())
    }

    /// Puts `value` in the place of the entry's. The one before stays behind the veil until the
    /// next: an answer to it may be under way.
    fn replace(&self, entry: &mut Arc<Entry>, value: Secret) {
        let Entry { name, placeholder, hosts, .. } = &**entry;
        let next = Arc::new(Entry {
            name: name.clone(),
            value,
            placeholder: placeholder.clone(),
            hosts: Arc::clone(hosts),
        });
        let before = std::mem::replace(entry, next);
        let mut veil = self.veil_mut();
        veil.forget(&before.placeholder);
        veil.add(entry, false);
        veil.add(&before, false);
    }

    /// Takes a credential in that the plugin got from a provider, for `ttl`, and answers the text
    /// that stands for it from now on. The same name has the same text, whatever the value.
    ///
    /// # Errors
    /// When `name` is a configured secret's or no name, `value` is empty or too long, or
    /// [`limits::KEPT_SECRETS_MAX`] are kept already.
    pub fn keep(&self, name: &str, value: Secret, ttl: Duration) -> Result<String, SecretError> {
        self.check_kept(name, value.expose())?;
        let now = self.clock.now();
        let until = now.after(ttl);
        let is_placeholder = self.find(value.expose().as_bytes());
        let mut derived = self.derived_mut();
        if let Some((_, found)) = is_placeholder {
            // A provider that gives out the same credential again: by then the plugin sees its
            // placeholder in the answer.
            return match derived.kept.get_mut(name) {
                Some(kept) if kept.entry.placeholder == value.expose() => {
                    kept.until = until;
                    usable_placeholder(&kept.entry)
                }
                _ => Err(SecretError::Unusable(format!(
                    "the value has the placeholder of the secret \"{}\" in it: keep the credential \
                     itself",
                    found.name
                ))),
            };
        }
        if let Some(kept) = derived.kept.get_mut(name) {
            kept.until = until;
            self.replace(&mut kept.entry, value);
            return usable_placeholder(&kept.entry);
        }
        if derived.kept.len() >= limits::KEPT_SECRETS_MAX {
            let over = derived.kept.iter().find(|(_, kept)| kept.until <= now);
            let Some(over) = over.map(|(name, _)| name.clone()) else {
                return Err(SecretError::Unusable(format!(
                    "this channel keeps {} credentials already",
                    limits::KEPT_SECRETS_MAX
                )));
            };
            if let Some(kept) = derived.kept.remove(&over) {
                self.veil_mut().forget(&kept.entry.placeholder);
            }
        }
        let entry = Arc::new(self.new_entry(name, value));
        let text = usable_placeholder(&entry)?;
        self.veil_mut().add(&entry, false);
        derived.kept.insert(name.to_owned(), Kept { entry, until });
        Ok(text)
    }

    fn check_kept(&self, name: &str, value: &str) -> Result<(), SecretError> {
        let refused = |why: String| Err(SecretError::Unusable(why));
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return refused(format!("a credential's name has 1 to {NAME_BYTES_MAX} bytes"));
        }
        if self.secrets.contains_key(name) {
            return refused(String::from(
                "the operator has configured a secret of that name: keep the credential under \
                 another",
            ));
        }
        if value.is_empty() || value.len() > limits::KEPT_SECRET_BYTES_MAX {
            return refused(format!(
                "a credential has 1 to {} bytes, this one has {}",
                limits::KEPT_SECRET_BYTES_MAX,
                value.len()
            ));
        }
        Ok(())
    }

    /// Ends the time of a kept credential, for example because the provider refuses it.
    pub fn forget(&self, name: &str) {
        if let Some(kept) = self.derived_mut().kept.get_mut(name) {
            kept.until = UnixMs(i64::MIN);
        }
    }

    /// The value of the secret `name`.
    ///
    /// # Errors
    /// When there is no such secret or the operator does not grant to read it.
    pub fn reveal(&self, name: &str) -> Result<Secret, SecretError> {
        let held = self.held(name)?;
        if held.reveal { Ok(held.entry.value.clone()) } else { Err(SecretError::Denied) }
    }

    /// Whether the plugin may read the secret `name` and this was not asked before. To be asked after
    /// it did.
    #[must_use]
    pub fn is_first_reveal(&self, name: &str) -> bool {
        let held = self.secrets.get(name).filter(|held| held.reveal);
        held.is_some_and(|held| !held.revealed.swap(true, Ordering::AcqRel))
    }

    /// The longest text that [`Self::scrub`] looks for, in bytes.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.veil().longest()
    }

    /// The beginning of `text`, at most `bytes_max` bytes, without secrets and placeholders, nor the
    /// half of one that stood where it was cut. What is far behind is not looked at.
    #[must_use]
    pub fn scrub_cut(&self, text: &str, bytes_max: usize) -> String {
        let veil = self.veil();
        let longest = veil.longest();
        let window_bytes = bytes_max.saturating_add(longest);
        let window = text.get(..text.floor_char_boundary(window_bytes)).unwrap_or(text);
        let mut clean = veil.scrub(window);
        // The text may go on, or have been cut before it came here: then its end may be the
        // beginning of a secret, and what was taken out before may have moved it to the front.
        if text.len() + char::MAX_LEN_UTF8 > window_bytes {
            clean.truncate(clean.floor_char_boundary(clean.len().saturating_sub(longest)));
        }
        clean.truncate(clean.floor_char_boundary(bytes_max));
        clean
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
        self.veil().scrub(text)
    }

    /// [`Self::scrub`] of a text that is rarely anything but clean.
    #[must_use]
    pub fn scrub_owned(&self, text: String) -> String {
        self.veil().scrub_owned(text)
    }

    /// Whether a secret or a placeholder is in the name of a host.
    #[must_use]
    pub fn is_in_host(&self, host: &str) -> bool {
        self.veil().is_in_any_case(host)
    }

    /// An answer's bytes with placeholders in place of the secrets that the plugin may not read: a
    /// provider that repeats what it was sent must not hand them over. None: nothing to replace.
    pub(super) fn conceal(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        self.veil().conceal(bytes)
    }

    /// The first placeholder in `bytes`, and where it begins.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<(usize, Arc<Entry>)> {
        if self.secrets.is_empty() && self.derived().is_empty() {
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
        let now = self.clock.now();
        let found = self.derived().find(placeholder, now)?;
        match found {
            Found::Value(entry) => Some(entry),
            Found::Due => self.renewed(placeholder, now),
        }
    }

    /// The token behind `placeholder`, a new one if nobody else has made it meanwhile.
    fn renewed(&self, placeholder: &[u8], now: UnixMs) -> Option<Arc<Entry>> {
        let mut derived = self.derived_mut();
        let is_it = |jwt: &&mut Jwt| jwt.entry.placeholder.as_bytes() == placeholder;
        let jwt = derived.jwts.iter_mut().find(is_it)?;
        if jwt.is_due(now) {
            // Without a new one the provider judges the one that there is.
            if let Err(error) = self.renew(jwt, now) {
                tracing::warn!(secret = jwt.secret, %error, "a token could not be renewed");
            }
        }
        Some(Arc::clone(&jwt.entry))
    }

    fn held(&self, name: &str) -> Result<&Held, SecretError> {
        self.secrets.get(name).ok_or(SecretError::Unknown)
    }

    // Always in this order: `derived`, then `veil`.

    fn derived(&self) -> RwLockReadGuard<'_, Derived> {
        self.derived.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn derived_mut(&self) -> RwLockWriteGuard<'_, Derived> {
        self.derived.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn veil(&self) -> RwLockReadGuard<'_, Veil> {
        self.veil.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn veil_mut(&self) -> RwLockWriteGuard<'_, Veil> {
        self.veil.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn token(
    held: &Held,
    request: &JwtRequest,
    plan: &JwtPlan,
    now: UnixMs,
) -> Result<Secret, SecretError> {
    let input = plan.signing_input(now);
    let JwtRequest { encoding, algorithm, .. } = *request;
    let signature = held.key.sign(&held.entry.value, encoding, algorithm, input.as_bytes())?;
    Ok(Secret::new(jwt::compact(&input, &signature)))
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
