//! One circuit breaker, as pure bookkeeping: closed, open until a moment, half-open with one probe.
//!
//! *Closed*: everything passes and failures in a row are counted, for a destination also how many of
//! the last calls failed. *Open*: nothing passes. *Half-open*: the time is over, and one message is
//! let through to find out; the others wait for its result.

use std::time::Duration;

use super::recent::Recent;
use crate::{clock::UnixMs, limits};

/// What the end of one call says to a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Signal {
    /// It works.
    Good,
    /// It failed; that alone proves little.
    Failed,
    /// It failed, and whoever knows said when to come back.
    Wait(Duration),
    /// It cannot work before something is mended.
    Stop,
}

/// Whether a message may pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Pass {
    /// Any number.
    Free,
    /// One, to find out: tell [`Breaker::probe`] when it goes.
    Probe,
    /// None: the probe is on its way.
    Probing,
    /// None before this moment.
    Not(UnixMs),
}

/// What a signal has changed, for the log and the metrics.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    Opened,
    /// A probe failed, or a longer wait was asked for.
    StaysOpen,
    Closed,
}

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Breaker {
    /// Failures in a row that open it.
    failures_max: u32,
    failures: u32,
    /// How the last calls went, where the rate of failures opens it too.
    recent: Option<Recent>,
    /// Some: it is open until then, and half-open from then on.
    until: Option<UnixMs>,
    probing: bool,
    /// It was opened by [`Signal::Stop`].
    stopped: bool,
    /// How often in a row it was opened.
    times: u32,
}

impl Breaker {
    /// A closed one, which so many failures in a row open.
    pub(super) const fn new(failures_max: u32) -> Self {
        Self {
            failures_max,
            failures: 0,
            recent: None,
            until: None,
            probing: false,
            stopped: false,
            times: 0,
        }
    }

    /// The same, and a high rate of failures opens it too: for what all messages go to alike, where a
    /// success now and then says little about the next one.
    pub(super) fn with_rate(failures_max: u32) -> Self {
        Self { recent: Some(Recent::default()), ..Self::new(failures_max) }
    }

    pub(super) const fn is_closed(&self) -> bool {
        self.until.is_none()
    }

    /// Whether one more failure would open it.
    pub(super) const fn is_at_the_edge(&self) -> bool {
        self.failures.saturating_add(1) >= self.failures_max
    }

    /// Whether it remembers nothing that a new one would not.
    pub(super) const fn is_clean(&self) -> bool {
        let recent_clean = match &self.recent {
            Some(recent) => recent.is_clean(),
            None => true,
        };
        self.until.is_none() && self.failures == 0 && recent_clean
    }

    /// Whether it is open because something must be mended.
    pub(super) const fn is_stopped(&self) -> bool {
        self.stopped
    }

    pub(super) const fn until(&self) -> Option<UnixMs> {
        self.until
    }

    /// "closed", "open" or "half-open".
    pub(super) fn state(&self, now: UnixMs) -> &'static str {
        match self.until {
            None => "closed",
            Some(until) if now < until => "open",
            Some(_) => "half-open",
        }
    }

    /// Whether a message may pass now.
    pub(super) fn pass(&self, now: UnixMs) -> Pass {
        match self.until {
            None => Pass::Free,
            Some(until) if now < until => Pass::Not(until),
            Some(_) if self.probing => Pass::Probing,
            Some(_) => Pass::Probe,
        }
    }

    /// A probe is on its way.
    pub(super) const fn probe(&mut self) {
        self.probing = true;
    }

    /// The probe was not made after all.
    pub(super) const fn probe_dropped(&mut self) {
        self.probing = false;
    }

    /// A call is over. `probe`: it was the probe; what was on its way before that says nothing new
    /// about an open breaker, unless it brings a longer wait.
    pub(super) fn signal(&mut self, signal: Signal, probe: bool, now: UnixMs) -> Option<Change> {
        if probe {
            self.probing = false;
        }
        let open = self.until.is_some();
        if let Some(recent) = &mut self.recent
            && !open
        {
            recent.note(signal != Signal::Good, now);
        }
        match signal {
            Signal::Good if open && !probe => None,
            Signal::Good => {
                // What was before it opened says nothing about how it goes now.
                let recent = self.recent.map(|known| if open { Recent::default() } else { known });
                *self = Self { recent, ..Self::new(self.failures_max) };
                open.then_some(Change::Closed)
            }
            Signal::Failed if open && !probe => None,
            Signal::Failed => {
                self.failures = self.failures.saturating_add(1);
                let too_many = self.failures >= self.failures_max;
                if !open && !too_many && !self.recent.is_some_and(|recent| recent.is_bad()) {
                    return None;
                }
                self.open(now.after(self.pause()), open)
            }
            Signal::Wait(asked) => {
                let until = now.after(asked.min(limits::BREAKER_ASKED_MAX));
                // Never shortened by a call that was told less.
                self.open(self.until.map_or(until, |known| known.max(until)), open)
            }
            Signal::Stop => {
                self.stopped = true;
                self.open(now.after(limits::MISCONFIGURED_PROBE), open)
            }
        }
    }

    /// For how long it would open now.
    pub(super) fn pause(&self) -> Duration {
        if self.stopped {
            return limits::MISCONFIGURED_PROBE;
        }
        let doublings = self.times.min(16);
        limits::BREAKER_OPEN_FIRST.saturating_mul(1 << doublings).min(limits::BREAKER_OPEN_MAX)
    }

    fn open(&mut self, until: UnixMs, was_open: bool) -> Option<Change> {
        self.times = self.times.saturating_add(1);
        self.until = Some(until);
        Some(if was_open { Change::StaysOpen } else { Change::Opened })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMs = UnixMs(1_000);

    fn open() -> Breaker {
        let mut breaker = Breaker::new(2);
        breaker.signal(Signal::Failed, false, NOW);
        assert_eq!(breaker.signal(Signal::Failed, false, NOW), Some(Change::Opened));
        breaker
    }

    #[test]
    fn only_failures_in_a_row_open_it() {
        let mut breaker = Breaker::new(2);
        for _ in 0..5 {
            assert_eq!(breaker.signal(Signal::Failed, false, NOW), None);
            assert_eq!(breaker.signal(Signal::Good, false, NOW), None);
        }
        assert_eq!(breaker.pass(NOW), Pass::Free);
        assert!(breaker.is_clean());
        assert_eq!(open().pass(NOW), Pass::Not(NOW.after(limits::BREAKER_OPEN_FIRST)));
    }

    /// `failures` failures and a success, again and again, a second apart; after how many calls it
    /// opens.
    fn opens_after(mut breaker: Breaker, failures: u32, apart: Duration) -> Option<u32> {
        let mut now = NOW;
        for call in 1..=200 {
            now = now.after(apart);
            let signal = if call % (failures + 1) == 0 { Signal::Good } else { Signal::Failed };
            if breaker.signal(signal, false, now) == Some(Change::Opened) {
                return Some(call);
            }
        }
        None
    }

    #[test]
    fn a_success_now_and_then_does_not_keep_a_destination_open() {
        let second = Duration::from_secs(1);
        let destination = || Breaker::with_rate(20);
        assert_eq!(opens_after(Breaker::new(20), 9, second), None, "in a row there are only nine");
        assert_eq!(opens_after(destination(), 9, second), Some(51));
        assert_eq!(opens_after(destination(), 7, second), None, "44 of 50 are not enough");
        let seldom = limits::BREAKER_WINDOW_GAP + second;
        assert_eq!(opens_after(destination(), 9, seldom), None, "that is no outage");
    }

    #[test]
    fn a_destination_that_works_again_begins_anew() {
        let mut breaker = Breaker::with_rate(20);
        let mut now = NOW;
        for call in 1..=51 {
            now = now.after(Duration::from_secs(1));
            let signal = if call % 10 == 0 { Signal::Good } else { Signal::Failed };
            breaker.signal(signal, false, now);
        }
        let then = breaker.until().unwrap();
        breaker.probe();
        assert_eq!(breaker.signal(Signal::Good, true, then), Some(Change::Closed));
        assert!(breaker.is_clean());
        assert_eq!(breaker.signal(Signal::Failed, false, then), None);
        assert!(!breaker.is_clean());
        for _ in 0..limits::BREAKER_WINDOW {
            assert_eq!(breaker.signal(Signal::Good, false, then), None);
        }
        assert!(breaker.is_clean(), "a failure is forgotten after a window of successes");
    }

    #[test]
    fn when_the_time_is_over_one_probe_decides() {
        let mut breaker = open();
        let then = NOW.after(limits::BREAKER_OPEN_FIRST);
        assert_eq!((breaker.state(NOW), breaker.state(then)), ("open", "half-open"));
        assert_eq!(breaker.pass(then), Pass::Probe);
        breaker.probe();
        assert_eq!(breaker.pass(then), Pass::Probing);
        assert_eq!(breaker.signal(Signal::Good, true, then), Some(Change::Closed));
        assert_eq!(breaker.pass(then), Pass::Free);
    }

    #[test]
    fn a_probe_that_was_not_made_leaves_the_place_to_another() {
        let mut breaker = open();
        let then = NOW.after(limits::BREAKER_OPEN_FIRST);
        breaker.probe();
        breaker.probe_dropped();
        assert_eq!(breaker.pass(then), Pass::Probe);
    }

    #[test]
    fn each_failed_probe_doubles_the_time_up_to_the_cap() {
        let mut breaker = open();
        let mut now = NOW;
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let until = breaker.until().unwrap();
            pauses.push(until.since(now).as_secs());
            now = until;
            breaker.probe();
            assert_eq!(breaker.signal(Signal::Failed, true, now), Some(Change::StaysOpen));
        }
        assert_eq!(pauses[..4], [1, 2, 4, 8]);
        assert_eq!(pauses[11], limits::BREAKER_OPEN_MAX.as_secs());
    }

    #[test]
    fn calls_from_before_it_opened_neither_close_it_nor_prolong_it() {
        let mut breaker = open();
        let before = breaker.until();
        assert_eq!(breaker.signal(Signal::Good, false, NOW), None);
        assert_eq!(breaker.signal(Signal::Failed, false, NOW), None);
        assert_eq!(breaker.until(), before);
    }

    #[test]
    fn a_waiting_time_opens_at_once_and_is_never_shortened() {
        let mut breaker = Breaker::new(10);
        let minute = Signal::Wait(Duration::from_mins(1));
        assert_eq!(breaker.signal(minute, false, NOW), Some(Change::Opened));
        breaker.signal(Signal::Wait(Duration::from_secs(1)), false, NOW);
        assert_eq!(breaker.until(), Some(UnixMs(61_000)));
        breaker.signal(Signal::Wait(Duration::from_mins(2)), false, NOW);
        assert_eq!(breaker.until(), Some(UnixMs(121_000)));
        let mut long = Breaker::new(10);
        long.signal(Signal::Wait(Duration::MAX), false, NOW);
        assert_eq!(long.until(), Some(NOW.after(limits::BREAKER_ASKED_MAX)));
    }

    #[test]
    fn what_is_misconfigured_stops_at_once_and_is_probed_slowly() {
        let mut breaker = Breaker::new(10);
        assert_eq!(breaker.signal(Signal::Stop, false, NOW), Some(Change::Opened));
        assert!(breaker.is_stopped());
        let mut now = NOW;
        for _ in 0..3 {
            let until = breaker.until().unwrap();
            assert_eq!(until.since(now), limits::MISCONFIGURED_PROBE);
            now = until;
            breaker.probe();
            breaker.signal(Signal::Stop, true, now);
        }
        breaker.probe();
        assert_eq!(breaker.signal(Signal::Good, true, now), Some(Change::Closed));
        assert!(!breaker.is_stopped());
    }
}
