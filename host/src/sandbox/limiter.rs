//! How much memory an instance has. wasmtime's own limiter counts each memory by itself; this one
//! counts the sum of all memories and tables, so that many small ones are no way around it, and
//! charges it to the account of all guests.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, Result};

use super::budget::MemoryBudget;
use crate::limits;

/// What one table element is charged with: a reference and its bookkeeping.
const TABLE_ELEMENT_BYTES: usize = 16;

/// One store's memory account.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    bytes_max: usize,
    bytes: usize,
    bytes_peak: usize,
    refused: bool,
    starved: bool,
    budget: Arc<MemoryBudget>,
}

impl MemoryLimiter {
    pub(super) const fn new(bytes_max: usize, budget: Arc<MemoryBudget>) -> Self {
        Self { bytes_max, bytes: 0, bytes_peak: 0, refused: false, starved: false, budget }
    }

    /// Whether the guest has asked for more than it may have.
    pub(super) const fn refused(&self) -> bool {
        self.refused
    }

    /// Whether it was denied what it may have, because all guests together have too much. Asking
    /// forgets it.
    pub(super) const fn take_starved(&mut self) -> bool {
        std::mem::replace(&mut self.starved, false)
    }

    /// The same, without forgetting it.
    pub(super) const fn starved(&self) -> bool {
        self.starved
    }

    /// The most it has had.
    pub(super) const fn bytes_peak(&self) -> usize {
        self.bytes_peak
    }

    fn grow(&mut self, current: usize, desired: usize, unit: usize) -> bool {
        let more = desired.saturating_sub(current).saturating_mul(unit);
        let total = self.bytes.saturating_add(more);
        if total > self.bytes_max {
            self.refused = true;
            return false;
        }
        if !self.budget.take(more) {
            self.starved = true;
            return false;
        }
        self.bytes = total;
        self.bytes_peak = self.bytes_peak.max(total);
        true
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        self.budget.give_back(self.bytes);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        Ok(self.grow(current, desired, 1))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> Result<bool> {
        if desired > limits::TABLE_ELEMENTS_MAX {
            self.refused = true;
            return Ok(false);
        }
        Ok(self.grow(current, desired, TABLE_ELEMENT_BYTES))
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        limits::TABLES_MAX
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_on_the_sum_of_all_memories_and_tables() {
        let mut limiter = MemoryLimiter::new(1000, MemoryBudget::new(10_000));
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.memory_growing(0, 300, None).unwrap());
        assert!(!limiter.refused());
        assert!(!limiter.memory_growing(300, 500, None).unwrap());
        assert!(limiter.refused());
        assert!(limiter.table_growing(0, 6, None).unwrap());
        assert!(!limiter.table_growing(6, 7, None).unwrap());
        assert_eq!(limiter.bytes_peak(), 996);
    }

    #[test]
    fn what_all_guests_have_is_charged_to_one_account_and_given_back() {
        let budget = MemoryBudget::new(1_000);
        let mut one = MemoryLimiter::new(900, Arc::clone(&budget));
        let mut other = MemoryLimiter::new(900, Arc::clone(&budget));
        assert!(one.memory_growing(0, 800, None).unwrap());
        assert!(!other.memory_growing(0, 300, None).unwrap());
        assert!(!other.refused() && other.take_starved(), "it is not its own limit");
        assert!(!other.take_starved());
        drop(one);
        assert!(other.memory_growing(0, 300, None).unwrap());
        drop(other);
        assert_eq!(budget.used(), 0);
    }
}
