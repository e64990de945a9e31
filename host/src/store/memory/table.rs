//! What is held, and the small steps that keep its parts in agreement.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    hash::{BuildHasherDefault, Hasher},
};

use bytes::Bytes;

use super::{events::Trail, groups::Ties, keys::Keys};
use crate::{
    clock::UnixMs,
    ids::{IdHash, NotificationId, TenantId},
    store::{Attempt, Counters, Lane, Priority, Row, State, turns::Turns},
};

/// Notifications that are over and still known: enough to look around in. Whoever wants a history has
/// the durable engine, and here it would only be memory that every message has to walk through.
const HISTORY_MAX: usize = 10_000;

/// Where a job stands in its lane: most urgent first, then first due, then first come.
pub(super) type Place = (Priority, UnixMs, i64);

/// A live notification's place in the queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) attempt: u32,
    /// Attempts, of these, that do not count.
    pub(super) free: u32,
    pub(super) leased: bool,
}

/// One lane.
#[derive(Debug)]
pub(super) struct LaneJobs {
    pub(super) lane: Lane,
    /// Index of its tenant.
    tenant: usize,
    pub(super) jobs: BTreeMap<Place, Job>,
    pub(super) turns: Turns,
}

/// One notification.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) row: Row,
    pub(super) lane: i64,
    pub(super) due: UnixMs,
    /// When the running attempt began.
    pub(super) leased_at: UnixMs,
    pub(super) expires: Option<UnixMs>,
    pub(super) payload: Bytes,
    pub(super) branch: u32,
    pub(super) key: Option<Box<str>>,
    pub(super) attempts: Vec<(u32, u32, Attempt)>,
}

#[derive(Default, Debug)]
pub(super) struct OfTenant {
    pub(super) counters: Counters,
    pub(super) seqs: BTreeSet<i64>,
}

/// Spreads numbers that are given in order: multiplies by 2^64 divided by the golden ratio.
#[derive(Default, Debug)]
pub(super) struct SeqHasher(u64);

impl Hasher for SeqHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_i64(i64::from(*byte));
        }
    }

    fn write_i64(&mut self, number: i64) {
        self.0 = (self.0 ^ number.cast_unsigned()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }

    fn finish(&self) -> u64 {
        // The map looks at the lowest bits, the product is best in the highest.
        self.0.rotate_left(26)
    }
}

/// All of it. Lanes are numbered from 1.
#[derive(Default, Debug)]
pub(super) struct Table {
    pub(super) lanes: Vec<LaneJobs>,
    lane_numbers: HashMap<Lane, i64>,
    pub(super) records: HashMap<i64, Record, BuildHasherDefault<SeqHasher>>,
    ids: HashMap<NotificationId, i64, IdHash>,
    tenants: Vec<OfTenant>,
    tenant_numbers: HashMap<TenantId, usize>,
    pub(super) all: Counters,
    pub(super) keys: Keys,
    pub(super) ties: Ties,
    pub(super) trail: Trail,
    over: VecDeque<(i64, u32)>,
    last_seq: i64,
}

impl Table {
    pub(super) fn lane_number(&self, lane: &Lane) -> Option<i64> {
        self.lane_numbers.get(lane).copied()
    }

    pub(super) fn lane_mut(&mut self, n: i64) -> Option<&mut LaneJobs> {
        self.lanes.get_mut(usize::try_from(n).ok()?.checked_sub(1)?)
    }

    pub(super) fn intern(&mut self, lane: &Lane) -> i64 {
        if let Some(n) = self.lane_number(lane) {
            return n;
        }
        let tenants = &mut self.tenants;
        let tenant = *self.tenant_numbers.entry(lane.tenant).or_insert_with(|| {
            tenants.push(OfTenant::default());
            tenants.len() - 1
        });
        self.lanes.push(LaneJobs {
            lane: lane.clone(),
            tenant,
            jobs: BTreeMap::new(),
            turns: Turns::default(),
        });
        let n = i64::try_from(self.lanes.len()).unwrap_or(i64::MAX);
        self.lane_numbers.insert(lane.clone(), n);
        n
    }

    pub(super) fn seq_of(&self, id: NotificationId) -> Option<i64> {
        self.ids.get(&id).copied()
    }

    /// The notification, if it is the tenant's.
    pub(super) fn find(&self, tenant: TenantId, id: NotificationId) -> Option<(i64, &Record)> {
        let seq = self.seq_of(id)?;
        let record = self.records.get(&seq).filter(|record| record.row.lane.tenant == tenant)?;
        Some((seq, record))
    }

    /// What is kept of a tenant.
    pub(super) fn of_tenant(&self, tenant: TenantId) -> Option<&OfTenant> {
        self.tenants.get(*self.tenant_numbers.get(&tenant)?)
    }

    pub(super) fn record(&self, seq: i64) -> Option<&Record> {
        self.records.get(&seq)
    }

    pub(super) fn record_mut(&mut self, seq: i64) -> Option<&mut Record> {
        self.records.get_mut(&seq)
    }

    /// The number for what is accepted now.
    pub(super) const fn next_seq(&mut self) -> i64 {
        self.last_seq += 1;
        self.last_seq
    }

    /// Takes a new notification in; its job is the caller's to add.
    pub(super) fn insert(&mut self, record: Record) -> i64 {
        let (seq, lane) = (self.next_seq(), record.lane);
        self.ids.insert(record.row.id, seq);
        self.records.insert(seq, record);
        self.count(lane, None, State::Queued);
        if let Some(of_tenant) = self.of_lane_mut(lane) {
            of_tenant.seqs.insert(seq);
        }
        seq
    }

    fn of_lane_mut(&mut self, lane: i64) -> Option<&mut OfTenant> {
        let tenant = self.lane_mut(lane)?.tenant;
        self.tenants.get_mut(tenant)
    }

    fn count(&mut self, lane: i64, from: Option<State>, to: State) {
        let moved = |counters: &mut Counters| {
            if let Some(from) = from {
                let counter = counters.of_mut(from);
                *counter = counter.saturating_sub(1);
            }
            *counters.of_mut(to) += 1;
        };
        if let Some(of_tenant) = self.of_lane_mut(lane) {
            moved(&mut of_tenant.counters);
        }
        moved(&mut self.all);
    }

    fn uncount(&mut self, lane: i64, state: State) {
        let less = |counters: &mut Counters| {
            let counter = counters.of_mut(state);
            *counter = counter.saturating_sub(1);
        };
        if let Some(of_tenant) = self.of_lane_mut(lane) {
            less(&mut of_tenant.counters);
        }
        less(&mut self.all);
    }

    /// Changes a notification's state and whatever `change` does.
    pub(super) fn update(
        &mut self,
        seq: i64,
        to: State,
        now: UnixMs,
        change: impl FnOnce(&mut Record),
    ) {
        let Some(record) = self.records.get_mut(&seq) else { return };
        let (lane, from) = (record.lane, record.row.state);
        record.row.state = to;
        record.row.updated = now;
        change(record);
        let generation = record.row.generation;
        self.count(lane, Some(from), to);
        if to.is_terminal() {
            self.over.push_back((seq, generation));
            self.forget_oldest();
        }
    }

    /// Keeps the history bounded. What was replayed since is in it a second time, and stays.
    fn forget_oldest(&mut self) {
        while self.over.len() > HISTORY_MAX {
            let Some((seq, generation)) = self.over.pop_front() else { return };
            let Some(record) = self.records.get(&seq) else { continue };
            if record.row.generation != generation || !record.row.state.is_terminal() {
                continue;
            }
            self.forget(seq);
        }
    }

    /// Takes a notification out of everything but the counters.
    fn forget(&mut self, seq: i64) {
        let Some(record) = self.records.remove(&seq) else { return };
        if let Some(parent) = record.row.parent {
            self.ties.forget(parent, seq);
        }
        self.ids.remove(&record.row.id);
        if let Some(of_tenant) = self.of_lane_mut(record.lane) {
            of_tenant.seqs.remove(&seq);
        }
    }

    /// Takes a notification that is over out of everything.
    pub(super) fn remove(&mut self, seq: i64) {
        let Some((lane, state)) = self.record(seq).map(|one| (one.lane, one.row.state)) else {
            return;
        };
        self.forget(seq);
        self.uncount(lane, state);
    }

    /// Removes what is over since before that moment, the newest notification excepted. How many.
    pub(super) fn purge(&mut self, before: UnixMs) -> usize {
        let old = |record: &Record| {
            let row = &record.row;
            row.state.is_terminal() && row.updated < before && row.created < before
        };
        let of_group = |parent| {
            let family = self.ties.parents.get(&parent);
            family.is_none_or(|family| {
                family
                    .children
                    .iter()
                    .filter_map(|seq| self.record(*seq))
                    .all(|child| child.row.state.is_terminal() && child.row.updated < before)
            })
        };
        let gone: Vec<_> = self
            .records
            .iter()
            .filter(|(seq, record)| **seq != self.last_seq && old(record))
            .filter(|(_, record)| record.row.parent.is_none_or(of_group))
            .map(|(seq, _)| *seq)
            .collect();
        for seq in &gone {
            self.remove(*seq);
        }
        gone.len()
    }
}
