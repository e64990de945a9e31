//! The inbound rate of each tenant: GCRA, one number a tenant, and nothing for tenants without a
//! rate.

use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::{kinds, problem::Problem};
use crate::{config::TenantLimits, generation::Generation, ids::TenantId};

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// For each limited tenant the theoretical arrival time of its next request, in nanoseconds since
/// `epoch`. Bounded by the tenants that have a rate: with a new generation the others leave.
#[derive(Debug)]
pub(super) struct Rates {
    epoch: Instant,
    arrivals: RwLock<Arrivals>,
}

#[derive(Default, Debug)]
struct Arrivals {
    generation: u64,
    of: HashMap<TenantId, AtomicU64>,
}

/// What is left to a tenant after a request: for its headers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Left {
    quota: u64,
    window_s: u64,
    remaining: u64,
    reset_s: u64,
}

/// How one request went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Verdict {
    Goes(Left),
    Waits(Left, Duration),
}

/// A rate in the terms of GCRA.
#[derive(Clone, Copy)]
struct Policy {
    interval_ns: u64,
    capacity: u64,
}

impl Policy {
    fn of(limits: &TenantLimits) -> Option<Self> {
        let rate = limits.rate_per_s.filter(|rate| *rate > 0.0)?;
        let interval = Duration::try_from_secs_f64(1.0 / rate).ok()?;
        Some(Self {
            interval_ns: nanoseconds(interval).max(1),
            capacity: u64::from(limits.burst.max(1)),
        })
    }

    const fn tolerance_ns(self) -> u64 {
        self.interval_ns.saturating_mul(self.capacity - 1)
    }

    fn left(self, remaining: u64, busy_ns: u64) -> Left {
        let seconds = |ns: u64| ns.div_ceil(1_000_000_000);
        Left {
            quota: self.capacity,
            window_s: seconds(self.interval_ns.saturating_mul(self.capacity)),
            remaining,
            reset_s: seconds(busy_ns),
        }
    }

    /// Decides about a request at `now_ns` and counts it if it goes.
    fn decide(self, arrival: &AtomicU64, now_ns: u64) -> Verdict {
        let mut next = arrival.load(Ordering::Relaxed);
        loop {
            let busy_ns = next.saturating_sub(now_ns);
            if busy_ns > self.tolerance_ns() {
                let wait = Duration::from_nanos(busy_ns - self.tolerance_ns());
                return Verdict::Waits(self.left(0, busy_ns), wait);
            }
            let after = next.max(now_ns).saturating_add(self.interval_ns);
            match arrival.compare_exchange_weak(next, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let remaining = (self.tolerance_ns() - busy_ns) / self.interval_ns;
                    return Verdict::Goes(self.left(remaining, after - now_ns));
                }
                Err(seen) => next = seen,
            }
        }
    }
}

impl Default for Rates {
    fn default() -> Self {
        Self { epoch: Instant::now(), arrivals: RwLock::default() }
    }
}

impl Rates {
    /// Counts one request of `tenant`.
    ///
    /// # Errors
    /// A 429 when it is over its rate.
    pub(super) fn check(
        &self,
        generation: &Generation,
        tenant: TenantId,
        limits: &TenantLimits,
    ) -> Result<Option<Left>, Problem> {
        let Some(policy) = Policy::of(limits) else { return Ok(None) };
        let now_ns = nanoseconds(self.epoch.elapsed());
        match self.decide(generation, tenant, policy, now_ns) {
            Verdict::Goes(left) => Ok(Some(left)),
            Verdict::Waits(left, wait) => Err(refuse(limits, left, wait)),
        }
    }

    fn decide(
        &self,
        generation: &Generation,
        tenant: TenantId,
        policy: Policy,
        now_ns: u64,
    ) -> Verdict {
        {
            let arrivals = self.arrivals.read().unwrap_or_else(PoisonError::into_inner);
            if arrivals.generation >= generation.number
                && let Some(arrival) = arrivals.of.get(&tenant)
            {
                return policy.decide(arrival, now_ns);
            }
        }
        let mut arrivals = self.arrivals.write().unwrap_or_else(PoisonError::into_inner);
        if arrivals.generation < generation.number {
            arrivals.generation = generation.number;
            arrivals.of.retain(|id, _| {
                let tenant = generation.config.tenants.get(id);
                tenant.is_some_and(|tenant| tenant.limits.rate_per_s.is_some())
            });
        }
        policy.decide(arrivals.of.entry(tenant).or_default(), now_ns)
    }
}

fn refuse(limits: &TenantLimits, left: Left, wait: Duration) -> Problem {
    let rate = limits.rate_per_s.unwrap_or_default();
    let detail = format!(
        "The tenant may send {rate} notifications a second, {} at once; try again in {} ms.",
        left.quota,
        wait.as_millis().max(1)
    );
    left.headers().fold(
        Problem::new(kinds::RATE_LIMITED, detail).retry_after(wait),
        |problem, (name, value)| problem.header(name, value),
    )
}

impl Left {
    /// The fields of draft-ietf-httpapi-ratelimit-headers.
    fn headers(self) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
        let policy = format!("\"tenant\";q={};w={}", self.quota, self.window_s.max(1));
        let left = format!("\"tenant\";r={};t={}", self.remaining, self.reset_s);
        [(RATELIMIT_POLICY, policy), (RATELIMIT, left)]
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
    }

    /// Puts them on an answer.
    pub(super) fn put_on(self, headers: &mut HeaderMap) {
        headers.extend(self.headers());
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn limits(rate_per_s: f64, burst: u32) -> TenantLimits {
        TenantLimits { rate_per_s: Some(rate_per_s), burst, queue_max: 1, weight: 1 }
    }

    fn goes(verdict: Verdict) -> bool {
        matches!(verdict, Verdict::Goes(_))
    }

    #[test]
    fn a_burst_goes_and_then_the_rate_holds() {
        let policy = Policy::of(&limits(10.0, 3)).unwrap();
        let arrival = AtomicU64::new(0);
        let now = 5_000 * MS;
        for remaining in [2, 1, 0] {
            let Verdict::Goes(left) = policy.decide(&arrival, now) else { panic!("{remaining}") };
            assert_eq!(left.remaining, remaining);
        }
        let Verdict::Waits(_, wait) = policy.decide(&arrival, now) else { panic!("must wait") };
        assert_eq!(wait, Duration::from_millis(100));
        assert!(!goes(policy.decide(&arrival, now + 99 * MS)));
        assert!(goes(policy.decide(&arrival, now + 100 * MS)));
        assert!(!goes(policy.decide(&arrival, now + 100 * MS)));
        // Quiet fills the burst up again, and not further.
        let later = now + 60_000 * MS;
        assert_eq!((0..9).filter(|_| goes(policy.decide(&arrival, later))).count(), 3);
    }

    #[test]
    fn over_a_minute_the_rate_is_what_was_configured() {
        for (rate, burst) in [(0.5, 1), (7.0, 5), (2_000.0, 10)] {
            let policy = Policy::of(&limits(rate, burst)).unwrap();
            let arrival = AtomicU64::new(0);
            let went =
                (0..600_000_u64).filter(|tick| goes(policy.decide(&arrival, tick * MS / 10)));
            let expected = rate * 60.0 + f64::from(burst);
            let went = f64::from(u32::try_from(went.count()).unwrap());
            assert!((went - expected).abs() <= 2.0, "{rate}: {went}, expected {expected}");
        }
    }

    #[test]
    fn tenants_without_a_rate_take_no_memory_and_are_not_limited() {
        let none = TenantLimits { rate_per_s: None, burst: 1, queue_max: 1, weight: 1 };
        assert!(Policy::of(&none).is_none());
        assert!(Policy::of(&limits(0.0, 1)).is_none());
        assert!(Policy::of(&limits(1e-300, 1)).is_none_or(|policy| policy.interval_ns > 0));
    }

    #[test]
    fn a_tenant_that_is_gone_with_a_reload_is_forgotten() {
        let rates = Rates::default();
        let policy = Policy::of(&limits(1.0, 1)).unwrap();
        let first = crate::api::kit::generation(1, Vec::new());
        let tenant = TenantId(uuid::Uuid::from_u128(1));
        assert!(goes(rates.decide(&first, tenant, policy, 0)));
        assert!(!goes(rates.decide(&first, tenant, policy, 0)));
        let second = crate::api::kit::generation(2, Vec::new());
        let other = TenantId(uuid::Uuid::from_u128(2));
        assert!(goes(rates.decide(&second, other, policy, 0)));
        assert_eq!(rates.arrivals.read().unwrap().of.len(), 1);
    }
}
