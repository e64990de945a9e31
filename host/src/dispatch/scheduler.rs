//! The scheduler: leases due jobs, fairly and never more than can run, and hands them over.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Finished,
    delivery::{self, Starter},
    guards::Gate,
    ring::{Ring, Turn},
};
use crate::{
    clock::UnixMs,
    generation::Generation,
    ids::TenantId,
    limits, sandbox,
    store::{Lane, Leased, Ready, Want},
};

/// The store is asked for every lane with work this often, in case a hint was lost.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The pause after the store could not answer: first and longest.
const STORE_PAUSE_FIRST: Duration = Duration::from_millis(50);
const STORE_PAUSE_MAX: Duration = Duration::from_secs(5);

pub(super) struct Scheduler {
    starter: Starter,
    finished: mpsc::Receiver<Finished>,
    stopping: CancellationToken,
    nudge: Arc<Notify>,
    ring: Ring,
    in_flight: usize,
}

impl Scheduler {
    pub(super) fn new(
        starter: Starter,
        finished: mpsc::Receiver<Finished>,
        stopping: CancellationToken,
        nudge: Arc<Notify>,
    ) -> Self {
        let ring = Ring::default();
        Self { starter, finished, stopping, nudge, ring, in_flight: 0 }
    }

    /// Runs until it is told to stop and the last delivery is over.
    pub(super) async fn run(mut self) {
        let mut look = tokio::time::interval(LOOK_AGAIN);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut pause = STORE_PAUSE_FIRST;
        let store = Arc::clone(&self.starter.dispatch.store);
        let stopping = self.stopping.clone();
        let nudge = Arc::clone(&self.nudge);
        // Both live as long as the loop: to enter and leave the runtime's lists at every turn costs
        // more than the turn.
        let mut stopped = pin!(stopping.cancelled());
        let mut timer = pin!(tokio::time::sleep(LOOK_AGAIN));
        let mut timer_set: Option<UnixMs> = None;
        loop {
            if !stopping.is_cancelled() {
                self.take_hints();
                match self.lease().await {
                    Ok(()) => pause = STORE_PAUSE_FIRST,
                    Err(error) => {
                        tracing::error!("nothing can be leased: {error}");
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(STORE_PAUSE_MAX);
                    }
                }
            } else if self.in_flight == 0 {
                return;
            }
            let next = self.ring.next_timer();
            if let Some(at) = next.filter(|_| next != timer_set) {
                let left = at.since(self.starter.dispatch.clock.now());
                timer.as_mut().reset(tokio::time::Instant::now() + left);
            }
            timer_set = next;
            tokio::select! {
                biased;
                Some(finished) = self.finished.recv() => self.finish(finished),
                () = store.hints().changed() => {}
                _ = look.tick() => self.look().await,
                () = nudge.notified() => {
                    self.starter.guards.adopt(&self.starter.dispatch.current.load());
                    self.ring.resume_all(self.starter.dispatch.clock.now());
                }
                () = &mut timer, if timer_set.is_some() => timer_set = None,
                () = &mut stopped, if !stopping.is_cancelled() => {}
            }
            // Whatever else is ready runs first and leaves more to do at once: under load one turn
            // serves many messages, and alone this is a microsecond.
            tokio::task::yield_now().await;
            while let Ok(finished) = self.finished.try_recv() {
                self.finish(finished);
            }
        }
    }

    fn finish(&mut self, finished: Finished) {
        match finished {
            Finished::Calls(lanes) => {
                let now = self.starter.dispatch.clock.now();
                for lane in lanes {
                    self.ring.finished(lane, now);
                }
            }
            Finished::Settled(count) => self.in_flight = self.in_flight.saturating_sub(count),
        }
    }

    fn take_hints(&mut self) {
        let now = self.starter.dispatch.clock.now();
        for (lane, hint) in self.starter.dispatch.store.hints().take() {
            self.ring.work(lane, hint.priority, hint.due, now);
        }
        self.ring.tick(now);
    }

    async fn look(&mut self) {
        match self.starter.dispatch.store.ready().await {
            Ok(ready) => {
                let now = self.starter.dispatch.clock.now();
                let lanes = ready.chunk_by(|one, next| one.lane == next.lane).count();
                self.starter.dispatch.observer.lanes(lanes);
                for Ready { lane, priority, due } in ready {
                    self.ring.work(lane, priority, due, now);
                }
            }
            Err(error) => tracing::error!("the queue could not be looked at: {error}"),
        }
    }

    /// Leases and hands over until there is no ready lane or no slot.
    async fn lease(&mut self) -> Result<(), crate::store::StoreError> {
        loop {
            let slots = limits::DELIVERIES_AT_ONCE.saturating_sub(self.in_flight);
            let generation = self.starter.dispatch.current.load();
            let now = self.starter.dispatch.clock.now();
            let starter = &self.starter;
            let turns = self.ring.turns(
                slots,
                now,
                |lane| gate(&generation, starter, lane, now),
                |tenant| weight(&generation, tenant),
            );
            if turns.is_empty() {
                return Ok(());
            }
            let wants =
                turns.iter().map(|turn| Want { lane: turn.lane.clone(), max: turn.max }).collect();
            match self.starter.dispatch.store.lease(wants, lease_ttl(&generation)).await {
                Ok(leased) => self.hand_over(&generation, &turns, leased),
                Err(error) => {
                    for turn in &turns {
                        self.ring.unused(turn, now);
                    }
                    return Err(error);
                }
            }
            while let Ok(finished) = self.finished.try_recv() {
                self.finish(finished);
            }
            self.take_hints();
            if self.stopping.is_cancelled() {
                return Ok(());
            }
        }
    }

    fn hand_over(&mut self, generation: &Arc<Generation>, turns: &[Turn], leased: Vec<Leased>) {
        let now = self.starter.dispatch.clock.now();
        for turn in turns {
            let of_turn = leased.iter().filter(|leased| leased.lane == turn.lane);
            let left = of_turn.clone().map(|leased| leased.most_urgent).max();
            self.ring.leased(turn, of_turn.count(), left, now);
        }
        self.in_flight += leased.len();
        for leased in leased {
            let lane = leased.lane.clone();
            if let Some(pause) = delivery::begin(&self.starter, generation, leased) {
                let now: UnixMs = self.starter.dispatch.clock.now();
                self.ring.pause(lane, now.after(pause), now);
            }
        }
    }
}

/// Whether a lane may go: with as many deliveries as its channel's instances can take, unless
/// something holds it back. A lane that has lost its channel gets one at a time, to find out that it
/// has.
fn gate(generation: &Generation, starter: &Starter, lane: &Lane, now: UnixMs) -> Gate {
    let Some(channel) = starter.postman.channel_of(generation, lane) else {
        return Gate::Room(1);
    };
    let instances = match lane.channel.is_callbacks() {
        true => limits::CALLBACKS_AT_ONCE,
        false => {
            let plugin = generation.config.plugins.get(&channel.plugin);
            let loaded = generation.plugins.get(&channel.plugin);
            match starter.dispatch.sandbox.gate(lane) {
                sandbox::Gate::Open => match (plugin, loaded) {
                    (Some(plugin), Some(loaded)) => loaded.in_flight_max(&plugin.limits),
                    (Some(plugin), None) => plugin.limits.instances_max,
                    (None, _) => 1,
                },
                sandbox::Gate::Probe => 1,
                // The probe is this lane's own: its end brings the lane back.
                sandbox::Gate::Probing => return Gate::Room(0),
                // Its messages that have another channel need not wait.
                sandbox::Gate::Quarantined(_) if starter.guards.leads_on(lane, channel) => {
                    limits::FALLBACK_SWEEP
                }
                sandbox::Gate::Closed(until) | sandbox::Gate::Quarantined(until) => {
                    return Gate::Until(now.after(until.saturating_duration_since(Instant::now())));
                }
            }
        }
    };
    match starter.guards.gate(generation, channel, lane, now) {
        Gate::Room(room) => Gate::Room(room.min(instances)),
        until @ Gate::Until(_) => until,
    }
}

/// A tenant's share of the deliveries, relative to the others'.
fn weight(generation: &Generation, tenant: TenantId) -> usize {
    let tenant = generation.config.tenants.get(&tenant);
    tenant.map_or(1, |tenant| tenant.limits.weight as usize)
}

/// Longer than the longest call that any plugin may make, with the start of an instance before it.
fn lease_ttl(generation: &Generation) -> Duration {
    let wall = generation.config.plugins.values().map(|plugin| plugin.limits.wall).max();
    wall.unwrap_or(limits::SEND_WALL_DEFAULT) + limits::INITIALIZE_WALL + limits::LEASE_MARGIN
}
