//! How many notifications each tenant has in each state. Kept in the `counter` table, changed once
//! a transaction and not once a row, and mirrored in memory so that nobody has to ask the file.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rusqlite::{Connection, Result};

use crate::{
    ids::TenantId,
    store::{Counters, State},
};

const STATES: [State; 6] = [
    State::Queued,
    State::Sending,
    State::Retrying,
    State::Delivered,
    State::Dead,
    State::Cancelled,
];

/// What is on disk. Shared between the writer, which changes it, and those who ask.
#[derive(Default, Debug)]
pub(super) struct Tallies(Mutex<Sums>);

#[derive(Default, Debug)]
struct Sums {
    tenants: HashMap<TenantId, Counters>,
    all: Counters,
}

impl Tallies {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut sums = Sums::default();
        let mut statement = conn
            .prepare("SELECT id, state, counter.n FROM counter JOIN tenant ON tenant.n=tenant")?;
        let mut rows = statement.query(())?;
        while let Some(row) = rows.next()? {
            let (tenant, state, n): (TenantId, State, i64) =
                (row.get(0)?, row.get(1)?, row.get(2)?);
            sums.add(tenant, state, n);
        }
        Ok(Self(Mutex::new(sums)))
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One tenant's.
    pub(super) fn of(&self, tenant: TenantId) -> Counters {
        self.sums().tenants.get(&tenant).copied().unwrap_or_default()
    }

    /// All tenants'.
    pub(super) fn all(&self) -> Counters {
        self.sums().all
    }
}

impl Sums {
    fn add(&mut self, tenant: TenantId, state: State, by: i64) {
        let of_tenant = self.tenants.entry(tenant).or_default();
        for counter in [of_tenant.of_mut(state), self.all.of_mut(state)] {
            *counter = counter.saturating_add_signed(by);
        }
    }
}

/// What the running transaction changes.
#[derive(Default)]
pub(super) struct Changes(HashMap<TenantId, Change>);

#[derive(Default)]
struct Change {
    tenant: i64,
    by_state: [i64; 6],
}

impl Change {
    fn add(&mut self, state: State, by: i64) {
        if let Some(sum) = self.by_state.get_mut(state as usize) {
            *sum += by;
        }
    }

    fn live(&self) -> i64 {
        STATES
            .iter()
            .zip(self.by_state)
            .filter(|(state, _)| !state.is_terminal())
            .map(|(_, by)| by)
            .sum()
    }
}

impl Changes {
    /// A notification moves from one state (none: it is new) to another.
    pub(super) fn moved(&mut self, (tenant, n): (TenantId, i64), from: Option<State>, to: State) {
        let change = self.0.entry(tenant).or_default();
        change.tenant = n;
        if let Some(from) = from {
            change.add(from, -1);
        }
        change.add(to, 1);
    }

    /// A notification that is over is no longer kept.
    pub(super) fn removed(&mut self, (tenant, n): (TenantId, i64), state: State) {
        let change = self.0.entry(tenant).or_default();
        change.tenant = n;
        change.add(state, -1);
    }

    /// The tenant's live notifications, with those of this transaction.
    pub(super) fn live(&self, tenant: TenantId, on_disk: &Tallies) -> u64 {
        let before = on_disk.of(tenant).live();
        before.saturating_add_signed(self.0.get(&tenant).map_or(0, Change::live))
    }

    /// Puts the changes into the transaction.
    pub(super) fn write(&self, conn: &Connection) -> Result<()> {
        let mut statement = conn.prepare_cached(
            "INSERT INTO counter(tenant, state, n) VALUES(?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET n=n+excluded.n",
        )?;
        for change in self.0.values() {
            for (state, by) in STATES.iter().zip(change.by_state).filter(|(_, by)| *by != 0) {
                statement.execute((change.tenant, state, by))?;
            }
        }
        Ok(())
    }

    /// The transaction is on disk.
    pub(super) fn committed(&mut self, on_disk: &Tallies) {
        let mut sums = on_disk.sums();
        for (tenant, change) in self.0.drain() {
            for (state, by) in STATES.into_iter().zip(change.by_state).filter(|(_, by)| *by != 0) {
                sums.add(tenant, state, by);
            }
        }
    }

    /// The transaction never was.
    pub(super) fn rolled_back(&mut self) {
        self.0.clear();
    }
}
