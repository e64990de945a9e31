//! What all guests of the process may take together: memory, and how many instances.
//!
//! Memory is charged as it is taken, not as it might be: a channel may have a gigabyte by its caps and
//! takes a few mebibytes, and ten thousand of them must fit. What is charged is given back when the
//! instance is gone. Near the end no *new* instance is started before idle ones have made room, so
//! that those that work can still grow; at the end growth is denied, which the guest sees as a failed
//! allocation, and which is the host's matter and not the guest's fault.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use crate::limits;

/// The bounds of all guests together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GuestBounds {
    /// Live instances.
    pub instances_max: usize,
    /// Memory, in bytes.
    pub memory_bytes_max: usize,
    /// An instance without a call for so long is closed.
    pub idle_max: Duration,
}

impl Default for GuestBounds {
    fn default() -> Self {
        Self {
            instances_max: limits::INSTANCES_MAX,
            memory_bytes_max: default_memory_bytes(),
            idle_max: limits::INSTANCE_IDLE_MAX,
        }
    }
}

/// A share of the memory that this process can have at all.
fn default_memory_bytes() -> usize {
    let total = machine_bytes(Path::new("/proc/meminfo"))
        .into_iter()
        .chain(cgroup_bytes(Path::new("/sys/fs/cgroup"), Path::new("/proc/self/cgroup")))
        .min()
        .unwrap_or(limits::GUEST_MEMORY_UNKNOWN_MACHINE);
    total / 100 * limits::GUEST_MEMORY_PERCENT
}

/// `MemTotal` of /proc/meminfo, see proc_meminfo(5).
fn machine_bytes(meminfo: &Path) -> Option<usize> {
    let text = fs::read_to_string(meminfo).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The smallest `memory.max` of the process's control group and those around it (cgroup v2, see
/// the kernel's Documentation/admin-guide/cgroup-v2.rst).
fn cgroup_bytes(root: &Path, own: &Path) -> Option<usize> {
    let text = fs::read_to_string(own).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let mut group: PathBuf = root.join(path);
    let mut least: Option<usize> = None;
    loop {
        let limit = fs::read_to_string(group.join("memory.max")).ok();
        // "max" is no number: this group has no limit of its own.
        if let Some(bytes) = limit.and_then(|text| text.trim().parse().ok()) {
            least = Some(least.map_or(bytes, |least| least.min(bytes)));
        }
        if group == root || !group.pop() {
            return least;
        }
    }
}

/// The memory account of all guests, or of one channel's.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    max: usize,
    used: AtomicUsize,
    /// What is charged here is charged there as well.
    whole: Option<Arc<Self>>,
}

impl MemoryBudget {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { max, used: AtomicUsize::new(0), whole: None })
    }

    /// The account of one channel, whose instances may have so much each.
    pub(super) fn of_channel(self: &Arc<Self>, instance_max: usize) -> Arc<Self> {
        let max = (self.max / limits::GUEST_MEMORY_CHANNEL_PARTS).max(instance_max);
        Arc::new(Self { max, used: AtomicUsize::new(0), whole: Some(Arc::clone(self)) })
    }

    /// Takes so many bytes more. False, and nothing is taken, if there are not so many.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.checked_add(bytes).is_some_and(|after| after <= self.max)
            && self.whole.as_ref().is_none_or(|whole| whole.take(bytes));
        if !fits {
            self.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        fits
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.give_back(bytes);
        }
    }

    /// Whether another instance may be started, as far as this account goes.
    pub(super) fn has_room(&self) -> bool {
        self.used() <= self.max / 100 * limits::GUEST_MEMORY_START_PERCENT
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) const fn max(&self) -> usize {
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let budget = MemoryBudget::new(1_000);
        assert!(budget.take(900) && budget.has_room());
        assert!(!budget.take(101));
        assert_eq!(budget.used(), 900);
        assert!(budget.take(100) && !budget.has_room());
        budget.give_back(1_000);
        assert!(!budget.take(usize::MAX));
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_channel_has_its_part_and_room_for_one_instance() {
        let whole = MemoryBudget::new(1_000);
        let channel = whole.of_channel(100);
        assert!(channel.take(250) && !channel.take(1));
        assert_eq!((channel.used(), whole.used()), (250, 250));
        let heavy = whole.of_channel(900);
        assert!(heavy.take(750) && !heavy.take(1), "the whole is the bound");
        assert_eq!((heavy.used(), whole.used()), (750, 1_000));
        channel.give_back(250);
        assert!(heavy.take(150) && !heavy.take(1), "its own is the bound");
        heavy.give_back(900);
        assert_eq!((heavy.used(), whole.used()), (0, 0));
    }

    #[test]
    fn threads_that_take_at_once_never_have_more_than_there_is() {
        let budget = MemoryBudget::new(1_000);
        let taken: usize = std::thread::scope(|scope| {
            let take = || (0..1_000).filter(|_| budget.take(3)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert!((300..=333).contains(&taken), "{taken}");
        assert_eq!(budget.used(), taken * 3);
    }

    #[test]
    fn the_narrowest_control_group_counts() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        fs::create_dir_all(&inner).unwrap();
        let own = folder.path().join("own");
        fs::write(&own, "1:cpu:/x\n0::/a/b\n").unwrap();
        assert_eq!(cgroup_bytes(folder.path(), &own), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        fs::write(folder.path().join("a/memory.max"), "4096\n").unwrap();
        fs::write(folder.path().join("memory.max"), "8192\n").unwrap();
        assert_eq!(cgroup_bytes(folder.path(), &own), Some(4096));
    }

    #[test]
    fn the_machines_memory_is_read() {
        let bytes = machine_bytes(Path::new("/proc/meminfo")).unwrap();
        assert!(bytes > 64 << 20, "{bytes}");
        assert!(default_memory_bytes() < bytes);
    }
}
