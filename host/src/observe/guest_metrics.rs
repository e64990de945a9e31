//! What the guests of one plugin use. By plugin and not by tenant or channel, of which there may be
//! tens of thousands: who of them it was is for `GET /admin/bindings` to say.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::plugin_metrics::Labels;

/// What a call has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Used {
    /// CPU time.
    pub cpu: Duration,
    /// The most memory that its instance has had.
    pub memory_bytes_peak: u64,
    /// Calls of what the host offers.
    pub host_calls: u64,
    /// What it sent.
    pub bytes_out: u64,
    /// What it got.
    pub bytes_in: u64,
    /// What it logged.
    pub log_bytes: u64,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
    /// Whether it was denied memory because all guests together had too much.
    pub starved: bool,
}

#[derive(Clone, Debug)]
pub(super) struct GuestFamilies {
    cpu_seconds: Family<Labels, Counter<f64, AtomicU64>>,
    memory_peak: Family<Labels, Gauge>,
    host_calls: Family<Labels, Counter>,
    bytes_out: Family<Labels, Counter>,
    bytes_in: Family<Labels, Counter>,
    log_bytes: Family<Labels, Counter>,
    starved: Family<Labels, Counter>,
}

impl GuestFamilies {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let families = Self {
            cpu_seconds: Family::default(),
            memory_peak: Family::default(),
            host_calls: Family::default(),
            bytes_out: Family::default(),
            bytes_in: Family::default(),
            log_bytes: Family::default(),
            starved: Family::default(),
        };
        let all = families.clone();
        let mut bytes = |name: &str, help: &str, family| {
            registry.register_with_unit(name, help, Unit::Bytes, family);
        };
        bytes("guest_sent", "Headers and bodies that guests sent", all.bytes_out);
        bytes("guest_received", "Headers and bodies that guests got", all.bytes_in);
        bytes("guest_logged", "What guests logged", all.log_bytes);
        let peak = "The most memory that one instance has had";
        registry.register_with_unit("guest_memory_peak", peak, Unit::Bytes, all.memory_peak);
        let cpu = "CPU time of guests and of the host's work for them";
        registry.register_with_unit("guest_cpu", cpu, Unit::Seconds, all.cpu_seconds);
        registry.register("guest_host_calls", "Calls of what the host offers", all.host_calls);
        let starved = "Calls that were denied memory because all guests together had too much";
        registry.register("guest_memory_denied", starved, all.starved);
        families
    }

    pub(super) fn of(&self, one: &Labels) -> GuestMetrics {
        GuestMetrics {
            cpu_seconds: self.cpu_seconds.get_or_create_owned(one),
            memory_peak: self.memory_peak.get_or_create_owned(one),
            host_calls: self.host_calls.get_or_create_owned(one),
            bytes_out: self.bytes_out.get_or_create_owned(one),
            bytes_in: self.bytes_in.get_or_create_owned(one),
            log_bytes: self.log_bytes.get_or_create_owned(one),
            starved: self.starved.get_or_create_owned(one),
        }
    }
}

/// One plugin's.
#[derive(Debug)]
pub(super) struct GuestMetrics {
    cpu_seconds: Counter<f64, AtomicU64>,
    memory_peak: Gauge,
    host_calls: Counter,
    bytes_out: Counter,
    bytes_in: Counter,
    log_bytes: Counter,
    starved: Counter,
}

impl GuestMetrics {
    pub(super) fn used(&self, used: &Used) {
        self.cpu_seconds.inc_by(used.cpu.as_secs_f64());
        let peak = i64::try_from(used.memory_bytes_peak).unwrap_or(i64::MAX);
        if peak > self.memory_peak.get() {
            self.memory_peak.inner().fetch_max(peak, Ordering::Relaxed);
        }
        let add = |counter: &Counter, amount: u64| {
            if amount > 0 {
                counter.inc_by(amount);
            }
        };
        add(&self.host_calls, used.host_calls);
        add(&self.bytes_out, used.bytes_out);
        add(&self.bytes_in, used.bytes_in);
        add(&self.log_bytes, used.log_bytes);
        add(&self.starved, u64::from(used.starved));
    }
}
