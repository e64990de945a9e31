//! Idempotency keys, each for its time.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use crate::{
    clock::UnixMs,
    ids::{NotificationId, TenantId},
    limits::IDEMPOTENCY_FORGET_AFTER,
    store::{Enqueued, Idempotency},
};

/// Keys that are remembered; beyond that the one that would go first is forgotten.
const KEYS_MAX: usize = 1_000_000;

#[derive(Debug)]
struct Used {
    id: NotificationId,
    body_hash: [u8; 32],
    expires: UnixMs,
}

/// What was used, and in which order it expires.
#[derive(Default, Debug)]
pub(super) struct Keys {
    used: HashMap<(TenantId, Bytes), Used>,
    expiry: BTreeSet<(UnixMs, TenantId, Bytes)>,
}

impl Keys {
    /// What the key was used for.
    pub(super) fn used_before(
        &self,
        tenant: TenantId,
        key: &Idempotency,
        now: UnixMs,
    ) -> Option<Enqueued> {
        let used = self.used.get(&(tenant, key.key.clone())).filter(|used| used.expires > now)?;
        let same_body = used.body_hash == key.body_hash;
        Some(Enqueued::Duplicate { id: used.id, same_body })
    }

    /// Remembers the key, and forgets what is out of date or too much.
    pub(super) fn remember(
        &mut self,
        tenant: TenantId,
        key: Idempotency,
        id: NotificationId,
        now: UnixMs,
    ) {
        let expires = now.after(key.ttl);
        let used = Used { id, body_hash: key.body_hash, expires };
        if let Some(before) = self.used.insert((tenant, key.key.clone()), used) {
            self.expiry.remove(&(before.expires, tenant, key.key.clone()));
        }
        self.expiry.insert((expires, tenant, key.key));
        // Two for one: the work of an accept is bounded, and what is out of date still shrinks.
        for _ in 0..2 {
            let first_expired = self
                .expiry
                .first()
                .is_some_and(|(at, ..)| at.after(IDEMPOTENCY_FORGET_AFTER) <= now);
            if !first_expired && self.expiry.len() <= KEYS_MAX {
                break;
            }
            if let Some((_, tenant, key)) = self.expiry.pop_first() {
                self.used.remove(&(tenant, key));
            }
        }
    }
}
