//! A token bucket: so much in the long run, and so much at once after a rest.

use std::time::Duration;

use crate::{
    clock::UnixMs,
    config::{Throttle, ThrottleScope},
    limits,
    sandbox::Rate,
};

/// How a bucket is filled.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Fill {
    per_ms: f64,
    burst: f64,
}

impl Fill {
    /// So that no window of the rate's length ever sees more than its count, wherever the provider
    /// begins to count: what may come at once and what flows in behind it share the count.
    fn of_rate(rate: &Rate) -> Self {
        let (count, window_ms) = (f64::from(rate.count.max(1)), f64::from(rate.per_ms.max(1)));
        let burst = (count / 5.0).floor().max(1.0);
        Self { per_ms: (count - burst + 1.0) / window_ms, burst }
    }

    fn of_throttle(throttle: &Throttle) -> Self {
        Self { per_ms: throttle.rate_per_s / 1_000.0, burst: f64::from(throttle.burst.max(1)) }
    }

    /// What is counted for `scope`: as the channel says, else as the manifest does.
    pub(super) fn all(
        throttle: Option<&Throttle>,
        rates: &[Rate],
        scope: ThrottleScope,
    ) -> Vec<Self> {
        if let Some(throttle) = throttle.filter(|throttle| throttle.per == scope) {
            return vec![Self::of_throttle(throttle)];
        }
        let of_scope = |rate: &&Rate| rate.per_destination == (scope == ThrottleScope::Destination);
        rates.iter().take(limits::RATES_MAX).filter(of_scope).map(Self::of_rate).collect()
    }
}

/// The tokens of one channel or destination, for all its rates.
#[derive(Clone, Debug, Default)]
pub(super) struct Buckets(Vec<Bucket>);

#[derive(Clone, Debug)]
struct Bucket {
    fill: Fill,
    tokens: f64,
    at: UnixMs,
}

impl Buckets {
    /// Full ones.
    pub(super) fn new(fills: &[Fill], now: UnixMs) -> Self {
        let full = |fill: &Fill| Bucket { fill: *fill, tokens: fill.burst, at: now };
        Self(fills.iter().map(full).collect())
    }

    /// Goes over to other rates; what is the same keeps its tokens.
    pub(super) fn adopt(&mut self, fills: &[Fill], now: UnixMs) {
        if self.0.len() != fills.len()
            || self.0.iter().zip(fills).any(|(one, fill)| one.fill != *fill)
        {
            *self = Self::new(fills, now);
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many may go now.
    pub(super) fn room(&mut self, now: UnixMs) -> usize {
        let least = self.0.iter_mut().map(|bucket| bucket.room(now)).min();
        least.unwrap_or(usize::MAX)
    }

    /// One goes.
    pub(super) fn take(&mut self, now: UnixMs) {
        for bucket in &mut self.0 {
            bucket.refill(now);
            bucket.tokens -= 1.0;
        }
    }

    /// One of those that went did not go after all.
    pub(super) fn give_back(&mut self) {
        for bucket in &mut self.0 {
            bucket.tokens = (bucket.tokens + 1.0).min(bucket.fill.burst);
        }
    }

    /// How long one token takes to flow in.
    pub(super) fn interval(&self) -> Duration {
        let slowest = self.0.iter().map(|bucket| bucket.fill.per_ms).fold(f64::INFINITY, f64::min);
        Duration::from_secs_f64(if slowest.is_finite() { 0.001 / slowest } else { 0.0 })
    }

    /// When it is worth asking again: a token, or what flows in within `turn`, whichever is more.
    pub(super) fn ready_at(&mut self, turn: Duration, now: UnixMs) -> UnixMs {
        let latest = self.0.iter_mut().map(|bucket| bucket.ready_at(turn, now)).max();
        latest.unwrap_or(now)
    }

    /// Whether nothing would be lost if it were forgotten.
    pub(super) fn is_full(&mut self, now: UnixMs) -> bool {
        self.0.iter_mut().all(|bucket| {
            bucket.refill(now);
            bucket.tokens >= bucket.fill.burst
        })
    }
}

impl Bucket {
    fn refill(&mut self, now: UnixMs) {
        // A clock that was set back gives nothing and takes nothing.
        let elapsed_ms = now.since(self.at).as_secs_f64() * 1_000.0;
        self.at = now;
        self.tokens = (self.tokens + elapsed_ms * self.fill.per_ms).min(self.fill.burst);
    }

    fn room(&mut self, now: UnixMs) -> usize {
        self.refill(now);
        // Sums of fractions may stay a hair below the whole.
        let whole = (self.tokens + 1e-6).floor().max(0.0);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
        let whole = whole as usize;
        whole
    }

    fn ready_at(&mut self, turn: Duration, now: UnixMs) -> UnixMs {
        self.refill(now);
        let worth = (turn.as_secs_f64() * 1_000.0 * self.fill.per_ms).floor();
        let wanted = worth.clamp(1.0, self.fill.burst);
        let missing_ms = ((wanted - self.tokens) / self.fill.per_ms).ceil().max(0.0);
        now.after(Duration::from_secs_f64(missing_ms / 1_000.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(count: u32, per_ms: u32) -> Rate {
        Rate { per_destination: false, count, per_ms }
    }

    /// Takes all it may, at every millisecond; when each went.
    fn greedy(fills: &[Fill], for_ms: i64) -> Vec<i64> {
        let mut buckets = Buckets::new(fills, UnixMs(0));
        let mut went = Vec::new();
        for at in 0..for_ms {
            for _ in 0..buckets.room(UnixMs(at)) {
                buckets.take(UnixMs(at));
                went.push(at);
            }
        }
        went
    }

    fn busiest(went: &[i64], window_ms: i64) -> usize {
        let in_window =
            |from: &i64| went.iter().filter(|at| (*from..from + window_ms).contains(*at)).count();
        went.iter().map(in_window).max().unwrap_or(0)
    }

    #[test]
    fn no_window_sees_more_than_the_manifest_says() {
        for (count, per_ms) in [(1, 500), (2, 100), (5, 1_000), (50, 1_000), (3, 7)] {
            let fills = Fill::all(None, &[rate(count, per_ms)], ThrottleScope::Channel);
            let went = greedy(&fills, i64::from(per_ms) * 4);
            let most = busiest(&went, i64::from(per_ms));
            assert!(most <= count as usize, "{count} in {per_ms} ms, and {most} went");
            assert!(went.len() >= count as usize * 2, "{count} in {per_ms} ms: too slow");
        }
    }

    #[test]
    fn of_several_rates_the_tightest_counts() {
        let rates = [rate(50, 1_000), rate(60, 10_000)];
        let went = greedy(&Fill::all(None, &rates, ThrottleScope::Channel), 10_000);
        assert!(went.len() <= 60, "{}", went.len());
    }

    #[test]
    fn the_channel_says_otherwise_for_its_scope_only() {
        let throttle = Throttle { rate_per_s: 10.0, burst: 3, per: ThrottleScope::Channel };
        let rates = [rate(1, 1_000), Rate { per_destination: true, ..rate(2, 1_000) }];
        let own = Fill::all(Some(&throttle), &rates, ThrottleScope::Channel);
        assert_eq!(greedy(&own, 1_000).len(), 3 + 9);
        assert_eq!(Fill::all(Some(&throttle), &rates, ThrottleScope::Destination).len(), 1);
        assert_eq!(Fill::all(None, &rates, ThrottleScope::Channel).len(), 1);
    }

    #[test]
    fn it_says_when_to_come_back_and_then_there_is_room() {
        let fills = [Fill { per_ms: 0.3, burst: 100.0 }];
        let mut buckets = Buckets::new(&fills, UnixMs(0));
        for _ in 0..100 {
            buckets.take(UnixMs(0));
        }
        assert_eq!(buckets.room(UnixMs(0)), 0);
        let at = buckets.ready_at(Duration::from_millis(20), UnixMs(0));
        assert_eq!((at, buckets.room(at)), (UnixMs(20), 6));
        let mut slow = Buckets::new(&[Fill { per_ms: 0.001, burst: 1.0 }], UnixMs(0));
        slow.take(UnixMs(0));
        assert_eq!(slow.ready_at(Duration::from_millis(20), UnixMs(0)), UnixMs(1_000));
        assert_eq!(slow.room(UnixMs(1_000)), 1);
        assert!(slow.is_full(UnixMs(1_000)));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_it() {
        let mut buckets = Buckets::new(&[Fill { per_ms: 0.01, burst: 1.0 }], UnixMs(1_000_000));
        buckets.take(UnixMs(1_000_000));
        assert_eq!(buckets.room(UnixMs(0)), 0);
        assert_eq!(buckets.room(UnixMs(100)), 1);
    }
}
