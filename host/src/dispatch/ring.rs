//! Whose turn it is: deficit round robin between tenants; which of a tenant's lanes has it,
//! [`super::waiting`] says.
//!
//! Pure bookkeeping. A lane is *ready* when it has due work, room for another delivery, and no
//! reason to pause; only ready lanes take turns, so a limited or broken one costs its neighbours
//! nothing.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
};

use super::{
    guards::Gate,
    waiting::{Place, Waiting},
};
use crate::{
    clock::UnixMs,
    ids::TenantId,
    limits,
    store::{Lane, Priority},
};

/// The schedule.
#[derive(Default, Debug)]
pub(super) struct Ring {
    lanes: HashMap<Lane, LaneState>,
    turns: VecDeque<TenantId>,
    tenants: HashMap<TenantId, TenantState>,
    timers: BinaryHeap<Reverse<(UnixMs, Lane)>>,
}

#[derive(Debug, Default)]
struct TenantState {
    /// Its ready lanes.
    ready: Waiting,
    /// Its lanes in `Ring::lanes`; with the last of them the tenant is forgotten.
    lanes: usize,
    /// What is left of its turn. Kept while its lanes are away for a delivery, or a tenant whose
    /// jobs come one at a time would never get more than one a round, whatever its weight.
    deficit: usize,
    in_turns: bool,
}

#[derive(Debug, Default)]
struct LaneState {
    /// There is work that is due now, of this priority at most, as far as is known.
    due: Option<Priority>,
    /// When the next job of each priority is due that is not yet, as far as is known.
    next: [Option<UnixMs>; Priority::ALL.len()],
    in_flight: usize,
    paused_until: Option<UnixMs>,
    /// Where it waits for its tenant's turn.
    place: Option<Place>,
    /// The earliest timer that is set for it, so that news of the same work set no second one.
    timer: Option<UnixMs>,
}

impl LaneState {
    /// There is work of this priority that is due now.
    fn has(&mut self, priority: Priority) {
        self.due = Some(self.due.map_or(priority, |known| known.min(priority)));
    }

    /// When the first job is due that is not yet.
    fn first_next(&self) -> Option<UnixMs> {
        self.next.iter().copied().flatten().min()
    }

    /// What has fallen due.
    fn advance(&mut self, now: UnixMs) {
        for priority in Priority::ALL {
            if let Some(next) = self.next.get_mut(priority as usize)
                && next.is_some_and(|next| next <= now)
            {
                *next = None;
                self.has(priority);
            }
        }
    }
}

/// A turn: lease at most `max` jobs of `lane`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) lane: Lane,
    pub(super) max: usize,
}

impl Ring {
    /// `lane` has a job of this priority, due at `due`.
    pub(super) fn work(&mut self, lane: Lane, priority: Priority, due: UnixMs, now: UnixMs) {
        let state = self.state(&lane);
        if let Some(next) = state.next.get_mut(priority as usize)
            && next.is_none_or(|known| due < known)
        {
            *next = Some(due);
        }
        self.consider(lane, now);
    }

    /// A delivery of `lane` is over.
    pub(super) fn finished(&mut self, lane: Lane, now: UnixMs) {
        if let Some(state) = self.lanes.get_mut(&lane) {
            state.in_flight = state.in_flight.saturating_sub(1);
        }
        self.consider(lane, now);
    }

    /// `lane` takes no turn before `until`.
    pub(super) fn pause(&mut self, lane: Lane, until: UnixMs, now: UnixMs) {
        self.state(&lane).paused_until = Some(until);
        self.consider(lane, now);
    }

    fn state(&mut self, lane: &Lane) -> &mut LaneState {
        self.lanes.entry(lane.clone()).or_insert_with(|| {
            self.tenants.entry(lane.tenant).or_default().lanes += 1;
            LaneState::default()
        })
    }

    fn forget(&mut self, lane: &Lane) {
        if self.lanes.remove(lane).is_none() {
            return;
        }
        if let Some(tenant) = self.tenants.get_mut(&lane.tenant) {
            tenant.lanes = tenant.lanes.saturating_sub(1);
            if tenant.lanes == 0 && !tenant.in_turns {
                self.tenants.remove(&lane.tenant);
            }
        }
    }

    /// Forgets all pauses.
    pub(super) fn resume_all(&mut self, now: UnixMs) {
        let paused: Vec<Lane> = self
            .lanes
            .iter_mut()
            .filter_map(|(lane, state)| state.paused_until.take().map(|_| lane.clone()))
            .collect();
        for lane in paused {
            self.consider(lane, now);
        }
    }

    /// Puts `lane` into the ring if it is ready, or on the timers if it will be.
    fn consider(&mut self, lane: Lane, now: UnixMs) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        if state.paused_until.is_some_and(|until| until <= now) {
            state.paused_until = None;
        }
        state.advance(now);
        let (due, paused) = (state.due, state.paused_until.is_some());
        if paused || due.is_none() {
            self.set_timer(lane.clone());
        }
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        let Some(due) = due else {
            let idle = state.in_flight == 0 && state.paused_until.is_none();
            if idle && state.place.is_none() && state.first_next().is_none() {
                self.forget(&lane);
            }
            return;
        };
        let tenant = self.tenants.entry(lane.tenant).or_default();
        if let Some(place) = state.place {
            if due < place.0 {
                state.place = Some(tenant.ready.raise(place, due));
            }
            return;
        }
        if paused {
            return;
        }
        state.place = Some(tenant.ready.join(lane.clone(), due));
        if !tenant.in_turns {
            tenant.in_turns = true;
            match tenant.deficit {
                0 => self.turns.push_back(lane.tenant),
                _ => self.turns.push_front(lane.tenant),
            }
        }
    }

    /// Wakes `lane` when its pause is over, or its next job is due.
    fn set_timer(&mut self, lane: Lane) {
        let Some(state) = self.lanes.get_mut(&lane) else { return };
        let wake = match state.due {
            Some(_) => state.paused_until,
            None => state.first_next(),
        };
        if let Some(wake) = wake
            && state.timer.is_none_or(|set| wake < set)
        {
            state.timer = Some(wake);
            self.timers.push(Reverse((wake, lane)));
        }
    }

    /// Moves lanes whose time has come into the ring.
    pub(super) fn tick(&mut self, now: UnixMs) {
        let mut seen = HashSet::new();
        while self.timers.peek().is_some_and(|Reverse((at, _))| *at <= now) {
            let Some(Reverse((_, lane))) = self.timers.pop() else { break };
            if let Some(state) = self.lanes.get_mut(&lane) {
                state.timer = None;
            }
            if seen.insert(lane.clone()) {
                self.consider(lane, now);
            }
        }
    }

    /// When the next timer ends.
    pub(super) fn next_timer(&self) -> Option<UnixMs> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    /// How many deliveries `lane` has in flight.
    #[cfg(test)]
    fn in_flight(&self, lane: &Lane) -> usize {
        self.lanes.get(lane).map_or(0, |state| state.in_flight)
    }

    /// Gives out turns for at most `slots` jobs. `gate` says whether a lane may go and with how many
    /// deliveries at once, `weight` how many times [`limits::FAIRNESS_QUANTUM`] a tenant's turn is.
    /// What is given out counts as in flight until [`Self::leased`] says how much of it was used.
    pub(super) fn turns(
        &mut self,
        mut slots: usize,
        now: UnixMs,
        mut gate: impl FnMut(&Lane) -> Gate,
        weight: impl Fn(TenantId) -> usize,
    ) -> Vec<Turn> {
        let mut turns = Vec::new();
        // Each tenant once around at most: what is left is for the next call, with fresh news.
        for _ in 0..self.turns.len() {
            if slots == 0 {
                break;
            }
            let Some(id) = self.turns.pop_front() else { break };
            let Some(tenant) = self.tenants.get_mut(&id) else { continue };
            tenant.in_turns = false;
            let mut deficit = match tenant.deficit {
                0 => limits::FAIRNESS_QUANTUM.saturating_mul(weight(id)),
                left => left,
            };
            let mut ready = std::mem::take(&mut tenant.ready);
            for _ in 0..ready.len() {
                if deficit == 0 || slots == 0 {
                    break;
                }
                let Some((place, lane)) = ready.next() else { break };
                let Some(state) = self.lanes.get_mut(&lane) else { continue };
                state.place = None;
                if state.paused_until.is_none_or(|until| until <= now) {
                    match gate(&lane) {
                        Gate::Until(until) => state.paused_until = Some(until),
                        Gate::Room(room) => {
                            let room = room.saturating_sub(state.in_flight);
                            let max = room.min(deficit).min(slots);
                            // Full: `finished` brings it back.
                            if max > 0 {
                                ready.served(place);
                                state.in_flight += max;
                                deficit -= max;
                                slots -= max;
                                turns.push(Turn { lane, max });
                            }
                            continue;
                        }
                    }
                }
                self.set_timer(lane);
            }
            let Some(tenant) = self.tenants.get_mut(&id) else { continue };
            tenant.deficit = deficit;
            tenant.ready = ready;
            if tenant.ready.is_empty() {
                continue;
            }
            tenant.in_turns = true;
            match deficit {
                // The slots ended within its turn, which goes on when there are some again.
                1.. if slots == 0 => self.turns.push_front(id),
                _ => {
                    tenant.deficit = 0;
                    self.turns.push_back(id);
                }
            }
        }
        turns
    }

    /// What came of a turn: so many jobs were leased of those that it allowed, and when the last of them
    /// was, nothing more urgent than this was due.
    pub(super) fn leased(
        &mut self,
        turn: &Turn,
        used: usize,
        most_urgent: Option<Priority>,
        now: UnixMs,
    ) {
        let Some(state) = self.lanes.get_mut(&turn.lane) else { return };
        state.in_flight = state.in_flight.saturating_sub(turn.max.saturating_sub(used));
        // The most urgent were leased: what is left is as urgent as that at most. If these are all,
        // nothing more is due. Work that comes, or came in this moment, is hinted at again.
        state.due = most_urgent.filter(|_| used >= turn.max);
        if state.due.is_none()
            && let Some(tenant) = self.tenants.get_mut(&turn.lane.tenant)
            && tenant.ready.is_empty()
        {
            tenant.deficit = 0;
        }
        self.consider(turn.lane.clone(), now);
    }

    /// A turn could not be used: what is due still is.
    pub(super) fn unused(&mut self, turn: &Turn, now: UnixMs) {
        if let Some(state) = self.lanes.get_mut(&turn.lane) {
            state.in_flight = state.in_flight.saturating_sub(turn.max);
        }
        self.consider(turn.lane.clone(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000);

    fn lane(tenant: u128, channel: &str) -> Lane {
        Lane { tenant: TenantId(uuid::Uuid::from_u128(tenant)), channel: channel.parse().unwrap() }
    }

    fn ring(lanes: &[Lane]) -> Ring {
        let mut ring = Ring::default();
        for lane in lanes {
            ring.work(lane.clone(), Priority::Normal, NOW, NOW);
        }
        ring
    }

    #[test]
    fn tenants_take_turns_however_many_lanes_they_have() {
        let (a1, a2, b1) = (lane(1, "a"), lane(1, "b"), lane(2, "a"));
        let mut ring = ring(&[a1.clone(), a2.clone(), b1.clone()]);
        let turns = ring.turns(1000, NOW, |_| Gate::Room(100), |_| 1);
        let of = |tenant: &Lane| -> usize {
            turns.iter().filter(|turn| turn.lane.tenant == tenant.tenant).map(|turn| turn.max).sum()
        };
        assert_eq!(of(&a1), limits::FAIRNESS_QUANTUM);
        assert_eq!(of(&b1), limits::FAIRNESS_QUANTUM);
        for turn in &turns {
            ring.leased(turn, turn.max, Some(Priority::Normal), NOW);
        }
        let second: Vec<_> = ring
            .turns(1000, NOW, |_| Gate::Room(100), |_| 1)
            .into_iter()
            .map(|turn| turn.lane)
            .collect();
        assert!(second.contains(&a2), "the lane that got nothing is next: {second:?}");
    }

    #[test]
    fn a_full_lane_takes_no_turn_until_a_delivery_is_over() {
        let full = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&full));
        let turns = ring.turns(10, NOW, |_| Gate::Room(2), |_| 1);
        assert_eq!(turns, [Turn { lane: full.clone(), max: 2 }]);
        ring.leased(&turns[0], 2, Some(Priority::Normal), NOW);
        assert_eq!(ring.turns(10, NOW, |_| Gate::Room(2), |_| 1), []);
        ring.finished(full.clone(), NOW);
        assert_eq!(ring.turns(10, NOW, |_| Gate::Room(2), |_| 1), [Turn { lane: full, max: 1 }]);
    }

    #[test]
    fn a_lane_without_work_leaves_and_comes_back_with_work() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        let turns = ring.turns(10, NOW, |_| Gate::Room(4), |_| 1);
        ring.leased(&turns[0], 0, Some(Priority::Normal), NOW);
        assert_eq!(ring.in_flight(&only), 0);
        assert_eq!(ring.turns(10, NOW, |_| Gate::Room(4), |_| 1), []);
        assert!(ring.lanes.is_empty(), "nothing is kept of a lane without work");
        ring.work(only, Priority::Normal, NOW, NOW);
        assert_eq!(ring.turns(10, NOW, |_| Gate::Room(4), |_| 1).len(), 1);
    }

    #[test]
    fn work_that_is_done_does_not_hide_work_that_is_to_come() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        ring.work(only.clone(), Priority::Normal, UnixMs(1_200), NOW);
        let turns = ring.turns(10, NOW, |_| Gate::Room(4), |_| 1);
        ring.leased(&turns[0], 1, Some(Priority::Normal), NOW);
        ring.finished(only.clone(), NOW);
        assert_eq!(ring.next_timer(), Some(UnixMs(1_200)));
        ring.tick(UnixMs(1_200));
        assert_eq!(
            ring.turns(10, UnixMs(1_200), |_| Gate::Room(4), |_| 1),
            [Turn { lane: only, max: 4 }]
        );
    }

    #[test]
    fn future_and_paused_work_waits_for_its_time() {
        let (later, paused) = (lane(1, "a"), lane(2, "a"));
        let mut ring = Ring::default();
        ring.work(later.clone(), Priority::Normal, UnixMs(2_000), NOW);
        ring.pause(paused.clone(), UnixMs(3_000), NOW);
        ring.work(paused.clone(), Priority::Normal, NOW, NOW);
        assert_eq!(ring.turns(10, NOW, |_| Gate::Room(4), |_| 1), []);
        assert_eq!(ring.next_timer(), Some(UnixMs(2_000)));
        ring.tick(UnixMs(2_000));
        assert_eq!(
            ring.turns(10, UnixMs(2_000), |_| Gate::Room(4), |_| 1),
            [Turn { lane: later, max: 4 }]
        );
        ring.resume_all(UnixMs(2_000));
        assert_eq!(
            ring.turns(10, UnixMs(2_000), |_| Gate::Room(4), |_| 1),
            [Turn { lane: paused, max: 4 }]
        );
    }

    /// Serves one slot at a time, as under a load that fills all of them; who got how many of `all`.
    fn served(ring: &mut Ring, all: usize, heavy: TenantId) -> usize {
        let mut count = 0;
        for _ in 0..all {
            let weight = |id| if id == heavy { 3 } else { 1 };
            let turns = ring.turns(1, NOW, |_| Gate::Room(100), weight);
            for turn in &turns {
                count += usize::from(turn.lane.tenant == heavy);
                ring.leased(turn, turn.max, Some(Priority::Normal), NOW);
                ring.finished(turn.lane.clone(), NOW);
            }
        }
        count
    }

    #[test]
    fn a_heavier_tenant_gets_so_many_times_more_even_one_slot_at_a_time() {
        let (a, b) = (lane(1, "a"), lane(2, "a"));
        let mut both = ring(&[a.clone(), b]);
        let round = limits::FAIRNESS_QUANTUM * 4;
        let got = served(&mut both, round * 2, a.tenant);
        assert_eq!(got, round * 2 * 3 / 4);
        let mut alone = ring(&[a.clone(), lane(1, "b"), lane(2, "a"), lane(2, "b")]);
        assert_eq!(served(&mut alone, round * 2, a.tenant), round * 2 * 3 / 4);
    }

    #[test]
    fn a_lane_that_the_gate_holds_back_takes_no_turn_until_then() {
        let (held, free) = (lane(1, "a"), lane(1, "b"));
        let mut ring = ring(&[held.clone(), free.clone()]);
        let gate = |until: UnixMs| {
            let held = held.clone();
            move |lane: &Lane| match *lane == held {
                true => Gate::Until(until),
                false => Gate::Room(4),
            }
        };
        let turns = ring.turns(10, NOW, gate(UnixMs(2_000)), |_| 1);
        assert_eq!(turns, [Turn { lane: free.clone(), max: 4 }]);
        ring.leased(&turns[0], 0, Some(Priority::Normal), NOW);
        assert_eq!(ring.next_timer(), Some(UnixMs(2_000)));
        let asked = std::cell::Cell::new(0);
        let count = |_: &Lane| {
            asked.set(asked.get() + 1);
            Gate::Room(1)
        };
        assert_eq!(ring.turns(10, NOW, count, |_| 1), []);
        assert_eq!(asked.get(), 0, "it is out of the ring, and not asked for again and again");
        ring.tick(UnixMs(2_000));
        let turns = ring.turns(10, UnixMs(2_000), |_| Gate::Room(1), |_| 1);
        assert_eq!(turns, [Turn { lane: held, max: 1 }]);
    }

    #[test]
    fn what_is_most_urgent_of_a_tenant_goes_first_when_there_is_one_slot() {
        let (low, other, alarm) = (lane(1, "a"), lane(1, "b"), lane(1, "c"));
        let mut ring = Ring::default();
        ring.work(low.clone(), Priority::Low, NOW, NOW);
        ring.work(other.clone(), Priority::Low, NOW, NOW);
        ring.work(alarm.clone(), Priority::Urgent, NOW, NOW);
        let one = |ring: &mut Ring| ring.turns(1, NOW, |_| Gate::Room(9), |_| 1).remove(0);
        let turn = one(&mut ring);
        assert_eq!(turn.lane, alarm);
        // What is left of it is not urgent any more: it stands behind the others.
        ring.leased(&turn, 1, Some(Priority::Low), NOW);
        for next in [&low, &other] {
            let turn = one(&mut ring);
            assert_eq!(turn.lane, *next);
            ring.leased(&turn, 1, Some(Priority::Low), NOW);
        }
        // A lane that waits becomes urgent; what falls due later is urgent only then.
        ring.work(other.clone(), Priority::High, NOW, NOW);
        ring.work(low, Priority::Urgent, UnixMs(2_000), NOW);
        let turn = one(&mut ring);
        assert_eq!(turn.lane, other);
    }

    #[test]
    fn what_falls_due_later_is_urgent_then() {
        let (early, late) = (lane(1, "a"), lane(1, "b"));
        let mut ring = Ring::default();
        ring.work(late.clone(), Priority::Urgent, UnixMs(2_000), NOW);
        ring.work(late.clone(), Priority::Low, NOW, NOW);
        ring.work(early.clone(), Priority::Normal, NOW, NOW);
        let one = |ring: &mut Ring, now| ring.turns(1, now, |_| Gate::Room(9), |_| 1).remove(0);
        let turn = one(&mut ring, NOW);
        assert_eq!(turn.lane, early);
        ring.leased(&turn, 1, Some(Priority::Normal), NOW);
        // News of the lane, or the look at all of them, finds that its time has come.
        let later = UnixMs(2_000);
        ring.work(late.clone(), Priority::Low, later, later);
        assert_eq!(one(&mut ring, later).lane, late);
    }

    #[test]
    fn a_turn_that_could_not_be_used_leaves_the_work_due() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        let turn = ring.turns(9, NOW, |_| Gate::Room(4), |_| 1).remove(0);
        ring.unused(&turn, NOW);
        assert_eq!(ring.in_flight(&only), 0);
        assert_eq!(ring.turns(9, NOW, |_| Gate::Room(4), |_| 1), [turn]);
    }

    #[test]
    fn nothing_is_kept_of_a_tenant_without_work() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        let turns = ring.turns(1, NOW, |_| Gate::Room(4), |_| 1);
        ring.leased(&turns[0], 0, Some(Priority::Normal), NOW);
        assert!(ring.lanes.is_empty() && ring.tenants.is_empty() && ring.turns.is_empty());
    }
}
