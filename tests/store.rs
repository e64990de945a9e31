//! The queue as an operator cares for it: backup, restore, audit; and a disk that is full or fails.

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, Provider, TestHost, conductor, eventually};

/// Runs a command of the binary to its end.
fn run(folder: &Folder, args: &[&str]) -> Output {
    conductor(folder).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Callers that hand over as fast as they can, and the ids that they were promised.
struct Load {
    accepted: Arc<Mutex<BTreeSet<String>>>,
    stop: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn on(host: &TestHost) -> Self {
        let (accepted, stop) = (Arc::<Mutex<BTreeSet<_>>>::default(), Arc::<AtomicBool>::default());
        let url = format!("{}/notifications", host.base());
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let caller = |_| {
            let (accepted, stop) = (Arc::clone(&accepted), Arc::clone(&stop));
            let (url, client) = (url.clone(), client.clone());
            tokio::spawn(async move {
                let body = json!({"channel": "log", "message": "kept"}).to_string();
                while !stop.load(Ordering::Relaxed) {
                    let call = client.post(&url).bearer_auth(KEY_A).body(body.clone());
                    let call = call.header("content-type", "application/json");
                    let Ok(response) = call.header("prefer", "respond-async").send().await else {
                        continue;
                    };
                    let Ok(text) = response.text().await else { continue };
                    let Ok(answer) = serde_json::from_str::<Value>(&text) else { continue };
                    if let Some(id) = answer["id"].as_str() {
                        accepted.lock().unwrap().insert(id.to_owned());
                    }
                }
            })
        };
        let callers = (0..8).map(caller).collect();
        Self { accepted, stop, callers }
    }

    fn accepted(&self) -> BTreeSet<String> {
        self.accepted.lock().unwrap().clone()
    }

    async fn reaches(&self, count: usize) {
        eventually(format_args!("{count} accepted"), async || {
            (self.accepted.lock().unwrap().len() >= count).then_some(())
        })
        .await;
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_backup_taken_under_load_has_everything_that_was_accepted_before_it() {
    let host = TestHost::start(Folder::new()).await;
    let load = Load::on(&host);
    load.reaches(300).await;
    let before = load.accepted();
    let file = host.file("backup.db");
    let taken = run(&host, &["backup", "--to", path(&file)]);
    assert!(taken.status.success(), "{}", text(&taken.stderr));
    assert!(text(&taken.stdout).contains("notification(s)"), "{}", text(&taken.stdout));
    let after = load.accepted().len();
    load.reaches(after + 50).await;
    load.stop().await;
    let (first, _ended) = host.stop().await;

    // On another machine, so to speak.
    let second = Folder::new();
    let taken = first.file("backup.db");
    let data = second.data();
    let args = ["restore", "--from", path(&taken), "--data-dir", path(&data)];
    let restored = run(&second, &args);
    assert!(restored.status.success(), "{}", text(&restored.stderr));
    let host = TestHost::start(second).await;
    for id in &before {
        let answer = host.notification(id).await;
        assert_eq!(answer.status, 200, "{id} was accepted before the backup began: {answer:?}");
    }
    for id in &before {
        host.reaches(id, "delivered").await;
    }
    let audit = run(&host, &["audit", "--verify"]);
    assert!(audit.status.success(), "{}", text(&audit.stderr));
}

#[tokio::test]
async fn a_backup_is_never_written_over_and_a_queue_only_by_force() {
    let host = TestHost::start(Folder::new()).await;
    let id = host.hand_over("log", "first").await;
    host.reaches(&id, "delivered").await;
    let file = host.file("backup.db");
    assert!(run(&host, &["backup", "--to", path(&file)]).status.success());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = run(&host, &["backup", "--to", path(&file)]);
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("backup.db is there already"), "{again:?}");

    let beside = run(&host, &["restore", "--from", path(&file), "--force"]);
    assert_eq!(beside.status.code(), Some(1));
    assert!(text(&beside.stderr).contains("another process uses this store"), "{beside:?}");
    let later = host.hand_over("log", "after the backup").await;
    host.reaches(&later, "delivered").await;

    let (folder, _ended) = host.stop().await;
    let refused = run(&folder, &["restore", "--from", path(&file)]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("--force"), "{refused:?}");
    let forced = run(&folder, &["restore", "--from", path(&file), "--force"]);
    assert!(forced.status.success(), "{forced:?}");
    assert!(folder.data().join("queue.db.replaced").exists());
    let host = TestHost::start(folder).await;
    assert_eq!(host.notification(&id).await.status, 200);
    assert_eq!(host.notification(&later).await.status, 404, "it came after the backup");
}

#[tokio::test]
async fn the_trail_is_exported_beside_a_running_host_and_shows_what_was_done_to_it() {
    let host = TestHost::start(Folder::new()).await;
    let id = host.hand_over("log", "on record").await;
    host.reaches(&id, "delivered").await;
    let mut host = host;
    host.channels.push_str("# Nothing new, and then something wrong.\n[[channel]]\n");
    host.write();
    host.logged(&["reload: rejected"]).await;
    eventually("the reload is on record", async || {
        let audit = run(&host, &["audit"]);
        text(&audit.stdout).contains("rejected, ").then_some(())
    })
    .await;
    let audit = run(&host, &["audit", "--verify"]);
    assert!(audit.status.success(), "{}", text(&audit.stderr));
    assert!(text(&audit.stderr).contains("the chain holds"), "{}", text(&audit.stderr));
    let lines: Vec<Value> =
        text(&audit.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<_> = lines
        .iter()
        .filter(|line| line["notification"] == id.as_str())
        .map(|line| line["kind"].clone())
        .collect();
    assert_eq!(kinds, ["accepted", "delivered"]);
    let delivered = lines.iter().find(|line| line["kind"] == "delivered").unwrap();
    assert_eq!((&lines[0]["kind"], &delivered["channel"]), (&json!("host"), &json!("log")));
    assert_eq!(lines[0]["hash"].as_str().unwrap().len(), 64);

    let (folder, _ended) = host.stop().await;
    let conn = rusqlite::Connection::open(folder.data().join("queue.db")).unwrap();
    conn.execute("UPDATE event SET detail='rejected' WHERE kind=2", ()).unwrap();
    drop(conn);
    let audit = run(&folder, &["audit", "--verify"]);
    assert_eq!(audit.status.code(), Some(1));
    let said = text(&audit.stderr);
    let broken = format!("the chain of events is broken at event {}", delivered["seq"]);
    assert!(said.contains(&broken), "{said}");
    assert!(run(&folder, &["audit"]).status.success(), "to read it is still possible");
}

/// A small file system of its own, if this machine lets us have one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(folder: &Path) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=200m,mode=700", "tmpfs"]).arg(folder);
        match mount.output() {
            Ok(output) if output.status.success() => Some(Self(folder.to_path_buf())),
            other => {
                eprintln!("skipped: a small file system cannot be mounted here: {other:?}");
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file =
            fs::OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a host that failed its test may still have files open.
        let _unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_is_new_settles_what_runs_and_heals_by_itself() {
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    let Some(disk) = SmallDisk::at(&folder.data()) else { return };
    let host = TestHost::start(folder).await;
    provider.hold();
    let running = host.hand_over("webhook", "under way").await;
    provider.asked(1).await;

    disk.fill();
    let refused = eventually("a refusal", async || {
        let message = "x".repeat(100_000);
        let body = json!({"channel": "log", "message": message});
        let answer = host.notify(&body).header("prefer", "respond-async").send().await;
        (answer.status != 202).then_some(answer)
    })
    .await;
    // The first one may be told that nobody knows: the room can end in the middle of the commit.
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(!refused.header("retry-after").is_empty());
    assert!(!host.data().join("queue.db.ballast").exists(), "the room kept for this is in use");
    disk.fill();
    provider.release();
    host.reaches(&running, "delivered").await;
    let refused = host.send("log", "still nothing new").await;
    refused.assert_problem(503, "store-unavailable");

    disk.free();
    let id = eventually("it accepts again", async || {
        let body = json!({"channel": "log", "message": "there is room"});
        let answer = host.notify(&body).header("prefer", "respond-async").send().await;
        (answer.status == 202).then(|| answer.id())
    })
    .await;
    host.reaches(&id, "delivered").await;
    assert!(host.data().join("queue.db.ballast").exists());
    let host = host.restart().await;
    assert_eq!(host.notification(&running).await.json["status"], "delivered");
    let (_folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

/// A tracer that makes every sync of a process fail from now on.
struct FailingDisk(Child);

impl FailingDisk {
    fn of(process: u32, folder: &Path) -> Option<Self> {
        let said = folder.join("strace.txt");
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
        strace.args(["-e", "inject=fsync,fdatasync:error=EIO", "-p", &process.to_string()]);
        strace.stdin(Stdio::null()).stderr(fs::File::create(&said).unwrap());
        let Ok(mut child) = strace.spawn() else {
            eprintln!("skipped: there is no strace here");
            return None;
        };
        // It says nothing when it has begun; the kernel does.
        for _ in 0..400 {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            if status.lines().any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0")) {
                return Some(Self(child));
            }
            if child.try_wait().unwrap().is_some() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        let _ended = child.kill();
        let _status = child.wait();
        eprintln!("skipped: tracing is not allowed here: {:?}", fs::read_to_string(said));
        None
    }
}

impl Drop for FailingDisk {
    fn drop(&mut self) {
        // It ends with the process that it traces.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

#[tokio::test]
async fn a_failed_sync_ends_the_host_with_1_and_what_was_accepted_before_is_there() {
    let mut host = TestHost::start(Folder::new()).await;
    let id = host.hand_over("log", "safe").await;
    host.reaches(&id, "delivered").await;
    let Some(tracer) = FailingDisk::of(host.process(), host.path()) else { return };
    let body = json!({"channel": "log", "message": "nobody knows"});
    let answer = host.notify(&body).header("prefer", "respond-async").try_send().await;
    if let Ok(answer) = answer {
        answer.assert_problem(503, "outcome-unknown");
    }
    let ended = host.exit().await;
    drop(tracer);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("the store failed"), "{}", ended.stderr);
    let host = host.restart().await;
    assert_eq!(host.notification(&id).await.json["status"], "delivered");
    assert!(run(&host, &["audit", "--verify"]).status.success());
}
