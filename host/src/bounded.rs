//! A table with a bound: of what is beyond it, the entries that were not used for longest go.

use std::{borrow::Borrow, collections::HashMap, hash::Hash};

/// How much goes at once when the table is full, as a part of it: looking for the oldest is work
/// in proportion to the whole.
const EVICTED_PART: usize = 8;

#[derive(Debug)]
pub(crate) struct Bounded<K, V> {
    entries: HashMap<K, Entry<V>>,
    max: usize,
    uses: u64,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: u64,
}

impl<K: Hash + Eq + Clone, V> Bounded<K, V> {
    pub(crate) fn new(max: usize) -> Self {
        Self { entries: HashMap::new(), max: max.max(1), uses: 0 }
    }

    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.uses += 1;
        let entry = self.entries.get_mut(key)?;
        entry.used = self.uses;
        Some(&mut entry.value)
    }

    /// The entry of `key`, made if it is not there.
    pub(crate) fn get_or_insert(&mut self, key: &K, new: impl FnOnce() -> V) -> &mut V {
        if self.entries.len() >= self.max && !self.entries.contains_key(key) {
            self.evict();
        }
        self.uses += 1;
        let used = self.uses;
        let entry = self.entries.entry(key.clone()).or_insert_with(|| Entry { value: new(), used });
        entry.used = used;
        &mut entry.value
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.entries.remove(key).map(|entry| entry.value)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.entries.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// Keeps what `keep` says, and may change it.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        self.entries.retain(|key, entry| keep(key, &mut entry.value));
    }

    fn evict(&mut self) {
        let mut used: Vec<u64> = self.entries.values().map(|entry| entry.used).collect();
        let last = (used.len() / EVICTED_PART).min(used.len().saturating_sub(1));
        let (_, oldest, _) = used.select_nth_unstable(last);
        let oldest = *oldest;
        self.entries.retain(|_, entry| entry.used > oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entries_used_last_stay() {
        let mut table = Bounded::new(16);
        for number in 0..16 {
            table.get_or_insert(&number, || number);
        }
        for used in [0, 3] {
            assert_eq!(table.get_mut(&used), Some(&mut used.clone()));
        }
        table.get_or_insert(&16, || 16);
        for stays in [0, 3, 15, 16] {
            assert!(table.get_mut(&stays).is_some(), "{stays}");
        }
        assert!(table.get_mut(&1).is_none());
        for number in 100..10_000 {
            table.get_or_insert(&number, || number);
            assert!(table.iter().count() <= 16);
        }
    }

    #[test]
    fn a_table_for_one_works() {
        let mut table = Bounded::new(1);
        for number in 0..3 {
            assert_eq!(*table.get_or_insert(&number, || number), number);
        }
        assert_eq!(table.iter().count(), 1);
    }
}
