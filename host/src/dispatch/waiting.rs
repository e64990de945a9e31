//! Which lane of a tenant goes next: the one with the most urgent message, among equals the one that
//! has waited longest, and now and then the one that has waited longest of all.
//!
//! So a flood of urgent messages through one channel holds the others up and never stops them: of
//! [`limits::TENANT_TURNS`] turns one goes by age alone. Pure bookkeeping.

use std::collections::BTreeMap;

use crate::{
    limits,
    store::{Lane, Priority},
};

/// A lane's place among those that wait: how urgent it is, and its number, which rises with the time
/// at which it came.
pub(super) type Place = (Priority, u64);

/// The lanes of one tenant that are ready.
#[derive(Default, Debug)]
pub(super) struct Waiting {
    lanes: BTreeMap<Place, Lane>,
    last_number: u64,
    /// Turns since the lane that had waited longest had one.
    passed_over: usize,
}

impl Waiting {
    /// Puts a lane behind those that are as urgent.
    pub(super) fn join(&mut self, lane: Lane, priority: Priority) -> Place {
        self.last_number += 1;
        let place = (priority, self.last_number);
        self.lanes.insert(place, lane);
        place
    }

    /// A lane that waits has become more urgent. It has waited as long as it has.
    pub(super) fn raise(&mut self, from: Place, priority: Priority) -> Place {
        let place = (priority, from.1);
        if let Some(lane) = self.lanes.remove(&from) {
            self.lanes.insert(place, lane);
        }
        place
    }

    /// Takes the lane out that goes next.
    pub(super) fn next(&mut self) -> Option<(Place, Lane)> {
        let by_age = self.passed_over.saturating_add(1) >= limits::TENANT_TURNS;
        let place = if by_age { self.oldest() } else { self.lanes.keys().next().copied() }?;
        self.lanes.remove(&place).map(|lane| (place, lane))
    }

    /// The lane that was taken from `place` had its turn.
    pub(super) fn served(&mut self, place: Place) {
        let older = self.oldest().is_some_and(|oldest| oldest.1 < place.1);
        self.passed_over = if older { self.passed_over.saturating_add(1) } else { 0 };
    }

    /// The place of the lane that has waited longest.
    fn oldest(&self) -> Option<Place> {
        let first_of = |priority| {
            self.lanes.range((priority, 0)..=(priority, u64::MAX)).next().map(|(place, _)| *place)
        };
        Priority::ALL.into_iter().filter_map(first_of).min_by_key(|(_, number)| *number)
    }

    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TenantId;

    fn lane(channel: &str) -> Lane {
        Lane { tenant: TenantId(uuid::Uuid::nil()), channel: channel.parse().unwrap() }
    }

    /// Gives `turns` turns; a lane that had one comes back as it was. Who had them.
    fn serve(waiting: &mut Waiting, turns: usize) -> String {
        let mut order = String::new();
        for _ in 0..turns {
            let (place, lane) = waiting.next().unwrap();
            waiting.served(place);
            order.push_str(lane.channel.as_str());
            waiting.join(lane, place.0);
        }
        order
    }

    #[test]
    fn equals_take_turns_and_the_more_urgent_goes_first() {
        let mut waiting = Waiting::default();
        for (channel, priority) in
            [("l", Priority::Low), ("a", Priority::Normal), ("b", Priority::Normal)]
        {
            waiting.join(lane(channel), priority);
        }
        waiting.join(lane("u"), Priority::Urgent);
        let (place, urgent) = waiting.next().unwrap();
        assert_eq!((place.0, urgent), (Priority::Urgent, lane("u")));
        waiting.served(place);
        assert_eq!(serve(&mut waiting, 2), "ab");
    }

    #[test]
    fn of_so_many_turns_one_goes_by_age_whatever_is_urgent() {
        let mut waiting = Waiting::default();
        for channel in ["l", "m"] {
            waiting.join(lane(channel), Priority::Low);
        }
        waiting.join(lane("u"), Priority::Urgent);
        assert_eq!(limits::TENANT_TURNS, 4);
        assert_eq!(serve(&mut waiting, 12), "uuuluuumuuul");
    }

    #[test]
    fn equals_pay_nothing_for_it() {
        let mut waiting = Waiting::default();
        for channel in ["a", "b", "c"] {
            waiting.join(lane(channel), Priority::Normal);
        }
        assert_eq!(serve(&mut waiting, 9), "abcabcabc");
    }

    #[test]
    fn who_becomes_more_urgent_keeps_its_age() {
        let mut waiting = Waiting::default();
        let first = waiting.join(lane("a"), Priority::Low);
        waiting.join(lane("b"), Priority::High);
        waiting.raise(first, Priority::High);
        assert_eq!(waiting.next().unwrap().1, lane("a"));
        assert_eq!((waiting.len(), waiting.is_empty()), (1, false));
    }
}
