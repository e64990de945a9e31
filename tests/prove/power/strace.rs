//! The host under `strace`: what it wrote, when it synced, and when it answered, in one order.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::kit::wait::within;

/// The calls that change files or answer callers.
const CALLS: &str = "trace=write,writev,sendto,pwrite64,pwritev,pwritev2,fsync,fdatasync,\
                     sync_file_range,ftruncate,openat,unlink,unlinkat,rename,renameat,renameat2";

/// Longer than any write to the files that count; of an answer the beginning is enough.
const STRING_BYTES: &str = "8192";

/// Why there is no tracing here, if there is none.
pub(crate) fn missing() -> Option<String> {
    let tried = Command::new("strace")
        .args(["-f", "-qq", "-e", "trace=none", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match tried {
        Ok(status) if status.success() => None,
        Ok(status) => Some(format!("strace may not trace here ({status})")),
        Err(error) => Some(format!("strace is needed: {error}")),
    }
}

/// Where a trace is written to.
#[derive(Clone, Debug)]
pub(crate) struct Trace {
    pub(crate) file: PathBuf,
}

impl Trace {
    pub(crate) fn to(file: PathBuf) -> Self {
        Self { file }
    }

    /// The command in front of the host's. With `inject`, faults as `strace` takes them.
    pub(crate) fn command(&self, inject: Option<&str>) -> Vec<String> {
        let mut command = vec!["strace"];
        // The host is our child, and strace is somewhere else.
        command.push("-D");
        command.extend(["-f", "-yy", "-qq", "--seccomp-bpf"]);
        command.extend(["-o", self.file.to_str().unwrap()]);
        command.extend(["-e", "signal=none", "--strings-in-hex=all", "-s", STRING_BYTES]);
        command.extend(["-e", CALLS]);
        let inject = inject.map(|inject| format!("inject={inject}"));
        if let Some(inject) = &inject {
            command.extend(["-e", inject]);
        }
        command.into_iter().map(str::to_owned).collect()
    }

    /// Waits until `strace`, which outlives the host, has written everything.
    pub(crate) async fn complete(&self) {
        let mut before = 0;
        let mut quiet = 0;
        within(Duration::from_secs(60), "the trace is complete", async || {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = length(&self.file);
            quiet = if now == before && !is_open(&self.file) { quiet + 1 } else { 0 };
            before = now;
            (quiet >= 2).then_some(())
        })
        .await;
    }
}

fn length(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |found| found.len())
}

/// Whether some process has it open.
fn is_open(file: &Path) -> bool {
    let file = std::fs::canonicalize(file).unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|process| std::fs::read_dir(process.path().join("fd")).ok())
        .flat_map(|descriptors| descriptors.flatten())
        .any(|descriptor| std::fs::read_link(descriptor.path()).is_ok_and(|to| to == file))
}
