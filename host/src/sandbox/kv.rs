//! The `state` import: a small memory of one channel, shared by its instances. A cache: it is empty
//! after a restart.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::limits;

/// One channel's keys and values, inside the limits.
#[derive(Default, Debug)]
pub(super) struct Kv {
    entries: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    value: Vec<u8>,
    until: Option<Instant>,
}

impl Kv {
    /// The value of `key`, unless its time is over.
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key)?;
        entry.until.is_none_or(|until| Instant::now() < until).then(|| entry.value.clone())
    }

    /// Keeps `value`; or says what is too large.
    pub(super) fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl: Option<Duration>,
    ) -> Result<(), String> {
        if key.len() > limits::STATE_KEY_BYTES_MAX {
            return Err(format!("a key has {} bytes at most", limits::STATE_KEY_BYTES_MAX));
        }
        let now = Instant::now();
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.until.is_none_or(|until| now < until));
        if !entries.contains_key(&key) && entries.len() >= limits::STATE_KEYS_MAX {
            return Err(format!("there are {} keys at most", limits::STATE_KEYS_MAX));
        }
        let others: usize = entries
            .iter()
            .filter(|(other, _)| **other != key)
            .map(|(other, entry)| other.len() + entry.value.len())
            .sum();
        if others + key.len() + value.len() > limits::STATE_BYTES_MAX {
            return Err(format!("all together has {} bytes at most", limits::STATE_BYTES_MAX));
        }
        let until = ttl.and_then(|ttl| now.checked_add(ttl));
        entries.insert(key, Entry { value, until });
        Ok(())
    }

    /// Forgets `key`.
    pub(super) fn remove(&self, key: &str) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_until_its_time_is_over() {
        let kv = Kv::default();
        kv.set(String::from("a"), vec![1], None).unwrap();
        kv.set(String::from("b"), vec![2], Some(Duration::ZERO)).unwrap();
        assert_eq!(kv.get("a"), Some(vec![1]));
        assert_eq!(kv.get("b"), None);
        kv.remove("a");
        assert_eq!(kv.get("a"), None);
    }

    #[test]
    fn keys_and_bytes_are_bounded_and_a_refused_value_changes_nothing() {
        let kv = Kv::default();
        for number in 0..limits::STATE_KEYS_MAX {
            kv.set(number.to_string(), vec![], None).unwrap();
        }
        assert!(kv.set(String::from("one more"), vec![], None).is_err());
        kv.set(String::from("0"), vec![7], None).unwrap();
        assert!(kv.set(String::from("0"), vec![0; limits::STATE_BYTES_MAX], None).is_err());
        assert_eq!(kv.get("0"), Some(vec![7]));
        assert!(kv.set("k".repeat(limits::STATE_KEY_BYTES_MAX + 1), vec![], None).is_err());
    }
}
