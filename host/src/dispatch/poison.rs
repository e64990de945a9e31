//! Messages that are poison to their plugin: each makes its instance fail again and again while the
//! channel's other messages get through.
//!
//! Such a message is given up after [`limits::POISON_FAULTS`] faults. Where nothing else gets
//! through, the plugin may be to blame as well, so the message is tried as its policy says. The
//! counts are in memory: a restart forgets them, and the policy's attempts are the bound.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    bounded::Bounded,
    ids::NotificationId,
    limits,
    sandbox::{FaultKind, Outcome, Report},
};

/// A notification, and which life of it: a replay is judged anew.
type Suspect = (NotificationId, u32);

/// What is held against a message.
#[derive(Debug)]
struct Record {
    digest: Arc<str>,
    faults: u32,
    /// The channel's successes when it failed for the first time.
    successes: u64,
}

/// The messages under suspicion.
#[derive(Debug)]
pub(super) struct Poison(Mutex<Bounded<Suspect, Record>>);

impl Poison {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Bounded::new(limits::POISON_SUSPECTS_MAX)))
    }

    /// Takes note of how a call of this message ended. True when the message is to be given up.
    pub(super) fn convicts(&self, id: NotificationId, life: u32, report: &Report) -> bool {
        let Outcome::Fault(fault) = &report.outcome else { return false };
        match fault.kind {
            FaultKind::Trap
            | FaultKind::Cpu
            | FaultKind::Memory
            | FaultKind::Stack
            | FaultKind::HostCall => {}
            // These can come from a slow provider, or from the plugin alone.
            FaultKind::Timeout | FaultKind::Start | FaultKind::HostMemory => return false,
        }
        let suspect = (id, life);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let digest = Arc::clone(&report.digest);
            Record { digest, faults: 0, successes: report.successes }
        };
        let record = table.get_or_insert(&suspect, new);
        // Another file, or another binding, which counts from zero: a new trial.
        if record.digest != report.digest || record.successes > report.successes {
            *record = new();
        }
        record.faults += 1;
        let guilty = record.faults >= limits::POISON_FAULTS && report.successes > record.successes;
        if guilty {
            table.remove(&suspect);
        }
        guilty
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        ids::Digest,
        sandbox::{Fault, Usage},
    };

    const ID: NotificationId = NotificationId(uuid::Uuid::from_u128(7));

    fn report(kind: FaultKind, file: &[u8], successes: u64) -> Report {
        Report {
            outcome: Outcome::Fault(Fault { kind, detail: String::new() }),
            usage: Usage::default(),
            took: Duration::ZERO,
            digest: Digest::of(file).to_string().into(),
            successes,
            quarantined_for: None,
        }
    }

    fn trials(reports: &[Report]) -> Vec<bool> {
        let poison = Poison::new();
        reports.iter().map(|report| poison.convicts(ID, 0, report)).collect()
    }

    #[test]
    fn the_third_fault_convicts_if_others_got_through() {
        let trap = |successes| report(FaultKind::Trap, b"a", successes);
        assert_eq!(trials(&[trap(0), trap(1), trap(1)]), [false, false, true]);
        assert_eq!(trials(&[trap(5), trap(5), trap(5), trap(5)]), [false; 4], "nobody got through");
        assert_eq!(trials(&[trap(5), trap(5), trap(5), trap(6)]), [false, false, false, true]);
    }

    #[test]
    fn another_file_is_another_trial() {
        let of = |file, successes| report(FaultKind::Trap, file, successes);
        let all = [of(b"a", 0), of(b"a", 1), of(b"b", 2), of(b"b", 3), of(b"b", 3)];
        assert_eq!(trials(&all), [false, false, false, false, true]);
    }

    #[test]
    fn time_limits_and_starts_say_nothing_of_the_message() {
        for kind in [FaultKind::Timeout, FaultKind::Start] {
            let all: Vec<_> = (0..5).map(|successes| report(kind, b"a", successes)).collect();
            assert_eq!(trials(&all), [false; 5]);
        }
    }
}
