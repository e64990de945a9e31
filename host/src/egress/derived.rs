//! What is made of a channel's secrets while it runs, and stands for itself as they do: `Basic`
//! authorizations, signed tokens, and credentials that a provider gave in exchange for others.

use std::{collections::BTreeMap, sync::Arc};

use super::{JwtRequest, jwt::JwtPlan, secrets::Entry};
use crate::{clock::UnixMs, limits};

/// All of them, of one channel.
#[derive(Default)]
pub(super) struct Derived {
    pub(super) basics: Vec<Basic>,
    pub(super) jwts: Vec<Jwt>,
    pub(super) kept: BTreeMap<String, Kept>,
    /// How often a token was asked for, to know which one was not for the longest time.
    asked: u64,
}

/// `Basic …` of a user name and a secret.
pub(super) struct Basic {
    pub(super) username: String,
    pub(super) entry: Arc<Entry>,
}

/// A token and how to make the next one. The placeholder stays the same.
pub(super) struct Jwt {
    pub(super) secret: String,
    pub(super) request: JwtRequest,
    pub(super) plan: JwtPlan,
    pub(super) entry: Arc<Entry>,
    pub(super) signed_at: UnixMs,
    asked: u64,
}

/// A credential that the plugin has handed over.
pub(super) struct Kept {
    pub(super) entry: Arc<Entry>,
    /// From then on there is no placeholder for it. One that is under way is still replaced.
    pub(super) until: UnixMs,
}

/// What a placeholder stands for.
pub(super) enum Found {
    Value(Arc<Entry>),
    /// A token that has been used for long enough.
    Due,
}

impl Jwt {
    pub(super) fn new(
        secret: &str,
        request: JwtRequest,
        plan: JwtPlan,
        entry: Arc<Entry>,
        now: UnixMs,
    ) -> Self {
        Self { secret: secret.to_owned(), request, plan, entry, signed_at: now, asked: 0 }
    }

    /// Whether it is time for a new one. Also when the clock was set back: a provider refuses a
    /// token from the future.
    pub(super) fn is_due(&self, now: UnixMs) -> bool {
        now < self.signed_at || now.since(self.signed_at) >= self.request.renew_after
    }
}

impl Derived {
    /// What `placeholder` stands for.
    pub(super) fn find(&self, placeholder: &[u8], now: UnixMs) -> Option<Found> {
        let is_it = |entry: &Arc<Entry>| entry.placeholder.as_bytes() == placeholder;
        if let Some(basic) = self.basics.iter().find(|basic| is_it(&basic.entry)) {
            return Some(Found::Value(Arc::clone(&basic.entry)));
        }
        if let Some(jwt) = self.jwts.iter().find(|jwt| is_it(&jwt.entry)) {
            let value = || Found::Value(Arc::clone(&jwt.entry));
            return Some(if jwt.is_due(now) { Found::Due } else { value() });
        }
        let kept = self.kept.values().find(|kept| is_it(&kept.entry))?;
        Some(Found::Value(Arc::clone(&kept.entry)))
    }

    /// The token that was asked for in these words.
    pub(super) fn jwt(&mut self, secret: &str, request: &JwtRequest) -> Option<&mut Jwt> {
        self.asked += 1;
        let same = |jwt: &&mut Jwt| jwt.secret == secret && jwt.request == *request;
        let jwt = self.jwts.iter_mut().find(same)?;
        jwt.asked = self.asked;
        Some(jwt)
    }

    /// Takes a token in, and the one out that nobody has asked for the longest time if there are
    /// [`limits::JWTS_MAX`].
    pub(super) fn add_jwt(&mut self, mut jwt: Jwt) -> Option<Arc<Entry>> {
        jwt.asked = self.asked;
        let mut removed = None;
        if self.jwts.len() >= limits::JWTS_MAX {
            let oldest = self.jwts.iter().enumerate().min_by_key(|(_, jwt)| jwt.asked);
            let oldest = oldest.map(|(at, _)| at);
            removed = oldest.map(|at| self.jwts.swap_remove(at).entry);
        }
        self.jwts.push(jwt);
        removed
    }

    /// Whether there is none at all.
    pub(super) fn is_empty(&self) -> bool {
        self.basics.is_empty() && self.jwts.is_empty() && self.kept.is_empty()
    }
}
