//! The numbers that stand for tenants and lanes in the file. The writer keeps all of them in
//! memory: bounded by the lanes there are, and asked for with every operation.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, Result};

use crate::{ids::TenantId, store::Lane};

/// A lane and its numbers.
#[derive(Debug)]
pub(super) struct Named {
    /// The lane's number.
    pub(super) n: i64,
    /// The tenant's number.
    pub(super) tenant: i64,
    /// What they stand for.
    pub(super) lane: Lane,
}

/// All names, and those that the running transaction added.
#[derive(Default)]
pub(super) struct Names {
    tenants: HashMap<TenantId, i64>,
    lanes: HashMap<Lane, Arc<Named>>,
    by_number: HashMap<i64, Arc<Named>>,
    fresh_tenants: Vec<TenantId>,
    fresh_lanes: Vec<Arc<Named>>,
}

impl Names {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut names = Self::default();
        let mut tenants = conn.prepare("SELECT id, n FROM tenant")?;
        let mut rows = tenants.query(())?;
        while let Some(row) = rows.next()? {
            names.tenants.insert(row.get(0)?, row.get(1)?);
        }
        let mut lanes = conn.prepare(
            "SELECT lane.n, tenant.n, tenant.id, channel FROM lane JOIN tenant ON tenant.n=tenant",
        )?;
        let mut rows = lanes.query(())?;
        while let Some(row) = rows.next()? {
            let lane = Lane { tenant: row.get(2)?, channel: row.get(3)? };
            names.put(Arc::new(Named { n: row.get(0)?, tenant: row.get(1)?, lane }));
        }
        Ok(names)
    }

    fn put(&mut self, named: Arc<Named>) {
        self.by_number.insert(named.n, Arc::clone(&named));
        self.lanes.insert(named.lane.clone(), named);
    }

    /// The tenant's number, if it ever had a notification.
    pub(super) fn tenant(&self, tenant: TenantId) -> Option<i64> {
        self.tenants.get(&tenant).copied()
    }

    /// The lane, if it ever had a notification.
    pub(super) fn lane(&self, lane: &Lane) -> Option<&Arc<Named>> {
        self.lanes.get(lane)
    }

    /// All lanes.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.by_number.values()
    }

    /// The lane with that number.
    pub(super) fn numbered(&self, n: i64) -> Option<&Arc<Named>> {
        self.by_number.get(&n)
    }

    /// The tenant's number, written down if it is new.
    pub(super) fn intern_tenant(&mut self, conn: &Connection, tenant: TenantId) -> Result<i64> {
        if let Some(n) = self.tenant(tenant) {
            return Ok(n);
        }
        conn.prepare_cached("INSERT INTO tenant(id) VALUES(?1)")?.execute([tenant])?;
        let n = conn.last_insert_rowid();
        self.tenants.insert(tenant, n);
        self.fresh_tenants.push(tenant);
        Ok(n)
    }

    /// The lane, written down if it is new.
    pub(super) fn intern(&mut self, conn: &Connection, lane: &Lane) -> Result<Arc<Named>> {
        if let Some(named) = self.lanes.get(lane) {
            return Ok(Arc::clone(named));
        }
        let tenant = self.intern_tenant(conn, lane.tenant)?;
        conn.prepare_cached("INSERT INTO lane(tenant, channel) VALUES(?1, ?2)")?
            .execute((tenant, &lane.channel))?;
        let named = Arc::new(Named { n: conn.last_insert_rowid(), tenant, lane: lane.clone() });
        self.put(Arc::clone(&named));
        self.fresh_lanes.push(Arc::clone(&named));
        Ok(named)
    }

    /// The transaction is on disk: its names stay.
    pub(super) fn committed(&mut self) {
        self.fresh_tenants.clear();
        self.fresh_lanes.clear();
    }

    /// The transaction never was: its names go.
    pub(super) fn rolled_back(&mut self) {
        for tenant in self.fresh_tenants.drain(..) {
            self.tenants.remove(&tenant);
        }
        for named in self.fresh_lanes.drain(..) {
            self.by_number.remove(&named.n);
            self.lanes.remove(&named.lane);
        }
    }
}
