//! What an outcome means for the notification: done, again (and when), or given up (and why).

use std::time::Duration;

use crate::{
    clock::UnixMs,
    config::{OnUnknown, RetryPolicy},
    limits,
    sandbox::{FaultKind, Outcome},
};

/// What becomes of a notification after an attempt.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Verdict {
    /// One of the words of [`crate::store::Attempt`].
    pub(super) word: &'static str,
    /// The provider's or plugin's code.
    pub(super) code: Option<String>,
    /// One sentence.
    pub(super) detail: Option<String>,
    pub(super) next: Next,
    /// Whether the attempt is one of those that the policy allows, whatever happens next.
    pub(super) counts: bool,
}

/// What happens next.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Next {
    Delivered,
    Retry { due: UnixMs },
    Dead,
}

/// What happens next, and whether the attempt counts.
type Then = (Next, bool);

/// What the decision depends on besides the outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) policy: RetryPolicy,
    /// From when on the span is counted.
    pub(super) since: UnixMs,
    pub(super) expires: Option<UnixMs>,
    /// When another channel takes over.
    pub(super) budget_end: Option<UnixMs>,
    /// From 1.
    pub(super) attempt: u32,
    /// Attempts before this one that count.
    pub(super) tries: u32,
    /// Whether the provider drops duplicates by itself.
    pub(super) deduplicates: bool,
    /// Whether it was to find out if a channel that was stopped works again.
    pub(super) probe: bool,
    /// Whether it made its instance fail once too often, while others got through.
    pub(super) poison: bool,
    /// Whether it was to find out if a channel in quarantine works again, and how long the
    /// quarantine goes on.
    pub(super) quarantined_for: Option<Duration>,
    pub(super) now: UnixMs,
    /// From 0 up to 1: where in the jitter's range this pause falls.
    pub(super) jitter: f64,
}

/// How much of a pause is left to chance, so that what failed together is not tried together.
const JITTER: f64 = 0.2;

/// How much later than its channel a message comes back that has failed as the probe.
const QUARANTINE_REAR: Duration = Duration::from_secs(1);

pub(super) fn decide(outcome: &Outcome, case: &Case) -> Verdict {
    const DELIVERED: Then = (Next::Delivered, true);
    const DEAD: Then = (Next::Dead, true);
    let verdict = |word, problem: Option<&crate::sandbox::Problem>, (next, counts): Then| Verdict {
        word,
        code: problem.map(|problem| problem.code.clone()),
        detail: problem.map(|problem| problem.detail.clone()),
        next,
        counts,
    };
    match outcome {
        Outcome::Delivered { accepted_only, .. } => {
            let word = if *accepted_only { "accepted" } else { "delivered" };
            verdict(word, None, DELIVERED)
        }
        Outcome::Rejected(problem) => verdict("rejected", Some(problem), DEAD),
        Outcome::Misconfigured(problem) => {
            // Whoever stopped the channel has told its caller. A probe only found out that nothing
            // has changed, and waits with the others.
            let next = match case.probe {
                true => again(case, Some(limits::MISCONFIGURED_PROBE)),
                false => DEAD,
            };
            verdict("misconfigured", Some(problem), next)
        }
        // The target in the notification is the caller's; the new one is in the record for them.
        Outcome::Moved { problem, target } => {
            let mut moved = verdict("moved", Some(problem), DEAD);
            moved.detail = Some(format!("{} The target is now {target}", problem.detail));
            moved
        }
        Outcome::Retry { problem, after, .. } => {
            verdict("retry", Some(problem), again(case, *after))
        }
        Outcome::Unknown(problem) => {
            let next = match may_repeat(&case.policy, case.deduplicates) {
                true => again(case, None),
                false => DEAD,
            };
            verdict("unknown", Some(problem), next)
        }
        Outcome::Fault(fault) => {
            let word = match fault.kind {
                FaultKind::Timeout => "timeout",
                FaultKind::Cpu | FaultKind::Memory | FaultKind::Stack | FaultKind::HostCall => {
                    "limit"
                }
                FaultKind::Trap | FaultKind::Start => "crashed",
                FaultKind::HostMemory => "unavailable",
            };
            let (next, counts) = match case.poison {
                true => DEAD,
                false if fault.kind == FaultKind::HostMemory => {
                    again(case, Some(limits::GUEST_MEMORY_PAUSE))
                }
                // The attempt was the host's question and costs the message nothing. It comes back
                // a little later than the others, so that it is not the next to be asked.
                false => again(case, case.quarantined_for.map(|left| left + QUARANTINE_REAR)),
            };
            let detail = match case.poison {
                false => fault.detail.clone(),
                true => format!(
                    "{}; it did so {} times while the channel's other messages got through",
                    fault.detail,
                    limits::POISON_FAULTS
                ),
            };
            let code = Some(fault.kind.as_str().to_owned());
            Verdict { word, code, detail: Some(detail), next, counts }
        }
    }
}

/// Whether a message may be sent again that may have been delivered.
pub(super) const fn may_repeat(policy: &RetryPolicy, deduplicates: bool) -> bool {
    match policy.on_unknown {
        OnUnknown::Auto => deduplicates,
        OnUnknown::Retry => true,
        OnUnknown::Dead => false,
    }
}

/// The next attempt, unless there is none left or no time for it.
///
/// Where the provider says when to come back, it has not tried and the attempt does not count, not
/// even if it is the last; time is the bound then. The host's own pause grows nevertheless, in case the provider always says "at
/// once".
fn again(case: &Case, asked: Option<Duration>) -> Then {
    let policy = &case.policy;
    let asked = asked.filter(|asked| !asked.is_zero());
    let counts = asked.is_none();
    if counts && case.tries.saturating_add(1) >= policy.attempts {
        return (Next::Dead, counts);
    }
    let (before, cap) = match counts {
        true => (case.tries, policy.cap),
        false => (case.attempt.saturating_sub(1), policy.cap.min(limits::RETRY_ASKED_CAP)),
    };
    let exponent = i32::try_from(before).unwrap_or(i32::MAX);
    let pause_s =
        (policy.first.as_secs_f64() * policy.factor.powi(exponent)).min(cap.as_secs_f64());
    let own = Duration::from_secs_f64(pause_s * (1.0 - JITTER + 2.0 * JITTER * case.jitter));
    let over = case.since.after(policy.span);
    // The last attempt is made when the time is up, and not left out because the pause before it
    // would be longer than what is left.
    let own = own.min(over.since(case.now));
    // What the provider asks for is never shortened; the jitter comes on top of it.
    let asked = asked.map_or(Duration::ZERO, |asked| {
        asked.saturating_add(asked.mul_f64(JITTER * case.jitter / 2.0))
    });
    let due = case.now.after(own.max(asked));
    let too_late = |end: UnixMs| due >= end;
    if case.now >= over
        || due > over
        || case.expires.is_some_and(too_late)
        || case.budget_end.is_some_and(too_late)
    {
        return (Next::Dead, counts);
    }
    (Next::Retry { due }, counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::{Fault, Problem, RetryScope};

    fn case() -> Case {
        Case {
            policy: RetryPolicy::default(),
            since: UnixMs(0),
            expires: None,
            budget_end: None,
            attempt: 1,
            tries: 0,
            deduplicates: false,
            probe: false,
            poison: false,
            quarantined_for: None,
            now: UnixMs(1_000),
            jitter: 0.5,
        }
    }

    fn problem() -> Problem {
        Problem { code: String::from("c"), detail: String::from("d") }
    }

    fn retry_after(ms: u64) -> Outcome {
        Outcome::Retry {
            problem: problem(),
            after: Some(Duration::from_millis(ms)),
            scope: RetryScope::Message,
        }
    }

    /// A failure that counts.
    fn failed() -> Outcome {
        Outcome::Retry { problem: problem(), after: None, scope: RetryScope::Message }
    }

    fn due(verdict: &Verdict) -> Option<i64> {
        match verdict.next {
            Next::Retry { due } => Some(due.0),
            _ => None,
        }
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let pause = |attempt| {
            let mut case = case();
            (case.attempt, case.tries) = (attempt, attempt - 1);
            (case.policy.factor, case.policy.cap) = (2.0, Duration::from_secs(15));
            due(&decide(&failed(), &case)).unwrap() - case.now.0
        };
        assert_eq!([pause(1), pause(2), pause(3), pause(9)], [5_000, 10_000, 15_000, 15_000]);
    }

    #[test]
    fn jitter_spreads_a_pause_by_a_fifth_to_both_sides() {
        let pause = |jitter| {
            let case = Case { jitter, ..case() };
            due(&decide(&failed(), &case)).unwrap() - case.now.0
        };
        assert_eq!([pause(0.0), pause(1.0)], [4_000, 6_000]);
    }

    #[test]
    fn what_the_provider_asks_for_is_never_shortened() {
        for jitter in [0.0, 0.3, 1.0] {
            let case = Case { jitter, ..case() };
            let asked_ms = 60_000;
            let due = due(&decide(&retry_after(asked_ms), &case)).unwrap();
            assert!(due >= case.now.0 + 60_000, "{due}");
        }
    }

    #[test]
    fn the_last_attempt_the_span_and_the_expiry_end_it() {
        let last = Case { attempt: 10, tries: 9, ..case() };
        assert_eq!(decide(&failed(), &last).next, Next::Dead);
        let old = Case { now: UnixMs(0).after(RetryPolicy::default().span), ..case() };
        assert_eq!(decide(&failed(), &old).next, Next::Dead);
        let expiring = Case { expires: Some(UnixMs(2_000)), ..case() };
        assert_eq!(decide(&failed(), &expiring).next, Next::Dead);
    }

    /// When the attempts are made that a policy makes, from the first failure on, in seconds.
    fn schedule(policy: RetryPolicy, jitter: f64) -> Vec<i64> {
        let mut case = Case { policy, since: UnixMs(0), now: UnixMs(0), jitter, ..case() };
        let mut at = Vec::new();
        while let Some(due) = due(&decide(&failed(), &case)) {
            at.push(due / 1_000);
            (case.now, case.tries) = (UnixMs(due), case.tries + 1);
        }
        at
    }

    #[test]
    fn the_default_makes_ten_attempts_over_three_days() {
        let policy = RetryPolicy::default();
        assert_eq!(
            schedule(policy, 0.5),
            [5, 30, 155, 780, 3_905, 19_530, 97_655, 184_055, 259_200],
            "the schedule in docs/OPERATING.md"
        );
        for jitter in [0.0, 1.0] {
            let all = schedule(policy, jitter);
            assert_eq!(all.len(), 9, "{all:?}");
            assert!(all[8] >= 2 * 86_400 && all[8] <= 3 * 86_400, "{all:?}");
        }
    }

    #[test]
    fn the_last_attempt_is_made_when_the_time_is_up() {
        let span = Duration::from_secs(60);
        let policy = RetryPolicy { span, ..RetryPolicy::default() };
        assert_eq!(schedule(policy, 0.5), [5, 30, 60]);
        // What the provider asks for is not shortened for that.
        let late = Case { policy, now: UnixMs(50_000), tries: 2, ..case() };
        assert_eq!(decide(&retry_after(10_001), &late).next, Next::Dead);
        assert_eq!(due(&decide(&failed(), &late)), Some(60_000));
    }

    #[test]
    fn a_wait_that_was_asked_for_costs_no_attempt_and_ends_with_the_time() {
        let last = Case { attempt: 500, tries: 9, ..case() };
        let verdict = decide(&retry_after(60_000), &last);
        assert!(due(&verdict).is_some() && !verdict.counts, "{verdict:?}");
        let own = due(&decide(&retry_after(1), &last)).unwrap() - last.now.0;
        assert_eq!(Duration::from_millis(own.unsigned_abs()), limits::RETRY_ASKED_CAP);
        assert_eq!(decide(&retry_after(0), &last).next, Next::Dead, "\"at once\" is no wait");
        let over = Case { now: UnixMs(0).after(last.policy.span), ..last };
        let verdict = decide(&retry_after(60_000), &over);
        assert_eq!(
            (verdict.next, verdict.counts),
            (Next::Dead, false),
            "the provider has not tried"
        );
        let verdict = decide(&failed(), &over);
        assert_eq!((verdict.next, verdict.counts), (Next::Dead, true));
    }

    #[test]
    fn where_another_channel_takes_over_sooner_this_one_is_given_up() {
        let until = |ms| Case { budget_end: Some(UnixMs(ms)), ..case() };
        assert_eq!(decide(&failed(), &until(6_000)).next, Next::Dead);
        assert_eq!(due(&decide(&failed(), &until(6_001))), Some(6_000));
    }

    #[test]
    fn a_wait_that_ends_with_the_expiry_comes_too_late() {
        let expires = |ms| Case { expires: Some(UnixMs(ms)), jitter: 0.0, ..case() };
        assert_eq!(decide(&retry_after(10_000), &expires(11_000)).next, Next::Dead);
        assert_eq!(due(&decide(&retry_after(10_000), &expires(11_001))), Some(11_000));
    }

    #[test]
    fn a_probe_of_a_stopped_channel_waits_with_the_others() {
        let found = Outcome::Misconfigured(problem());
        assert_eq!(decide(&found, &case()).next, Next::Dead);
        let probe = Case { probe: true, ..case() };
        let due = due(&decide(&found, &probe)).unwrap();
        assert!(UnixMs(due).since(probe.now) >= limits::MISCONFIGURED_PROBE);
    }

    #[test]
    fn an_unknown_outcome_is_repeated_only_where_the_provider_drops_duplicates() {
        let unknown = Outcome::Unknown(problem());
        assert_eq!(decide(&unknown, &case()).next, Next::Dead);
        let native = Case { deduplicates: true, ..case() };
        assert!(due(&decide(&unknown, &native)).is_some());
        let mut told = case();
        told.policy.on_unknown = OnUnknown::Retry;
        assert!(due(&decide(&unknown, &told)).is_some());
        let mut told = native;
        told.policy.on_unknown = OnUnknown::Dead;
        assert_eq!(decide(&unknown, &told).next, Next::Dead);
    }

    #[test]
    fn rejections_end_it_and_faults_do_not() {
        assert_eq!(decide(&Outcome::Rejected(problem()), &case()).next, Next::Dead);
        assert_eq!(decide(&Outcome::Misconfigured(problem()), &case()).next, Next::Dead);
        let fault = Outcome::Fault(Fault { kind: FaultKind::Trap, detail: String::from("x") });
        let verdict = decide(&fault, &case());
        assert_eq!((verdict.word, due(&verdict).is_some()), ("crashed", true));
    }

    #[test]
    fn poison_is_given_up_and_the_probe_of_a_quarantine_costs_no_attempt() {
        let fault = Outcome::Fault(Fault { kind: FaultKind::Trap, detail: String::from("x") });
        let poison = decide(&fault, &Case { poison: true, ..case() });
        assert_eq!((poison.word, poison.next), ("crashed", Next::Dead));
        let minute = Duration::from_mins(1);
        let last = Case { tries: 9, quarantined_for: Some(minute), ..case() };
        let verdict = decide(&fault, &last);
        let due = UnixMs(due(&verdict).unwrap());
        assert!(due.since(last.now) > minute && !verdict.counts, "it stands behind the others");
    }
}
