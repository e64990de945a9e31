//! How many connections each source has, so that one cannot have all of them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::OwnedSemaphorePermit;

use crate::source::Source;

/// Connections by source. Bounded by the listener's own bound: a source is here as long as it has
/// one.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    max: u32,
    counts: Arc<Mutex<HashMap<Source, u32>>>,
}

/// A connection's place: given back when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    source: Source,
    sources: Sources,
    _permit: OwnedSemaphorePermit,
}

impl Sources {
    pub(super) fn new(max: u32) -> Self {
        Self { max, counts: Arc::default() }
    }

    /// A place for one more connection of `source`; none if it has as many as it may.
    pub(super) fn enter(&self, source: Source, permit: OwnedSemaphorePermit) -> Option<Place> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Place { source, sources: self.clone(), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.sources.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.source);
            }
        }
    }
}
