//! The host under test: a process, what it writes, and how it ends.

use std::{
    io::{BufRead as _, BufReader, Read},
    ops::{Deref, DerefMut},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread::JoinHandle,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{
    client::{Answer, Call},
    eventually,
    files::{Folder, KEY_A, KEY_ADMIN},
    seed,
};

type Lines = Arc<Mutex<Vec<String>>>;

/// How a process ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code; none after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stderr: String,
}

/// The binary, without anything of this process's environment that it would read.
pub(crate) fn conductor(folder: &Folder) -> Command {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_conductor"));
    let binary = folder.binary.clone().unwrap_or_else(built);
    let mut command = match folder.tracer.split_first() {
        None => Command::new(binary),
        Some((tracer, args)) => {
            let mut command = Command::new(tracer);
            command.args(args).arg(binary);
            command
        }
    };
    command.env_clear().current_dir(folder.path()).stdin(Stdio::null());
    for name in ["PATH", "HOME", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.envs(folder.process.iter().map(|(name, value)| (name, value)));
    command
}

/// A running host. It is killed when this is dropped; its folder is removed.
#[derive(Debug)]
pub(crate) struct TestHost {
    folder: Folder,
    args: Vec<String>,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    stderr: Lines,
    stdout: Lines,
    base: String,
    client: reqwest::Client,
}

impl TestHost {
    /// Starts a host on `folder` and waits until it listens.
    pub(crate) async fn start(folder: Folder) -> Self {
        Self::start_with(folder, &[]).await
    }

    /// The same, with more arguments.
    pub(crate) async fn start_with(folder: Folder, args: &[&str]) -> Self {
        let mut host = Self::spawn(folder, args);
        host.wait_until_up().await;
        host
    }

    /// Runs a host that is expected not to start.
    pub(crate) async fn refused(folder: Folder, args: &[&str]) -> (Folder, Ended) {
        Self::spawn(folder, args).ended().await
    }

    /// Starts a host and waits for nothing.
    pub(crate) fn spawn(folder: Folder, args: &[&str]) -> Self {
        folder.write();
        seed::plant(&folder.data());
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let (child, stdout, stderr, readers) = run(&folder, &args);
        let client = super::client::client();
        Self { folder, args, child, readers, stderr, stdout, base: String::new(), client }
    }

    async fn wait_until_up(&mut self) {
        const LISTENING: &str = "listening on http://";
        let base = eventually("the host listens", async || {
            let line = self.log().into_iter().find(|line| line.contains(LISTENING));
            if line.is_none()
                && let Some(status) = self.child.try_wait().unwrap()
            {
                panic!("the host ended with {status}:\n{}", self.stderr());
            }
            let line: Value = serde_json::from_str(&line?).unwrap();
            Some(line["message"].as_str()?.strip_prefix("listening on ")?.to_owned())
        })
        .await;
        self.base = base;
    }

    /// Starts it again on the same folder, after it has ended in some way.
    pub(crate) async fn restart(mut self) -> Self {
        self.kill().await;
        self.start_again();
        self.wait_until_up().await;
        self
    }

    /// Starts it again and waits for nothing: it may be killed before it listens.
    pub(crate) fn start_again(&mut self) {
        self.folder.write();
        let (child, stdout, stderr, readers) = run(&self.folder, &self.args);
        (self.child, self.stdout, self.stderr, self.readers) = (child, stdout, stderr, readers);
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        // It may have ended by itself.
        let _killed = self.child.kill();
        let _status = self.exit().await;
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) async fn stop(mut self) -> (Folder, Ended) {
        self.signal(Signal::TERM);
        let ended = self.exit().await;
        (self.take_folder(), ended)
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> (Folder, Ended) {
        let ended = self.exit().await;
        (self.take_folder(), ended)
    }

    /// The same, without giving it up.
    pub(crate) async fn exit(&mut self) -> Ended {
        let status = eventually("the host ends", async || self.child.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        Ended { code: status.code(), signal: status.signal(), stderr: self.stderr() }
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn take_folder(&mut self) -> Folder {
        std::mem::replace(&mut self.folder, Folder::empty())
    }

    /// The log's lines up to now.
    pub(crate) fn log(&self) -> Vec<String> {
        self.stderr.lock().unwrap().clone()
    }

    /// All of standard error up to now.
    pub(crate) fn stderr(&self) -> String {
        self.log().join("\n")
    }

    /// All of standard output up to now.
    pub(crate) fn stdout(&self) -> String {
        self.stdout.lock().unwrap().join("\n")
    }

    /// Waits for a line of the log that contains all of `parts`.
    pub(crate) async fn logged(&self, parts: &[&str]) -> String {
        self.logged_after(0, parts).await
    }

    /// The same, in the lines from `first` on (of [`Self::log`]).
    pub(crate) async fn logged_after(&self, first: usize, parts: &[&str]) -> String {
        eventually(format_args!("a line of the log with {parts:?}"), async || {
            let log = self.log();
            let mut lines = log.into_iter().skip(first);
            lines.find(|line| parts.iter().all(|part| line.contains(part)))
        })
        .await
    }

    /// `http://127.0.0.1:port`
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// `127.0.0.1:port`
    pub(crate) fn address(&self) -> &str {
        self.base.strip_prefix("http://").unwrap()
    }

    /// A call without a key.
    pub(crate) fn call(&self, method: &str, path: &str) -> Call {
        Call::new(&self.client, method, &format!("{}{path}", self.base))
    }

    /// `GET` without a key.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path).send().await
    }

    /// `POST /notifications` as tenant A.
    pub(crate) fn notify(&self, body: &Value) -> Call {
        self.call("POST", "/notifications").key(KEY_A).json(body)
    }

    /// Sends a message of tenant A to a channel and waits for the outcome.
    pub(crate) async fn send(&self, channel: &str, message: &str) -> Answer {
        self.notify(&serde_json::json!({ "channel": channel, "message": message })).send().await
    }

    /// Hands over a message of tenant A without waiting; gives its id.
    pub(crate) async fn hand_over(&self, channel: &str, message: &str) -> String {
        let body = serde_json::json!({ "channel": channel, "message": message });
        let answer = self.notify(&body).header("prefer", "respond-async").send().await;
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.id()
    }

    /// What is known of a notification of tenant A.
    pub(crate) async fn notification(&self, id: &str) -> Answer {
        self.call("GET", &format!("/notifications/{id}")).key(KEY_A).send().await
    }

    /// Waits until a notification of tenant A has this status.
    pub(crate) async fn reaches(&self, id: &str, status: &str) -> Value {
        eventually(format_args!("{id} is {status}"), async || {
            let answer = self.notification(id).await;
            (answer.json["status"] == status).then_some(answer.json)
        })
        .await
    }

    /// `/health` with all details.
    pub(crate) async fn health(&self) -> Value {
        let answer = self.call("GET", "/health").key(KEY_ADMIN).send().await;
        assert_eq!(answer.status, 200);
        answer.json
    }

    /// The number of the generation in force.
    pub(crate) async fn generation(&self) -> u64 {
        self.health().await["generation"].as_u64().unwrap()
    }

    /// The value of a metric; 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.child.kill();
        let _status = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the host wrote:\n{}\n{}", self.stdout(), self.stderr());
        }
    }
}

impl Deref for TestHost {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.folder
    }
}

impl DerefMut for TestHost {
    fn deref_mut(&mut self) -> &mut Folder {
        &mut self.folder
    }
}

fn run(folder: &Folder, args: &[String]) -> (Child, Lines, Lines, Vec<JoinHandle<()>>) {
    let mut command = conductor(folder);
    command.arg("serve").args(args);
    if !args.iter().any(|arg| arg == "--listen") {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (stdout, first) = collect(child.stdout.take().unwrap());
    let (stderr, second) = collect(child.stderr.take().unwrap());
    (child, stdout, stderr, vec![first, second])
}

fn collect(stream: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let kept = Arc::clone(&lines);
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            kept.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
        }
    });
    (lines, reader)
}
