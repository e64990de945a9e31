//! Accepting, leasing, settling.

use super::table::{Job, LaneJobs, Record, Table};
use crate::{
    clock::UnixMs,
    store::{
        Enqueued, Hints, LeaseToken, Leased, NewNotification, Outcome, Priority, Ready, Row,
        Settle, Settled, State, Want, lost::lost_attempt,
    },
};

/// Every priority, the most urgent first.
const PRIORITIES: [Priority; 4] =
    [Priority::Urgent, Priority::High, Priority::Normal, Priority::Low];

impl Table {
    pub(super) fn enqueue(
        &mut self,
        item: NewNotification,
        now: UnixMs,
        hints: &Hints,
    ) -> Enqueued {
        let tenant = item.lane.tenant;
        if let Some(key) = &item.idempotency
            && let Some(first) = self.keys.used_before(tenant, key, now)
        {
            return first;
        }
        let live = self.counters(tenant).live();
        if live >= item.live_max {
            return self.same_id(&item).unwrap_or(Enqueued::OverQuota { live });
        }
        let lane = self.intern(&item.lane);
        if let Some(duplicate) = self.same_id(&item) {
            return duplicate;
        }
        if let Some(key) = item.idempotency {
            self.keys.remember(tenant, key, item.id, now);
        }
        hints.add(&item.lane, item.due);
        let row = Row {
            id: item.id,
            lane: item.lane,
            state: State::Queued,
            priority: item.priority,
            created: now,
            updated: now,
            attempts: 0,
            generation: 0,
            provider_id: None,
            last_error: None,
        };
        let (due, expires, payload) = (item.due, item.expires, item.payload);
        let (leased_at, attempts) = (now, Vec::new());
        self.insert(Record { row, lane, due, leased_at, expires, payload, attempts });
        Enqueued::Accepted
    }

    /// The same id again: a repetition after an answer that got lost, if all of it is the same.
    fn same_id(&self, item: &NewNotification) -> Option<Enqueued> {
        let record = self.records.get(&self.seq_of(item.id)?)?;
        let same_body = record.row.lane == item.lane && record.payload == item.payload;
        Some(Enqueued::Duplicate { id: item.id, same_body })
    }

    pub(super) fn lease(
        &mut self,
        want: &Want,
        now: UnixMs,
        until: UnixMs,
        into: &mut Vec<Leased>,
    ) {
        let Some(lane) = self.lane_number(&want.lane) else { return };
        let Some(jobs) = self.lane_mut(lane).map(|lane| &mut lane.jobs) else { return };
        let mut taken = Vec::new();
        for priority in PRIORITIES {
            let from = (priority, UnixMs(i64::MIN), i64::MIN);
            let due =
                jobs.range(from..=(priority, now, i64::MAX)).map(|(place, job)| (*place, *job));
            taken.extend(due.take(want.max - taken.len()));
        }
        for (place, job) in &taken {
            jobs.remove(place);
            let attempt = job.attempt.saturating_add(1);
            jobs.insert((place.0, until, place.2), Job { attempt, leased: true });
        }
        for ((priority, _, seq), job) in taken {
            let attempt = job.attempt.saturating_add(1);
            self.update(seq, State::Sending, now, |record| {
                record.due = until;
                record.row.attempts = attempt;
            });
            let token = LeaseToken { seq, lane, priority, due: until, attempt };
            into.extend(self.leased(token, job.leased.then_some(job.attempt), now));
        }
    }

    fn leased(&mut self, token: LeaseToken, lost: Option<u32>, now: UnixMs) -> Option<Leased> {
        let record = self.records.get_mut(&token.seq)?;
        if let Some(number) = lost {
            let lost = lost_attempt(record.leased_at, now);
            record.attempts.push((record.row.generation, number, lost));
        }
        record.leased_at = now;
        Some(Leased {
            token,
            id: record.row.id,
            lane: record.row.lane.clone(),
            generation: record.row.generation,
            created: record.row.created,
            expires: record.expires,
            payload: record.payload.clone(),
        })
    }

    pub(super) fn settle(&mut self, item: Settle, now: UnixMs, hints: &Hints) -> Settled {
        let LeaseToken { seq, lane, priority, due, attempt } = item.token;
        let Some(lane) = self.lane_mut(lane) else { return Settled::LeaseLost };
        let ours = lane
            .jobs
            .get(&(priority, due, seq))
            .is_some_and(|job| job.leased && job.attempt == attempt);
        if !ours {
            return Settled::LeaseLost;
        }
        lane.jobs.remove(&(priority, due, seq));
        let given_back = attempt.saturating_sub(1);
        let (state, next, attempts) = match item.outcome {
            Outcome::Delivered => (State::Delivered, None, attempt),
            Outcome::Dead => (State::Dead, None, attempt),
            Outcome::Retry { due } => (State::Retrying, Some(due), attempt),
            Outcome::Release { due } if given_back == 0 => (State::Queued, Some(due), 0),
            Outcome::Release { due } => (State::Retrying, Some(due), given_back),
        };
        if let Some(due) = next {
            lane.jobs.insert((priority, due, seq), Job { attempt: attempts, leased: false });
            hints.add(&lane.lane, due);
        }
        // A release was no attempt: it leaves no record.
        let released = matches!(item.outcome, Outcome::Release { .. });
        let report = item.attempt.filter(|_| !released);
        self.update(seq, state, now, |record| {
            record.due = next.unwrap_or_default();
            record.row.attempts = attempts;
            if let Some(report) = report {
                if report.provider_id.is_some() {
                    record.row.provider_id.clone_from(&report.provider_id);
                }
                if matches!(state, State::Retrying | State::Dead) {
                    let said = report.detail.as_ref().unwrap_or(&report.outcome);
                    record.row.last_error = Some(said.clone());
                }
                record.attempts.push((record.row.generation, attempt, report));
            }
        });
        Settled::Done
    }

    pub(super) fn ready(&self) -> Vec<Ready> {
        // The first of each priority: the others of that priority are due later.
        let first = |lane: &LaneJobs| {
            let of_priority = |priority| {
                let from = (priority, UnixMs(i64::MIN), i64::MIN);
                let to = (priority, UnixMs(i64::MAX), i64::MAX);
                lane.jobs.range(from..=to).next().map(|((_, due, _), _)| *due)
            };
            let due = PRIORITIES.into_iter().filter_map(of_priority).min()?;
            Some(Ready { lane: lane.lane.clone(), due })
        };
        self.lanes.iter().filter_map(first).collect()
    }
}
