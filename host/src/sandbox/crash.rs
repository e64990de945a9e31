//! What faults cost a channel: a pause before the next call, and a quarantine when they do not stop.
//!
//! Faults count by *cause*: a message that makes its instance fail again and again is one cause, so
//! it neither lengthens the pauses of the others nor adds up to a quarantine. Different messages that
//! fail one after the other do, and so do instances that fail before they have seen a message.
//!
//! After a pause one call is let through, the *probe*; the others wait for its result. A success
//! forgives everything. A probe that fails in quarantine doubles the pause.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{ids::NotificationId, limits};

/// One channel's record of faults.
#[derive(Debug, Default)]
pub(super) struct CrashRecord {
    strikes: VecDeque<Strike>,
    in_a_row: u32,
    closed_until: Option<Instant>,
    quarantine: Option<Quarantine>,
    probing: bool,
    last: Option<String>,
}

#[derive(Debug)]
struct Strike {
    at: Instant,
    /// The message; none for an instance that did not start.
    cause: Option<NotificationId>,
}

#[derive(Clone, Copy, Debug)]
struct Quarantine {
    since: Instant,
    failed_probes: u32,
}

/// Whether a call may go ahead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gate {
    /// It may, and so may others.
    Open,
    /// It may, alone: to find out whether the channel works again.
    Probe,
    /// Not before the result of the probe that is under way.
    Probing,
    /// Not before this moment.
    Closed(Instant),
}

/// A fault to be recorded.
#[derive(Debug)]
pub(super) struct Blame {
    /// The message that it happened with; none for an instance that did not start.
    pub(super) cause: Option<NotificationId>,
    /// What happened, for people.
    pub(super) what: String,
    /// Whether the call was the probe.
    pub(super) probe: bool,
}

/// What is to be told about a channel in quarantine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuarantineStatus {
    /// For how long it has been in quarantine.
    pub held_for: Duration,
    /// When the next message is let through to try; zero: as soon as there is one.
    pub opens_in: Duration,
    /// How many such messages have failed.
    pub failed_probes: u32,
}

impl CrashRecord {
    /// A call ended with a fault. True when the channel is in quarantine from now on.
    pub(super) fn strike(&mut self, now: Instant, blame: Blame) -> bool {
        while self
            .strikes
            .front()
            .is_some_and(|first| now.duration_since(first.at) > limits::QUARANTINE_WINDOW)
        {
            self.strikes.pop_front();
        }
        let known =
            blame.cause.is_some() && self.strikes.iter().any(|strike| strike.cause == blame.cause);
        if !known {
            if self.strikes.len() >= limits::QUARANTINE_STRIKES as usize {
                self.strikes.pop_front();
            }
            self.strikes.push_back(Strike { at: now, cause: blame.cause });
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        self.last = Some(blame.what);
        self.probing = self.probing && !blame.probe;
        let pause = match &mut self.quarantine {
            Some(quarantine) => {
                if blame.probe {
                    quarantine.failed_probes = quarantine.failed_probes.saturating_add(1);
                }
                doubled(
                    limits::QUARANTINE_PAUSE_FIRST,
                    quarantine.failed_probes,
                    limits::QUARANTINE_PAUSE_MAX,
                )
            }
            None if self.strikes.len() >= limits::QUARANTINE_STRIKES as usize => {
                self.quarantine = Some(Quarantine { since: now, failed_probes: 0 });
                self.closed_until = now.checked_add(limits::QUARANTINE_PAUSE_FIRST);
                return true;
            }
            None => doubled(
                limits::RESTART_BACKOFF_FIRST,
                self.in_a_row.saturating_sub(1),
                limits::RESTART_BACKOFF_MAX,
            ),
        };
        self.closed_until = now.checked_add(pause);
        false
    }

    /// A call ended well: all is forgiven. True when that ends a quarantine.
    pub(super) fn success(&mut self) -> bool {
        let was_quarantined = self.quarantine.is_some();
        if !self.is_clean() {
            *self = Self::default();
        }
        was_quarantined
    }

    /// Whether there is nothing on record.
    pub(super) const fn is_clean(&self) -> bool {
        self.last.is_none()
    }

    /// Whether it is in quarantine.
    pub(super) const fn is_quarantined(&self) -> bool {
        self.quarantine.is_some()
    }

    pub(super) fn gate(&self, now: Instant) -> Gate {
        match self.closed_until {
            None => Gate::Open,
            Some(until) if now < until => Gate::Closed(until),
            Some(_) if self.probing => Gate::Probing,
            Some(_) => Gate::Probe,
        }
    }

    /// The probe is under way.
    pub(super) const fn begin_probe(&mut self) {
        self.probing = true;
    }

    /// The probe is over, whatever came of it.
    pub(super) const fn end_probe(&mut self) {
        self.probing = false;
    }

    /// The last fault, while the record is not clean.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// How many different causes are on record.
    pub(super) fn strikes(&self) -> usize {
        self.strikes.len()
    }

    /// For how long it is closed.
    pub(super) fn closed_for(&self, now: Instant) -> Duration {
        self.closed_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    /// The quarantine, if it is in one.
    pub(super) fn quarantine(&self, now: Instant) -> Option<QuarantineStatus> {
        self.quarantine.map(|quarantine| QuarantineStatus {
            held_for: now.saturating_duration_since(quarantine.since),
            opens_in: self.closed_for(now),
            failed_probes: quarantine.failed_probes,
        })
    }
}

fn doubled(first: Duration, times: u32, max: Duration) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u128) -> Option<NotificationId> {
        Some(NotificationId(uuid::Uuid::from_u128(number)))
    }

    fn crash(record: &mut CrashRecord, now: Instant, cause: Option<NotificationId>) -> bool {
        record.strike(now, Blame { cause, what: String::from("trap"), probe: false })
    }

    fn failed_probe(record: &mut CrashRecord, now: Instant) {
        record.begin_probe();
        assert_eq!(record.gate(now), Gate::Probing);
        record.strike(now, Blame { cause: message(1), what: String::from("trap"), probe: true });
    }

    fn quarantined(now: Instant) -> CrashRecord {
        let mut record = CrashRecord::default();
        for number in 1..=limits::QUARANTINE_STRIKES {
            let last = number == limits::QUARANTINE_STRIKES;
            assert_eq!(crash(&mut record, now, message(number.into())), last);
        }
        record
    }

    #[test]
    fn each_message_that_crashes_doubles_the_pause() {
        let mut record = CrashRecord::default();
        let now = Instant::now();
        assert_eq!(record.gate(now), Gate::Open);
        for (number, pause_ms) in [(1, 100), (2, 200), (3, 400)] {
            crash(&mut record, now, message(number));
            let until = now + Duration::from_millis(pause_ms);
            assert_eq!(record.gate(now), Gate::Closed(until));
            assert_eq!(record.gate(until), Gate::Probe);
        }
        assert!(!record.success());
        assert_eq!(record.gate(now), Gate::Open);
    }

    #[test]
    fn one_message_over_and_over_is_one_cause() {
        let mut record = CrashRecord::default();
        let now = Instant::now();
        for _ in 0..20 {
            assert!(!crash(&mut record, now, message(1)));
            assert_eq!(record.closed_for(now), limits::RESTART_BACKOFF_FIRST);
        }
        assert_eq!((record.strikes(), record.quarantine(now)), (1, None));
    }

    #[test]
    fn instances_that_do_not_start_add_up() {
        let mut record = CrashRecord::default();
        let now = Instant::now();
        for number in 1..=limits::QUARANTINE_STRIKES {
            let last = number == limits::QUARANTINE_STRIKES;
            assert_eq!(crash(&mut record, now, None), last);
        }
    }

    #[test]
    fn different_messages_end_in_quarantine_and_a_success_lifts_it() {
        let now = Instant::now();
        let mut record = quarantined(now);
        let until = now + limits::QUARANTINE_PAUSE_FIRST;
        assert_eq!(record.gate(now), Gate::Closed(until));
        assert_eq!(record.gate(until), Gate::Probe);
        record.begin_probe();
        assert_eq!(record.gate(until), Gate::Probing);
        assert!(record.success());
        assert_eq!(record.gate(until), Gate::Open);
        assert!(record.is_clean());
    }

    #[test]
    fn each_failed_probe_doubles_the_quarantine_up_to_its_cap() {
        let mut now = Instant::now();
        let mut record = quarantined(now);
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let pause = record.closed_for(now);
            pauses.push(pause);
            now += pause;
            failed_probe(&mut record, now);
        }
        let first = limits::QUARANTINE_PAUSE_FIRST;
        assert_eq!(pauses[..3], [first, first * 2, first * 4]);
        assert_eq!(pauses[11], limits::QUARANTINE_PAUSE_MAX);
        assert_eq!(record.quarantine(now).unwrap().failed_probes, 12);
    }

    #[test]
    fn calls_that_were_under_way_when_it_began_do_not_prolong_it() {
        let now = Instant::now();
        let mut record = quarantined(now);
        for number in 100..110 {
            assert!(!crash(&mut record, now, message(number)));
        }
        assert_eq!(record.closed_for(now), limits::QUARANTINE_PAUSE_FIRST);
    }

    #[test]
    fn rare_crashes_never_end_in_quarantine() {
        let mut record = CrashRecord::default();
        let mut now = Instant::now();
        for number in 0..20 {
            assert!(!crash(&mut record, now, message(number)));
            now += limits::QUARANTINE_WINDOW;
        }
    }
}
