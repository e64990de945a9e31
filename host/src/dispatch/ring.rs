//! Whose turn it is: deficit round robin between tenants, round robin between a tenant's lanes.
//!
//! Pure bookkeeping. A lane is *ready* when it has due work, room for another delivery, and no
//! reason to pause; only ready lanes take turns, so a limited or broken one costs its neighbours
//! nothing.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, HashSet, VecDeque},
};

use crate::{clock::UnixMs, ids::TenantId, limits, store::Lane};

/// The schedule.
#[derive(Default, Debug)]
pub(super) struct Ring {
    lanes: HashMap<Lane, LaneState>,
    turns: VecDeque<TenantId>,
    tenants: HashMap<TenantId, VecDeque<Lane>>,
    timers: BinaryHeap<Reverse<(UnixMs, Lane)>>,
}

#[derive(Debug, Default)]
struct LaneState {
    /// There is work that is due now.
    has_due: bool,
    /// When the next job is due that is not yet, as far as is known.
    next: Option<UnixMs>,
    in_flight: usize,
    paused_until: Option<UnixMs>,
    in_ring: bool,
    /// The earliest timer that is set for it, so that news of the same work set no second one.
    timer: Option<UnixMs>,
}

/// A turn: lease at most `max` jobs of `lane`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) lane: Lane,
    pub(super) max: usize,
}

impl Ring {
    /// `lane` has a job due at `due`.
    pub(super) fn work(&mut self, lane: Lane, due: UnixMs, now: UnixMs) {
        let state = self.lanes.entry(lane.clone()).or_default();
        if due <= now {
            state.has_due = true;
        } else if state.next.is_none_or(|known| due < known) {
            state.next = Some(due);
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
        let state = self.lanes.entry(lane.clone()).or_default();
        state.paused_until = Some(until);
        self.consider(lane, now);
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
        if state.next.is_some_and(|next| next <= now) {
            state.next = None;
            state.has_due = true;
        }
        let wake = if state.has_due { state.paused_until } else { state.next };
        if let Some(wake) = wake
            && state.timer.is_none_or(|set| wake < set)
        {
            state.timer = Some(wake);
            self.timers.push(Reverse((wake, lane.clone())));
        }
        if !state.has_due {
            let idle = state.in_flight == 0 && state.paused_until.is_none() && !state.in_ring;
            if idle && state.next.is_none() {
                self.lanes.remove(&lane);
            }
            return;
        }
        if state.paused_until.is_some() || state.in_ring {
            return;
        }
        state.in_ring = true;
        let queue = self.tenants.entry(lane.tenant).or_default();
        if queue.is_empty() {
            self.turns.push_back(lane.tenant);
        }
        queue.push_back(lane);
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

    /// Gives out turns for at most `slots` jobs. `capacity` says how many deliveries a lane may
    /// have in flight. What is given out counts as in flight until [`Self::leased`] says how much
    /// of it was used.
    pub(super) fn turns(
        &mut self,
        mut slots: usize,
        now: UnixMs,
        capacity: impl Fn(&Lane) -> usize,
    ) -> Vec<Turn> {
        let mut turns = Vec::new();
        // Each tenant once around at most: what is left is for the next call, with fresh news.
        for _ in 0..self.turns.len() {
            if slots == 0 {
                break;
            }
            let Some(tenant) = self.turns.pop_front() else { break };
            let mut quantum = limits::FAIRNESS_QUANTUM;
            let queue_length = self.tenants.get(&tenant).map_or(0, VecDeque::len);
            for _ in 0..queue_length {
                if quantum == 0 || slots == 0 {
                    break;
                }
                let Some(lane) = self.tenants.get_mut(&tenant).and_then(VecDeque::pop_front) else {
                    break;
                };
                let Some(state) = self.lanes.get_mut(&lane) else { continue };
                state.in_ring = false;
                if state.paused_until.is_some_and(|until| until > now) {
                    self.consider(lane, now);
                    continue;
                }
                let room = capacity(&lane).saturating_sub(state.in_flight);
                let max = room.min(quantum).min(slots);
                if max == 0 {
                    // Full: `finished` brings it back.
                    continue;
                }
                state.in_flight += max;
                quantum -= max;
                slots -= max;
                turns.push(Turn { lane, max });
            }
            match self.tenants.get(&tenant) {
                Some(queue) if queue.is_empty() => drop(self.tenants.remove(&tenant)),
                Some(_) => self.turns.push_back(tenant),
                None => {}
            }
        }
        turns
    }

    /// What came of a turn: `used` jobs were leased of the `max` that it allowed.
    pub(super) fn leased(&mut self, turn: &Turn, used: usize, now: UnixMs) {
        let Some(state) = self.lanes.get_mut(&turn.lane) else { return };
        state.in_flight = state.in_flight.saturating_sub(turn.max.saturating_sub(used));
        if used < turn.max {
            // Nothing more is due. Work that comes, or came in this moment, is hinted at again.
            state.has_due = false;
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
            ring.work(lane.clone(), NOW, NOW);
        }
        ring
    }

    #[test]
    fn tenants_take_turns_however_many_lanes_they_have() {
        let (a1, a2, b1) = (lane(1, "a"), lane(1, "b"), lane(2, "a"));
        let mut ring = ring(&[a1.clone(), a2.clone(), b1.clone()]);
        let turns = ring.turns(1000, NOW, |_| 100);
        let of = |tenant: &Lane| -> usize {
            turns.iter().filter(|turn| turn.lane.tenant == tenant.tenant).map(|turn| turn.max).sum()
        };
        assert_eq!(of(&a1), limits::FAIRNESS_QUANTUM);
        assert_eq!(of(&b1), limits::FAIRNESS_QUANTUM);
        for turn in &turns {
            ring.leased(turn, turn.max, NOW);
        }
        let second: Vec<_> =
            ring.turns(1000, NOW, |_| 100).into_iter().map(|turn| turn.lane).collect();
        assert!(second.contains(&a2), "the lane that got nothing is next: {second:?}");
    }

    #[test]
    fn a_full_lane_takes_no_turn_until_a_delivery_is_over() {
        let full = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&full));
        let turns = ring.turns(10, NOW, |_| 2);
        assert_eq!(turns, [Turn { lane: full.clone(), max: 2 }]);
        ring.leased(&turns[0], 2, NOW);
        assert_eq!(ring.turns(10, NOW, |_| 2), []);
        ring.finished(full.clone(), NOW);
        assert_eq!(ring.turns(10, NOW, |_| 2), [Turn { lane: full, max: 1 }]);
    }

    #[test]
    fn a_lane_without_work_leaves_and_comes_back_with_work() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        let turns = ring.turns(10, NOW, |_| 4);
        ring.leased(&turns[0], 0, NOW);
        assert_eq!(ring.in_flight(&only), 0);
        assert_eq!(ring.turns(10, NOW, |_| 4), []);
        assert!(ring.lanes.is_empty(), "nothing is kept of a lane without work");
        ring.work(only, NOW, NOW);
        assert_eq!(ring.turns(10, NOW, |_| 4).len(), 1);
    }

    #[test]
    fn work_that_is_done_does_not_hide_work_that_is_to_come() {
        let only = lane(1, "a");
        let mut ring = ring(std::slice::from_ref(&only));
        ring.work(only.clone(), UnixMs(1_200), NOW);
        let turns = ring.turns(10, NOW, |_| 4);
        ring.leased(&turns[0], 1, NOW);
        ring.finished(only.clone(), NOW);
        assert_eq!(ring.next_timer(), Some(UnixMs(1_200)));
        ring.tick(UnixMs(1_200));
        assert_eq!(ring.turns(10, UnixMs(1_200), |_| 4), [Turn { lane: only, max: 4 }]);
    }

    #[test]
    fn future_and_paused_work_waits_for_its_time() {
        let (later, paused) = (lane(1, "a"), lane(2, "a"));
        let mut ring = Ring::default();
        ring.work(later.clone(), UnixMs(2_000), NOW);
        ring.pause(paused.clone(), UnixMs(3_000), NOW);
        ring.work(paused.clone(), NOW, NOW);
        assert_eq!(ring.turns(10, NOW, |_| 4), []);
        assert_eq!(ring.next_timer(), Some(UnixMs(2_000)));
        ring.tick(UnixMs(2_000));
        assert_eq!(ring.turns(10, UnixMs(2_000), |_| 4), [Turn { lane: later, max: 4 }]);
        ring.resume_all(UnixMs(2_000));
        assert_eq!(ring.turns(10, UnixMs(2_000), |_| 4), [Turn { lane: paused, max: 4 }]);
    }
}
