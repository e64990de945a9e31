//! What happened, the newest of it.

use std::{borrow::Cow, collections::VecDeque};

use crate::{
    clock::UnixMs,
    ids::NotificationId,
    limits::EVENTS_LIMIT_MAX,
    store::{Event, EventKind, EventQuery, Lane, NewEvent, Page, event::cut},
};

/// Events that are remembered.
const EVENTS_MAX: usize = 10_000;

/// The events, oldest first; their numbers rise by one.
#[derive(Default, Debug)]
pub(super) struct Trail {
    events: VecDeque<Event>,
    pub(super) last: i64,
}

impl Trail {
    fn push(&mut self, event: Event) {
        self.last += 1;
        if self.events.len() >= EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event { seq: self.last, ..event });
    }

    /// An event of a notification.
    pub(super) fn note(
        &mut self,
        lane: &Lane,
        id: NotificationId,
        at: UnixMs,
        (kind, attempt, detail): (EventKind, u32, Option<Cow<'static, str>>),
    ) {
        let (tenant, channel) = (Some(lane.tenant), Some(lane.channel.clone()));
        let (notification, seq, hash) = (Some(id), 0, None);
        self.push(Event { seq, at, kind, tenant, notification, channel, attempt, detail, hash });
    }

    /// An event without a channel.
    pub(super) fn record(&mut self, new: NewEvent, at: UnixMs) {
        let NewEvent { kind, tenant, notification, detail } = new;
        let (seq, attempt, channel, hash) = (0, 0, None, None);
        let detail = detail.map(cut).map(Cow::Owned);
        self.push(Event { seq, at, kind, tenant, notification, channel, attempt, detail, hash });
    }

    /// Forgets the oldest, up to the first one that stays.
    pub(super) fn purge(&mut self, before: UnixMs) -> usize {
        let stay = self.events.iter().position(|event| event.at >= before);
        self.events.drain(..stay.unwrap_or(self.events.len())).count()
    }

    pub(super) fn page(&self, query: &EventQuery) -> Page<Event> {
        let limit = query.limit.clamp(1, EVENTS_LIMIT_MAX);
        let first = self.events.partition_point(|event| event.seq <= query.after);
        let wanted = |event: &&Event| query.tenant.is_none_or(|of| event.tenant == Some(of));
        let mut items: Vec<Event> =
            self.events.range(first..).filter(wanted).take(limit + 1).cloned().collect();
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().map(|event| event.seq).filter(|_| more);
        Page { items, next }
    }
}
