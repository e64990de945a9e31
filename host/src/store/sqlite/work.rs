//! What the writer is given to do, and what it does it with.

use std::collections::{HashMap, hash_map::Entry};

use rusqlite::{Connection, Result};
use tokio::sync::{oneshot, watch};

use super::{
    events::{Line, Link},
    names::{Named, Names},
    queue::Class,
    schema::SPAN_MS,
    tallies::{Changes, Tallies},
};
use crate::{
    clock::{Clock, UnixMs},
    store::{Hint, Hints, State, StoreError, turns::Turns},
};

/// An operation on the store.
pub(super) trait Work: Send + 'static {
    /// What it answers.
    type Answer: Send;
    /// Which line it waits in.
    const CLASS: Class;
    /// How many things it does.
    fn items(&self) -> usize {
        1
    }
    /// How much it writes, about.
    fn bytes(&self) -> usize {
        0
    }
    /// Does it inside the running transaction. May be called again after a rollback.
    fn run(&self, batch: &mut Batch<'_>) -> Result<Self::Answer>;
}

/// An operation with somebody who waits for it.
pub(super) struct Call<W: Work> {
    work: W,
    answer: Option<W::Answer>,
    reply: oneshot::Sender<Result<W::Answer, StoreError>>,
}

impl<W: Work> Call<W> {
    pub(super) fn new(work: W, reply: oneshot::Sender<Result<W::Answer, StoreError>>) -> Self {
        Self { work, answer: None, reply }
    }
}

/// A [`Call`] of any kind.
pub(super) trait Op: Send {
    fn class(&self) -> Class;
    fn items(&self) -> usize;
    fn bytes(&self) -> usize;
    /// Does it, and keeps the answer until the transaction is on disk.
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<()>;
    /// It is on disk: answers.
    fn done(self: Box<Self>);
    /// It is not, or nobody knows: says so.
    fn failed(self: Box<Self>, error: StoreError);
}

impl<W: Work> Op for Call<W> {
    fn class(&self) -> Class {
        W::CLASS
    }
    fn items(&self) -> usize {
        self.work.items()
    }
    fn bytes(&self) -> usize {
        self.work.bytes()
    }
    fn run(&mut self, batch: &mut Batch<'_>) -> Result<()> {
        self.answer = Some(self.work.run(batch)?);
        Ok(())
    }
    fn done(self: Box<Self>) {
        if let Some(answer) = self.answer {
            // Who asked may have gone; the work is done all the same.
            let _gone = self.reply.send(Ok(answer));
        }
    }
    fn failed(self: Box<Self>, error: StoreError) {
        let _gone = self.reply.send(Err(error));
    }
}

/// What survives from one transaction to the next.
pub(super) struct Memory {
    pub(super) names: Names,
    pub(super) changes: Changes,
    /// The newest notification's number.
    pub(super) last_seq: i64,
    /// The newest event.
    pub(super) chain: Link,
    /// Whose turn it is in which lane: those in which somebody went ahead.
    pub(super) turns: HashMap<i64, Turns>,
}

/// The running transaction.
pub(super) struct Batch<'a> {
    pub(super) conn: &'a Connection,
    pub(super) memory: &'a mut Memory,
    tallies: &'a Tallies,
    clock: &'a Clock,
    /// Who we are, in `job.owner`.
    pub(super) incarnation: i64,
    last_seq_before: i64,
    chain_before: Link,
    turns_before: HashMap<i64, Turns>,
    hints: HashMap<i64, Hint>,
    spans: HashMap<i64, (i64, i64)>,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        conn: &'a Connection,
        memory: &'a mut Memory,
        tallies: &'a Tallies,
        clock: &'a Clock,
        incarnation: i64,
    ) -> Self {
        let (last_seq_before, chain_before) = (memory.last_seq, memory.chain);
        let (turns_before, hints, spans) = Default::default();
        Self {
            conn,
            memory,
            tallies,
            clock,
            incarnation,
            last_seq_before,
            chain_before,
            turns_before,
            hints,
            spans,
        }
    }

    pub(super) fn now(&self) -> UnixMs {
        self.clock.now()
    }

    /// The number for the notification that is accepted now.
    pub(super) fn next_seq(&mut self, now: UnixMs) -> i64 {
        self.memory.last_seq += 1;
        let seq = self.memory.last_seq;
        self.spans.entry(now.0.div_euclid(SPAN_MS)).or_insert((seq, seq)).1 = seq;
        seq
    }

    /// A notification of `lane` moves from one state (none: it is new) to another.
    pub(super) fn moved(&mut self, lane: &Named, from: Option<State>, to: State) {
        self.memory.changes.moved((lane.lane.tenant, lane.tenant), from, to);
    }

    /// Whose turn it is in a lane.
    pub(super) fn turns(&mut self, lane: i64) -> &mut Turns {
        let turns = self.memory.turns.entry(lane).or_default();
        self.turns_before.entry(lane).or_insert(*turns);
        turns
    }

    /// Writes down what happened.
    pub(super) fn event(&mut self, line: &Line<'_>) -> Result<()> {
        self.memory.chain.append(self.conn, line)
    }

    /// The live notifications of a tenant.
    pub(super) fn live(&self, tenant: crate::ids::TenantId) -> u64 {
        self.memory.changes.live(tenant, self.tallies)
    }

    /// The lane has a job, once this is on disk.
    pub(super) fn hint(&mut self, lane: i64, hint: Hint) {
        match self.hints.entry(lane) {
            Entry::Occupied(mut known) => *known.get_mut() = known.get().and(hint),
            Entry::Vacant(none) => drop(none.insert(hint)),
        }
    }

    /// Writes what was put off to the end of the transaction.
    pub(super) fn write_sums(&mut self) -> Result<()> {
        self.memory.changes.write(self.conn)?;
        let mut statement = self.conn.prepare_cached(
            "INSERT INTO span(slot, first, last) VALUES(?1, ?2, ?3)
             ON CONFLICT DO UPDATE
             SET first=min(first, excluded.first), last=max(last, excluded.last)",
        )?;
        for (slot, (first, last)) in &self.spans {
            statement.execute((slot, first, last))?;
        }
        Ok(())
    }

    /// It is on disk: what is in memory follows, and those who wait for work are told.
    pub(super) fn committed(self, hints: &Hints, last_event: &watch::Sender<i64>) {
        for (lane, hint) in self.hints {
            if let Some(named) = self.memory.names.numbered(lane) {
                hints.add(&named.lane, hint);
            }
        }
        self.memory.names.committed();
        self.memory.changes.committed(self.tallies);
        for lane in self.turns_before.into_keys() {
            // Nobody went ahead: nothing to remember.
            if self.memory.turns.get(&lane) == Some(&Turns::default()) {
                self.memory.turns.remove(&lane);
            }
        }
        let seq = self.memory.chain.seq;
        last_event.send_if_modified(|last| std::mem::replace(last, seq) != seq);
    }

    /// It never was.
    pub(super) fn rolled_back(self) {
        self.memory.last_seq = self.last_seq_before;
        self.memory.chain = self.chain_before;
        self.memory.turns.extend(self.turns_before);
        self.memory.names.rolled_back();
        self.memory.changes.rolled_back();
    }
}
