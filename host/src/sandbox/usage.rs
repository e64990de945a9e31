//! What guests use: counted for each call, summed for each channel.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use super::door::Contact;

/// What a call has used.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// CPU time.
    pub cpu: Duration,
    /// The most memory the instance has had.
    pub memory_bytes_peak: usize,
    /// Calls of what the host offers to plugins: log lines, requests, secrets, state. Those of WASI
    /// are not counted.
    pub host_calls: u64,
    /// What it sent: headers and bodies.
    pub bytes_out: u64,
    /// What it got in answer: headers and bodies.
    pub bytes_in: u64,
    /// Log lines that were kept, in bytes.
    pub log_bytes: u64,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
    /// Whether it was denied memory because all guests together had too much.
    pub starved: bool,
    /// Whom it spoke to last.
    pub contact: Option<Contact>,
}

/// What a channel has used since its binding was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// Calls of `send` that ended, well or not.
    pub calls: u64,
    /// CPU time.
    pub cpu: Duration,
    /// The most memory that one instance has had, in bytes.
    pub memory_bytes_peak: u64,
    /// See [`Usage::host_calls`].
    pub host_calls: u64,
    /// See [`Usage::bytes_out`].
    pub bytes_out: u64,
    /// See [`Usage::bytes_in`].
    pub bytes_in: u64,
    /// See [`Usage::log_bytes`].
    pub log_bytes: u64,
    /// See [`Usage::log_lines_dropped`].
    pub log_lines_dropped: u64,
}

/// The counters behind [`Resources`].
#[derive(Debug, Default)]
pub(super) struct Account {
    calls: AtomicU64,
    cpu_ns: AtomicU64,
    memory_bytes_peak: AtomicU64,
    host_calls: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    log_bytes: AtomicU64,
    log_lines_dropped: AtomicU64,
}

impl Account {
    /// Adds one call. What is zero, as most of it is mostly, costs nothing.
    pub(super) fn charge(&self, usage: &Usage) {
        let add = |counter: &AtomicU64, amount: u64| {
            if amount > 0 {
                counter.fetch_add(amount, Ordering::Relaxed);
            }
        };
        add(&self.calls, 1);
        add(&self.cpu_ns, u64::try_from(usage.cpu.as_nanos()).unwrap_or(u64::MAX));
        add(&self.host_calls, usage.host_calls);
        add(&self.bytes_out, usage.bytes_out);
        add(&self.bytes_in, usage.bytes_in);
        add(&self.log_bytes, usage.log_bytes);
        add(&self.log_lines_dropped, usage.log_lines_dropped);
        let peak = u64::try_from(usage.memory_bytes_peak).unwrap_or(u64::MAX);
        if peak > self.memory_bytes_peak.load(Ordering::Relaxed) {
            self.memory_bytes_peak.fetch_max(peak, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> Resources {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Resources {
            calls: read(&self.calls),
            cpu: Duration::from_nanos(read(&self.cpu_ns)),
            memory_bytes_peak: read(&self.memory_bytes_peak),
            host_calls: read(&self.host_calls),
            bytes_out: read(&self.bytes_out),
            bytes_in: read(&self.bytes_in),
            log_bytes: read(&self.log_bytes),
            log_lines_dropped: read(&self.log_lines_dropped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_add_up_and_the_largest_peak_stays() {
        let account = Account::default();
        let usage = |peak| Usage {
            cpu: Duration::from_micros(10),
            memory_bytes_peak: peak,
            host_calls: 2,
            bytes_out: 3,
            bytes_in: 4,
            log_bytes: 5,
            log_lines_dropped: 6,
            ..Usage::default()
        };
        for peak in [7, 9, 8] {
            account.charge(&usage(peak));
        }
        let expected = Resources {
            calls: 3,
            cpu: Duration::from_micros(30),
            memory_bytes_peak: 9,
            host_calls: 6,
            bytes_out: 9,
            bytes_in: 12,
            log_bytes: 15,
            log_lines_dropped: 18,
        };
        assert_eq!(account.read(), expected);
    }
}
