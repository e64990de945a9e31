//! What crashes cost: a pause before the next instance, and a quarantine when they do not stop.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::limits;

/// One channel's record of crashes.
#[derive(Debug, Default)]
pub(super) struct CrashRecord {
    strikes: VecDeque<Instant>,
    in_a_row: u32,
    closed_until: Option<Instant>,
    quarantined: bool,
    last: Option<String>,
}

/// Whether a call may go ahead.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Gate {
    Open,
    /// Not before this moment.
    Closed {
        until: Instant,
        quarantined: bool,
    },
}

impl CrashRecord {
    /// A call ended with a fault.
    pub(super) fn strike(&mut self, now: Instant, what: String) {
        while self
            .strikes
            .front()
            .is_some_and(|first| now.duration_since(*first) > limits::QUARANTINE_WINDOW)
        {
            self.strikes.pop_front();
        }
        if self.strikes.len() >= limits::QUARANTINE_STRIKES as usize {
            self.strikes.pop_front();
        }
        self.strikes.push_back(now);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(what);
        // One more strike after a quarantine begins the next one at once: the window still holds
        // the earlier ones, or the probe was the first call since.
        self.quarantined =
            self.quarantined || self.strikes.len() >= limits::QUARANTINE_STRIKES as usize;
        let pause =
            if self.quarantined { limits::QUARANTINE_PAUSE } else { backoff(self.in_a_row) };
        self.closed_until = now.checked_add(pause);
    }

    /// A call ended well: all is forgiven.
    pub(super) fn success(&mut self) {
        if self.in_a_row > 0 || self.quarantined {
            *self = Self::default();
        }
    }

    pub(super) fn gate(&self, now: Instant) -> Gate {
        match self.closed_until {
            Some(until) if now < until => Gate::Closed { until, quarantined: self.quarantined },
            _ => Gate::Open,
        }
    }

    /// The last fault, while the record is not clean.
    pub(super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }
}

fn backoff(in_a_row: u32) -> Duration {
    let doublings = in_a_row.saturating_sub(1).min(16);
    limits::RESTART_BACKOFF_FIRST.saturating_mul(1 << doublings).min(limits::RESTART_BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crash(record: &mut CrashRecord, now: Instant) {
        record.strike(now, String::from("trap"));
    }

    #[test]
    fn each_crash_in_a_row_doubles_the_pause() {
        let mut record = CrashRecord::default();
        let now = Instant::now();
        assert_eq!(record.gate(now), Gate::Open);
        for pause_ms in [100, 200, 400] {
            crash(&mut record, now);
            let until = now + Duration::from_millis(pause_ms);
            assert_eq!(record.gate(now), Gate::Closed { until, quarantined: false });
            assert_eq!(record.gate(until), Gate::Open);
        }
        record.success();
        assert_eq!(record.gate(now), Gate::Open);
    }

    #[test]
    fn crashes_inside_the_window_end_in_quarantine_and_a_success_lifts_it() {
        let mut record = CrashRecord::default();
        let now = Instant::now();
        for _ in 0..limits::QUARANTINE_STRIKES {
            crash(&mut record, now);
        }
        let until = now + limits::QUARANTINE_PAUSE;
        assert_eq!(record.gate(now), Gate::Closed { until, quarantined: true });
        crash(&mut record, until);
        assert!(matches!(record.gate(until), Gate::Closed { quarantined: true, .. }));
        record.success();
        assert_eq!(record.gate(until), Gate::Open);
    }

    #[test]
    fn rare_crashes_never_end_in_quarantine() {
        let mut record = CrashRecord::default();
        let mut now = Instant::now();
        for _ in 0..20 {
            crash(&mut record, now);
            assert!(matches!(record.gate(now), Gate::Closed { quarantined: false, .. }));
            now += limits::QUARANTINE_WINDOW;
        }
    }
}
