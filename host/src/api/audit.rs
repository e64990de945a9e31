//! What the surface writes into the trail of events: the use of keys, and what was refused for them.
//!
//! No request waits for it. A use is looked up in a map without a lock; what is worth a line goes
//! through a bounded queue to a task.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use axum::http::request::Parts;
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep_until},
};

use super::{ApiState, auth::peer, json::shorten, kinds, problem::Kind};
use crate::{
    clock::UnixMs,
    config::Tenant,
    generation::Generation,
    ids::TenantId,
    limits::{AUDIT_QUEUE_MAX, AUDIT_REFUSALS_EVERY, AUDIT_REFUSED_TENANTS_MAX, BUSY_RETRY_AFTER},
    stopping::Stopping,
    store::{EventKind, NewEvent, Store, StoreError},
};

const HOUR_MS: i64 = 3_600_000;

/// What is counted among the refusals.
const REFUSALS: [Kind; 4] =
    [kinds::WRONG_KEY, kinds::TOO_MANY_FAILURES, kinds::WRONG_CONTEXT, kinds::SOURCE_DENIED];

/// See the module's text.
pub(super) struct Audit {
    keys: ArcSwap<Keys>,
    admin_hour: AtomicI64,
    events: mpsc::Sender<NewEvent>,
    shared: Arc<Refusals>,
}

/// Every key of a generation, with the hour in which it was last used; 0: never.
#[derive(Default)]
struct Keys {
    generation: u64,
    of: HashMap<[u8; 32], AtomicI64>,
}

/// What was refused since the last event about it.
#[derive(Default)]
struct Refusals {
    counts: [AtomicU64; REFUSALS.len()],
    /// Events that found the queue full.
    dropped: AtomicU64,
    last_from: Mutex<Option<IpAddr>>,
    /// Of tenants whose valid key was refused for where it was used.
    of_tenants: Mutex<HashMap<(TenantId, &'static str), OfTenant>>,
    any: Notify,
}

/// Refusals of one tenant and kind.
#[derive(Default)]
struct OfTenant {
    count: u64,
    last_from: Option<IpAddr>,
}

impl Audit {
    /// Begins to write down.
    pub(super) fn start(state: &ApiState) -> Self {
        let (events, queue) = mpsc::channel(AUDIT_QUEUE_MAX);
        let shared = Arc::<Refusals>::default();
        let writer = Writer {
            store: Arc::clone(&state.store),
            refusals: Arc::clone(&shared),
            queue,
            stopping: state.stopping.clone(),
            pause: AUDIT_REFUSALS_EVERY,
        };
        state.tasks.spawn("audit", writer.run());
        Self { keys: ArcSwap::default(), admin_hour: AtomicI64::new(0), events, shared }
    }

    /// A tenant's key was used. An event for the first use in an hour.
    pub(super) fn key_used(
        &self,
        generation: &Generation,
        tenant: &Tenant,
        key_hash: &[u8; 32],
        parts: &Parts,
        now: UnixMs,
    ) {
        let mut keys = self.keys.load();
        if keys.generation < generation.number {
            self.renew(generation);
            keys = self.keys.load();
        }
        let Some(last) = keys.of.get(key_hash) else { return };
        if !is_first(last, now) {
            return;
        }
        let which = tenant.key_hashes.iter().position(|known| known == key_hash);
        let which = which.and_then(|index| tenant.key_envs.get(index));
        let detail = format!(
            "first use of the key {} in an hour{}",
            which.map_or("of the tenant", |name| name),
            from(peer(&parts.extensions))
        );
        self.write(EventKind::KeyUsed, Some(tenant), detail);
    }

    /// The operator's key was used. An event for the first use in an hour, and for each that changes
    /// something.
    pub(super) fn admin_used(&self, parts: &Parts, now: UnixMs) {
        let first = is_first(&self.admin_hour, now);
        if first || !parts.method.is_safe() {
            let detail = format!(
                "{}{} {}{}",
                if first { "first use of the operator's key in an hour: " } else { "" },
                parts.method,
                shorten(parts.uri.path()),
                from(peer(&parts.extensions))
            );
            self.write(EventKind::Admin, None, detail);
        }
    }

    /// A request was refused; some kinds are counted. `tenant`: whose key it had.
    pub(super) fn refused(&self, kind: Kind, peer: Option<IpAddr>, tenant: Option<TenantId>) {
        if let Some(tenant) = tenant {
            let mut all = lock(&self.shared.of_tenants);
            let place = (tenant, kind.slug);
            if all.len() < AUDIT_REFUSED_TENANTS_MAX || all.contains_key(&place) {
                let of_tenant = all.entry(place).or_default();
                of_tenant.count += 1;
                of_tenant.last_from = peer;
                self.shared.any.notify_one();
                return;
            }
        }
        let index = REFUSALS.iter().position(|counted| *counted == kind);
        let Some(count) = index.and_then(|index| self.shared.counts.get(index)) else { return };
        *lock(&self.shared.last_from) = peer;
        count.fetch_add(1, Ordering::Relaxed);
        self.shared.any.notify_one();
    }

    /// Takes over the keys of a new generation, and when those that stay were used.
    fn renew(&self, generation: &Generation) {
        self.keys.rcu(|before| {
            if before.generation >= generation.number {
                return Arc::clone(before);
            }
            let hashes = generation.config.tenants.values().flat_map(|tenant| &tenant.key_hashes);
            let used = |hash: &[u8; 32]| {
                let hour = before.of.get(hash).map_or(0, |hour| hour.load(Ordering::Relaxed));
                AtomicI64::new(hour)
            };
            let of = hashes.map(|hash| (*hash, used(hash))).collect();
            Arc::new(Keys { generation: generation.number, of })
        });
    }

    fn write(&self, kind: EventKind, tenant: Option<&Tenant>, detail: String) {
        let tenant = tenant.map(|tenant| tenant.id);
        let event = NewEvent { kind, tenant, notification: None, detail: Some(detail) };
        if self.events.try_send(event).is_err() {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            self.shared.any.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The event about a key that is valid, and was used where it is not.
fn of_tenant(tenant: TenantId, slug: &str, refused: &OfTenant) -> NewEvent {
    let (kind, where_from) = if slug == kinds::WRONG_CONTEXT.slug {
        (EventKind::ContextMismatch, "at a host name or port of another tenant")
    } else {
        (EventKind::Security, "from an address that is not among the tenant's sources")
    };
    let last = refused.last_from.map_or_else(String::new, |last| format!("; the last from {last}"));
    let detail =
        format!("{slug}: the tenant's key was used {where_from}, {} time(s){last}", refused.count);
    NewEvent { kind, tenant: Some(tenant), notification: None, detail: Some(detail) }
}

/// Whether this is the first use in its hour; of many at the same time one is.
fn is_first(last: &AtomicI64, now: UnixMs) -> bool {
    let hour = now.0 / HOUR_MS;
    let before = last.load(Ordering::Relaxed);
    before != hour
        && last.compare_exchange(before, hour, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

fn from(peer: Option<IpAddr>) -> String {
    peer.map_or_else(String::new, |peer| format!(", from {peer}"))
}

/// The task that writes.
struct Writer {
    store: Arc<dyn Store>,
    refusals: Arc<Refusals>,
    queue: mpsc::Receiver<NewEvent>,
    stopping: Stopping,
    /// At least so long between two events about refusals.
    pause: Duration,
}

impl Writer {
    async fn run(mut self) {
        let mut next_sum = Instant::now();
        // Kept outside of the wait: what else happens meanwhile must not make it forgotten.
        let mut any = false;
        loop {
            tokio::select! {
                event = self.queue.recv() => match event {
                    Some(event) => self.record(event).await,
                    None => break,
                },
                () = self.refusals.any.notified(), if !any => any = true,
                () = sleep_until(next_sum), if any => {
                    any = false;
                    self.sum_up().await;
                    next_sum = Instant::now() + self.pause;
                }
                () = self.stopping.cancelled() => break,
            }
        }
        while let Ok(event) = self.queue.try_recv() {
            self.record(event).await;
        }
        self.sum_up().await;
    }

    async fn sum_up(&self) {
        let dropped = self.refusals.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!(dropped, "events were not written: too many at once");
        }
        let of_tenants = std::mem::take(&mut *lock(&self.refusals.of_tenants));
        for ((tenant, slug), refused) in of_tenants {
            self.record(of_tenant(tenant, slug, &refused)).await;
        }
        let counts = self.refusals.counts.iter().map(|count| count.swap(0, Ordering::Relaxed));
        let words: Vec<String> = REFUSALS
            .iter()
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| format!("{} {count}", kind.slug))
            .collect();
        if words.is_empty() {
            return;
        }
        let last = *lock(&self.refusals.last_from);
        let last = last.map_or_else(String::new, |last| format!("; the last from {last}"));
        let detail = format!("requests refused: {}{last}", words.join(", "));
        let kind = EventKind::Security;
        self.record(NewEvent { kind, tenant: None, notification: None, detail: Some(detail) })
            .await;
    }

    async fn record(&self, event: NewEvent) {
        loop {
            match self.store.record_event(event.clone()).await {
                Ok(()) => return,
                Err(StoreError::Busy) if !self.stopping.is_cancelled() => {
                    tokio::time::sleep(BUSY_RETRY_AFTER).await;
                }
                Err(error) => {
                    tracing::warn!(%error, kind = event.kind.word(), "an event was not written");
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
