//! Who may have how many live instances: the slots of the pool, for the process and for each tenant.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;

use crate::{ids::TenantId, limits};

/// Tables that the pool has for each slot.
pub(super) const TABLES_PER_SLOT: u32 = 3;

/// How many slots of the pool one instance of `component` takes: one, unless it has more memories
/// or tables than the pool has for each. Otherwise a few hundred of those with sixteen memories
/// would take the pool's last one, and somebody else's instance would not start.
pub(super) fn slots(component: &Component) -> u32 {
    // None only for components that import modules; the linker offers none.
    let Some(needed) = component.resources_required() else { return 1 };
    // The pool's quarter more memories than slots is for what is being described or tried.
    needed.num_memories.max(needed.num_tables.div_ceil(TABLES_PER_SLOT)).max(1)
}

/// The slots of the process.
#[derive(Debug)]
pub(super) struct Room {
    slots_max: usize,
    all: Arc<Semaphore>,
    /// What is left to each tenant; those that have taken nothing need not be here.
    tenants: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

/// The slots of one instance, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_tenant: OwnedSemaphorePermit,
}

/// Who has no more room.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shortage {
    /// The process.
    Process,
    /// The tenant that asks.
    Tenant,
}

impl Room {
    /// Room for `slots_max` instances; half of it for one tenant.
    pub(super) fn new(slots_max: usize) -> Self {
        Self { slots_max, all: Arc::new(Semaphore::new(slots_max)), tenants: Mutex::default() }
    }

    /// Half, so that one tenant whose plugins all hang leaves room for the others.
    fn tenant_max(&self) -> usize {
        self.slots_max.div_ceil(limits::INSTANCES_TENANT_PARTS)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TenantId, Arc<Semaphore>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many slots are taken.
    pub(super) fn taken(&self) -> usize {
        self.slots_max.saturating_sub(self.all.available_permits())
    }

    /// Takes room for one instance; none when the process or the tenant has no more.
    pub(super) fn take(&self, tenant: TenantId, slots: u32) -> Option<Place> {
        let of_all = Arc::clone(&self.all).try_acquire_many_owned(slots).ok()?;
        let of_tenant = self.left_to(tenant).try_acquire_many_owned(slots).ok()?;
        Some(Place { _of_all: of_all, _of_tenant: of_tenant })
    }

    /// The same for an instance that must be there, when there is room for it.
    pub(super) async fn wait(&self, tenant: TenantId, slots: u32) -> Option<Place> {
        let of_tenant = self.left_to(tenant).acquire_many_owned(slots).await.ok()?;
        let of_all = Arc::clone(&self.all).acquire_many_owned(slots).await.ok()?;
        Some(Place { _of_all: of_all, _of_tenant: of_tenant })
    }

    fn left_to(&self, tenant: TenantId) -> Arc<Semaphore> {
        let tenant_max = self.tenant_max();
        let mut tenants = self.lock();
        if !tenants.contains_key(&tenant) {
            // No more are kept than have instances.
            tenants.retain(|_, left| left.available_permits() < tenant_max);
        }
        let left = tenants.entry(tenant).or_insert_with(|| Arc::new(Semaphore::new(tenant_max)));
        Arc::clone(left)
    }

    /// What stands in the way of one more instance of a tenant, if anything does.
    pub(super) fn shortage(&self, tenant: TenantId, slots: u32) -> Option<Shortage> {
        let needed = usize::try_from(slots).unwrap_or(usize::MAX);
        if self.all.available_permits() < needed {
            return Some(Shortage::Process);
        }
        let left = self.lock().get(&tenant).map(|left| left.available_permits());
        left.is_some_and(|left| left < needed).then_some(Shortage::Tenant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_takes_half_of_the_room_and_gives_it_back() {
        let room = Room::new(limits::INSTANCES_MAX);
        let [one, other, third] = [1, 2, 3].map(|n| TenantId(uuid::Uuid::from_u128(n)));
        let most = u32::try_from(limits::INSTANCES_MAX / 2).unwrap();
        let taken = room.take(one, most).unwrap();
        assert!(room.take(one, 1).is_none());
        assert_eq!(room.shortage(one, 1), Some(Shortage::Tenant));
        assert_eq!(room.shortage(other, 1), None);
        let others = room.take(other, most).unwrap();
        assert!(room.take(third, 1).is_none(), "the process has no more");
        assert_eq!(room.shortage(third, 1), Some(Shortage::Process));
        drop(taken);
        assert!(room.take(third, 1).is_some());
        assert!(room.take(one, 1).is_some());
        drop(others);
        assert!(room.lock().len() <= 3);
    }
}
