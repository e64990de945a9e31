//! What happened, for audit and for those who follow along: one line for everything that was
//! accepted, tried, ended or done by people, in the order in which it happened.

use std::borrow::Cow;

use crate::{
    clock::UnixMs,
    ids::{ChannelName, NotificationId, TenantId},
};

/// What happened. The numbers are on disk: they never change.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum EventKind {
    /// A notification, or a parent, was accepted.
    Accepted = 1,
    /// An attempt succeeded.
    Delivered = 2,
    /// An attempt failed, and there will be another one.
    Retrying = 3,
    /// A notification was given up.
    Dead = 4,
    /// A notification was taken back.
    Cancelled = 5,
    /// A notification was put back into the queue.
    Replayed = 6,
    /// A lease ended without a word of how the attempt went: it may have been delivered.
    Lost = 7,
    /// A dead letter, or a parent of such, was removed by its owner.
    Purged = 8,
    /// The configuration was read again.
    Reload = 16,
    /// A key was used for something that is worth a line.
    KeyUsed = 17,
    /// The operator did something.
    Admin = 18,
    /// Somebody tried what they may not.
    Security = 19,
    /// The host started or stopped.
    Host = 20,
    /// A channel was put into quarantine.
    Quarantined = 21,
    /// A channel's quarantine ended.
    Released = 22,
    /// A plugin was returned to its last good file.
    RolledBack = 23,
    /// A tenant's key was used at an address that is another tenant's.
    ContextMismatch = 24,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 17] = [
        Self::Accepted,
        Self::Delivered,
        Self::Retrying,
        Self::Dead,
        Self::Cancelled,
        Self::Replayed,
        Self::Lost,
        Self::Purged,
        Self::Reload,
        Self::KeyUsed,
        Self::Admin,
        Self::Security,
        Self::Host,
        Self::Quarantined,
        Self::Released,
        Self::RolledBack,
        Self::ContextMismatch,
    ];

    /// The kind as a stable word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Retrying => "retrying",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Replayed => "replayed",
            Self::Lost => "lost",
            Self::Purged => "purged",
            Self::Reload => "reload",
            Self::KeyUsed => "key-used",
            Self::Admin => "admin",
            Self::Security => "security",
            Self::Host => "host",
            Self::Quarantined => "plugin.quarantined",
            Self::Released => "plugin.released",
            Self::RolledBack => "plugin.rolled-back",
            Self::ContextMismatch => "security.context-mismatch",
        }
    }
}

/// An event that the host writes down itself; those of notifications the store writes.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// Whose affair it is; nobody's in particular if it concerns the host.
    pub tenant: Option<TenantId>,
    /// Which notification it is about.
    pub notification: Option<NotificationId>,
    /// What else there is to say, no secret; cut after
    /// [`crate::limits::EVENT_DETAIL_BYTES_MAX`].
    pub detail: Option<String>,
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its number: they rise without a gap.
    pub seq: i64,
    /// When.
    pub at: UnixMs,
    /// What.
    pub kind: EventKind,
    /// Whose affair it is.
    pub tenant: Option<TenantId>,
    /// Which notification or parent it is about.
    pub notification: Option<NotificationId>,
    /// The notification's channel.
    pub channel: Option<ChannelName>,
    /// The number of the attempt, or 0.
    pub attempt: u32,
    /// The attempt's outcome in a word, or what was done.
    pub detail: Option<Cow<'static, str>>,
    /// SHA-256 over the hash of the event before and this event's fields; none in an engine without
    /// a file, and in events from before the chain began.
    pub hash: Option<[u8; 32]>,
}

/// Which events: oldest first.
#[derive(Clone, Copy, Debug)]
pub struct EventQuery {
    /// Only this tenant's; otherwise all, with those of the host.
    pub tenant: Option<TenantId>,
    /// Only those with a greater number; 0 for all that are kept.
    pub after: i64,
    /// Events, at most [`crate::limits::EVENTS_LIMIT_MAX`].
    pub limit: usize,
}

impl Event {
    /// What the hash of this event is, if `before` is the hash of the one before: SHA-256 over
    /// `before`, then number, time (Unix milliseconds), kind and attempt as 8 bytes each, most
    /// significant first, then tenant, notification, channel and detail, each as a byte 0 if there
    /// is none, or a byte 1, its length in 8 bytes and its bytes (ids: the 16 of the UUID).
    #[must_use]
    pub fn hash_after(&self, before: &[u8; 32]) -> [u8; 32] {
        let mut hasher = ring::digest::Context::new(&ring::digest::SHA256);
        hasher.update(before);
        for number in [self.seq, self.at.0, self.kind as i64, i64::from(self.attempt)] {
            hasher.update(&number.to_be_bytes());
        }
        let tenant = self.tenant.as_ref().map(|tenant| tenant.0.as_bytes().as_slice());
        let id = self.notification.as_ref().map(|id| id.0.as_bytes().as_slice());
        let channel = self.channel.as_ref().map(|channel| channel.as_str().as_bytes());
        let detail = self.detail.as_ref().map(|detail| detail.as_bytes());
        for field in [tenant, id, channel, detail] {
            match field {
                None => hasher.update(&[0]),
                Some(bytes) => {
                    hasher.update(&[1]);
                    hasher.update(&(bytes.len() as u64).to_be_bytes());
                    hasher.update(bytes);
                }
            }
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(hasher.finish().as_ref());
        hash
    }
}

/// Bounds what somebody said.
pub(super) fn cut(mut detail: String) -> String {
    detail.truncate(detail.floor_char_boundary(crate::limits::EVENT_DETAIL_BYTES_MAX));
    detail
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn event() -> Event {
        Event {
            seq: 7,
            at: UnixMs(1_763_746_800_000),
            kind: EventKind::Dead,
            tenant: Some(TenantId(Uuid::from_u128(1))),
            notification: Some(NotificationId(Uuid::from_u128(2))),
            channel: Some("mail".parse().unwrap()),
            attempt: 3,
            detail: Some("rejected".into()),
            hash: None,
        }
    }

    #[test]
    fn the_hash_is_that_of_the_bytes_that_are_described() {
        let mut bytes = vec![9; 32];
        for number in [7_i64, 1_763_746_800_000, 4, 3] {
            bytes.extend(number.to_be_bytes());
        }
        for field in [
            &Uuid::from_u128(1).as_bytes()[..],
            Uuid::from_u128(2).as_bytes(),
            b"mail",
            b"rejected",
        ] {
            bytes.push(1);
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field);
        }
        let wanted = ring::digest::digest(&ring::digest::SHA256, &bytes);
        assert_eq!(event().hash_after(&[9; 32])[..], *wanted.as_ref());
    }

    #[test]
    fn every_field_is_in_the_hash() {
        let before = [0; 32];
        let mut hashes = std::collections::HashSet::from([event().hash_after(&before)]);
        hashes.insert(event().hash_after(&[1; 32]));
        for changed in [
            Event { seq: 8, ..event() },
            Event { at: UnixMs(0), ..event() },
            Event { kind: EventKind::Lost, ..event() },
            Event { tenant: None, ..event() },
            Event { notification: None, ..event() },
            Event { channel: None, ..event() },
            Event { attempt: 4, ..event() },
            Event { detail: None, ..event() },
            Event { detail: Some("".into()), ..event() },
        ] {
            hashes.insert(changed.hash_after(&before));
        }
        assert_eq!(hashes.len(), 11);
    }

    #[test]
    fn a_detail_is_cut_between_characters() {
        let long = "é".repeat(crate::limits::EVENT_DETAIL_BYTES_MAX);
        let cut = cut(format!("a{long}"));
        assert!(cut.len() <= crate::limits::EVENT_DETAIL_BYTES_MAX && cut.len() > 2_000);
    }
}
