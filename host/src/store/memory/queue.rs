//! Accepting, leasing, settling.

use super::table::{Job, LaneJobs, Record, Table};
use crate::{
    clock::UnixMs,
    ids::NotificationId,
    store::{
        Attempt, Enqueued, EventKind, Hint, Hints, LeaseToken, Leased, NewNotification, Outcome,
        ParentEnd, Priority, Ready, Row, Settle, Settled, State, Want, lost::lost_attempt,
    },
};

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
        self.intern(&item.lane);
        if let Some(duplicate) = self.same_id(&item) {
            return duplicate;
        }
        self.put(item, None, now, hints);
        Enqueued::Accepted
    }

    /// Accepts a follow-up, unless it is known.
    fn follow(
        &mut self,
        item: NewNotification,
        member: Option<(NotificationId, u32)>,
        now: UnixMs,
        hints: &Hints,
    ) {
        let key = item.idempotency.as_ref();
        let used = key.and_then(|key| self.keys.used_before(item.lane.tenant, key, now));
        if used.is_some() {
            return;
        }
        self.intern(&item.lane);
        if self.seq_of(item.id).is_none() {
            self.put(item, member, now, hints);
        }
    }

    /// Takes a notification in whose id is free, as a member of a parent's branch or on its own.
    pub(super) fn put(
        &mut self,
        item: NewNotification,
        member: Option<(NotificationId, u32)>,
        now: UnixMs,
        hints: &Hints,
    ) {
        let lane = self.intern(&item.lane);
        if let Some(key) = item.idempotency.filter(|_| member.is_none()) {
            self.keys.remember(item.lane.tenant, key, item.id, now);
        }
        let (parent, branch) = (member.map(|(parent, _)| parent), member.map_or(0, |(_, n)| n));
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
            parent,
        };
        let (due, expires, payload) = (item.due, item.expires, item.payload);
        let (leased_at, attempts, key) = (now, Vec::new(), item.ordering_key);
        let (priority, own_key) = (row.priority, key.clone());
        let record = Record { row, lane, due, leased_at, expires, payload, branch, key, attempts };
        let accepted = (EventKind::Accepted, 0, None);
        self.trail.note(&record.row.lane, record.row.id, now, accepted);
        let seq = self.insert(record);
        if let Some(found) = parent.and_then(|parent| self.ties.parents.get_mut(&parent)) {
            found.children.push(seq);
        }
        if own_key.is_none_or(|key| self.ties.join(lane, &key, seq)) {
            self.add_job(lane, (priority, due, seq), hints);
        }
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
        let Some(LaneJobs { jobs, turns, .. }) = self.lane_mut(lane) else { return };
        let mut taken = Vec::new();
        let mut due = Priority::ALL.map(|priority| {
            let from = (priority, UnixMs(i64::MIN), i64::MIN);
            jobs.range(from..=(priority, now, i64::MAX)).peekable()
        });
        while taken.len() < want.max {
            let heads = due.each_mut().map(|due| due.peek().map(|((_, due, seq), _)| (*due, *seq)));
            let Some(turn) = turns.next(heads) else { break };
            let next = due.get_mut(turn.takes as usize).and_then(Iterator::next);
            taken.extend(next.map(|(place, job)| (*place, *job, turn.most_urgent)));
        }
        for (place, job, _) in &taken {
            jobs.remove(place);
            let attempt = job.attempt.saturating_add(1);
            jobs.insert((place.0, until, place.2), Job { attempt, leased: true, ..*job });
        }
        for ((priority, _, seq), job, most_urgent) in taken {
            let attempt = job.attempt.saturating_add(1);
            self.update(seq, State::Sending, now, |record| {
                record.due = until;
                record.row.attempts = attempt;
            });
            let token = LeaseToken { seq, lane, priority, due: until, attempt };
            into.extend(self.leased(token, job, most_urgent, now));
        }
    }

    fn leased(
        &mut self,
        token: LeaseToken,
        before: Job,
        most_urgent: Priority,
        now: UnixMs,
    ) -> Option<Leased> {
        let record = self.records.get_mut(&token.seq)?;
        if before.leased {
            let lost = lost_attempt(record.leased_at, now);
            record.attempts.push((record.row.generation, before.attempt, lost));
            let lost = (EventKind::Lost, before.attempt, None);
            self.trail.note(&record.row.lane, record.row.id, now, lost);
        }
        record.leased_at = now;
        Some(Leased {
            token,
            id: record.row.id,
            lane: record.row.lane.clone(),
            generation: record.row.generation,
            tries: before.attempt.saturating_sub(before.free),
            parent: record.row.parent,
            created: record.row.created,
            expires: record.expires,
            payload: record.payload.clone(),
            most_urgent,
        })
    }

    pub(super) fn settle(&mut self, item: Settle, now: UnixMs, hints: &Hints) -> Settled {
        let LeaseToken { seq, lane, priority, due, attempt } = item.token;
        let lane_number = lane;
        let Some(lane) = self.lane_mut(lane) else { return Settled::LeaseLost };
        let ours = lane
            .jobs
            .get(&(priority, due, seq))
            .filter(|job| job.leased && job.attempt == attempt)
            .copied();
        let Some(Job { free, .. }) = ours else { return Settled::LeaseLost };
        lane.jobs.remove(&(priority, due, seq));
        let given_back = attempt.saturating_sub(1);
        let (state, next, attempts, free) = match item.outcome {
            Outcome::Delivered => (State::Delivered, None, attempt, free),
            Outcome::Dead => (State::Dead, None, attempt, free),
            Outcome::Retry { due, counts } => {
                (State::Retrying, Some(due), attempt, free + u32::from(!counts))
            }
            Outcome::Release { due } if given_back == 0 => (State::Queued, Some(due), 0, free),
            Outcome::Release { due } => (State::Retrying, Some(due), given_back, free),
        };
        if let Some(due) = next {
            lane.jobs.insert((priority, due, seq), Job { attempt: attempts, free, leased: false });
            hints.add(&lane.lane, Hint { due, priority });
        }
        let retry_counts = match item.outcome {
            Outcome::Retry { counts, .. } => Some(counts),
            _ => None,
        };
        // A release was no attempt: it leaves no record.
        let released = matches!(item.outcome, Outcome::Release { .. });
        let report = item.attempt.filter(|_| !released);
        let word = report.as_ref().map(|report| report.outcome.clone());
        self.update(seq, state, now, |record| {
            record.due = next.unwrap_or_default();
            record.row.attempts = attempts;
            if let Some(report) = report {
                if report.provider_id.is_some() {
                    record.row.provider_id.clone_from(&report.provider_id);
                }
                if matches!(state, State::Retrying | State::Dead) {
                    let said = report.detail.as_deref().unwrap_or(&report.outcome);
                    record.row.last_error = Some(said.to_owned());
                }
                let counts = retry_counts.unwrap_or(report.counts);
                let report = Attempt { counts, ..report };
                record.attempts.push((record.row.generation, attempt, report));
            }
        });
        let kind = match state {
            State::Delivered => Some(EventKind::Delivered),
            State::Dead => Some(EventKind::Dead),
            _ if released => None,
            _ => Some(EventKind::Retrying),
        };
        if let (Some(kind), Some(record)) = (kind, self.records.get(&seq)) {
            self.trail.note(&record.row.lane, record.row.id, now, (kind, attempt, word));
        }
        let parent = self.tie_up(seq, lane_number, item.follow, now, hints);
        Settled::Done { parent }
    }

    /// What a settle means for others: the next of the ordering key, follow-ups, the parent.
    fn tie_up(
        &mut self,
        seq: i64,
        lane: i64,
        follow: Vec<NewNotification>,
        now: UnixMs,
        hints: &Hints,
    ) -> Option<ParentEnd> {
        let record = self.record(seq)?;
        let (over, key, branch) =
            (record.row.state.is_terminal(), record.key.clone(), record.branch);
        let (tenant, parent) = (record.row.lane.tenant, record.row.parent);
        if let Some(key) = key.filter(|_| over) {
            self.leave_key((lane, &key), seq, now, hints);
        }
        for item in follow {
            let same = item.parent == parent && item.lane.tenant == tenant;
            let member = parent.filter(|_| same);
            self.follow(item, member.map(|parent| (parent, branch)), now, hints);
        }
        parent.filter(|_| over).and_then(|parent| self.parent_end(tenant, parent))
    }

    pub(super) fn ready(&self) -> Vec<Ready> {
        // The first of each priority: the others of that priority are due later.
        let of_lane = |lane: &LaneJobs| {
            let of_priority = |priority| {
                let from = (priority, UnixMs(i64::MIN), i64::MIN);
                let to = (priority, UnixMs(i64::MAX), i64::MAX);
                let ((_, due, _), _) = lane.jobs.range(from..=to).next()?;
                Some(Ready { lane: lane.lane.clone(), priority, due: *due })
            };
            Priority::ALL.into_iter().filter_map(of_priority).collect::<Vec<_>>()
        };
        self.lanes.iter().flat_map(of_lane).collect()
    }
}
