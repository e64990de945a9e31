//! A disk that is full, and has room again later. A file system of its own, so that it can be filled.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde_json::json;

use crate::{
    kit::{Folder, Provider, TestHost, eventually, wait::within},
    settings,
};

/// The ballast of 64 MiB, the compiled plugins, and some room.
const SIZE_MIB: usize = 160;

/// A small file system in memory, until this is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// None where that is not allowed.
    fn on(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE_MIB}m,mode=700"), "tmpfs"])
            .arg(folder)
            .stderr(Stdio::null())
            .status();
        status.is_ok_and(|status| status.success()).then(|| Self(folder.to_path_buf()))
    }

    /// Takes all the room that is left, as another program would.
    fn fill(&self) {
        let mut file = File::create(self.0.join("somebody-elses")).unwrap();
        for piece in [1 << 20, 4096, 1] {
            let piece = vec![0; piece];
            while file.write_all(&piece).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.0.join("somebody-elses")).unwrap();
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Whoever still has files open there does not hold it up.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Hands over 20 KB; the id if it was accepted. A refusal must be the right one.
async fn hand_over(host: &TestHost, refused: &AtomicUsize) -> Option<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let message = format!("{number} {}", "x".repeat(20_000));
    let body = json!({"channel": "webhook", "message": message});
    let answer = host.notify(&body).header("prefer", "respond-async").send().await;
    if answer.status == 202 {
        return Some(answer.id());
    }
    assert!(matches!(answer.status, 503 | 507), "{answer:?}");
    let wait: u64 = answer.header("retry-after").parse().expect("it says when to come back");
    assert!((1..=60).contains(&wait), "{answer:?}");
    refused.fetch_add(1, Ordering::Relaxed);
    None
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_new_work_finishes_what_is_under_way_and_resumes_by_itself() {
    const NAME: &str = "full disk";
    const UNDER_WAY: usize = 8;
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    let Some(disk) = Mounted::on(&folder.data()) else {
        return settings::skipped(NAME, "mounting a small file system needs root");
    };
    let mut host = TestHost::start(folder).await;
    let refused = AtomicUsize::new(0);
    let mut accepted = Vec::new();
    provider.hold();
    for _ in 0..UNDER_WAY {
        accepted.push(hand_over(&host, &refused).await.expect("there is room"));
    }
    provider.asked(UNDER_WAY).await;

    disk.fill();
    within(Duration::from_secs(60), "the disk is full", async || {
        accepted.extend(hand_over(&host, &refused).await);
        (host.health().await["store"] == "read-only").then_some(())
    })
    .await;
    assert!(hand_over(&host, &refused).await.is_none(), "accepted without room");
    // What is under way is written down in the room that is kept for it.
    let under_way = accepted[..UNDER_WAY].to_vec();
    provider.release();
    for id in &under_way {
        host.reaches(id, "delivered").await;
    }
    // It stays full, and says so to everybody, for as long as it takes.
    let before = refused.load(Ordering::Relaxed);
    for _ in 0..40 {
        accepted.extend(hand_over(&host, &refused).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(refused.load(Ordering::Relaxed) > before, "nobody was refused on a full disk");

    disk.free();
    let id = eventually("new work is accepted", async || hand_over(&host, &refused).await).await;
    accepted.push(id);
    eventually("the store is well", async || (host.health().await["store"] == "ok").then_some(()))
        .await;
    assert!(host.is_running());
    for _ in 0..50 {
        accepted.push(hand_over(&host, &refused).await.expect("there is room again"));
    }
    host = host.restart().await;
    for id in &accepted {
        host.reaches(id, "delivered").await;
    }
    let refused = refused.load(Ordering::Relaxed);
    let count = accepted.len();
    let figures = format!("{count} acknowledged, {refused} refused with retry-after, 0 lost");
    settings::proved(NAME, figures);
    // The host goes before its disk.
    drop(host);
    drop(disk);
}
