//! A machine whose clock is set: an hour forward, back, and an hour back. `libfaketime` tells the
//! host whatever time a file says; what it measures durations by goes on as it is.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    kit::{Folder, KEY_A, Provider, Reply, TestHost, replace},
    settings,
};

const NAME: &str = "clock steps";

/// The library, where Debian and others have it.
pub(crate) fn library() -> Option<PathBuf> {
    let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let folders = folders.chain([PathBuf::from("/usr/lib"), PathBuf::from("/usr/lib64")]);
    let mut files = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.exists())
}

/// Sets the host's clock so many seconds from the machine's.
pub(crate) fn set(file: &Path, seconds: i64) {
    replace(file, format!("{seconds:+}\n"));
}

pub(crate) fn with_library(folder: &mut Folder, library: &Path) -> PathBuf {
    let file = folder.file("clock");
    set(&file, 0);
    for (name, value) in [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("DONT_FAKE_MONOTONIC", "1"),
    ] {
        folder.process.push((name.to_owned(), value.to_owned()));
    }
    file
}

fn created(detail: &Value) -> jiff::Timestamp {
    detail["createdAt"].as_str().unwrap().parse().unwrap()
}

async fn delivered(host: &TestHost, id: &str) -> Value {
    let detail = host.reaches(id, "delivered").await;
    let attempts = detail["attempts"].as_array().unwrap();
    let ends = attempts.iter().filter(|one| one["outcome"] == "delivered").count();
    assert_eq!(ends, 1, "it ended once: {detail}");
    detail
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn steps_of_the_clock_by_an_hour_lose_nothing_and_leave_nothing_stuck() {
    let Some(library) = library() else {
        return settings::skipped(NAME, "libfaketime is needed (Debian's package of that name)");
    };
    let provider = Provider::start().await;
    let mut folder = Folder::new();
    folder.webhook(&provider.url("/hook"));
    // A channel of its own for the one that is told to come back later: the others need not wait.
    folder.channel(
        "webhook",
        &format!(
            "name = \"patient\"\n[channel.options]\nurl = \"{}\"\nunsigned = true",
            provider.url("/patient")
        ),
    );
    let clock = with_library(&mut folder, &library);
    let host = TestHost::start(folder).await;
    let mut ids = BTreeSet::new();

    // One waits for its time, one for another attempt, and four are being sent.
    let due = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(61);
    let later = json!({"channel": "webhook", "message": "later", "sendAt": due.to_string()});
    ids.insert(host.notify(&later).header("prefer", "respond-async").send().await.id());
    provider.then(Reply::status(503).header("retry-after", "3000"));
    let failed = host.hand_over("patient", "failed once").await;
    host.reaches(&failed, "retrying").await;
    ids.insert(failed);
    provider.hold();
    for number in 0..4 {
        ids.insert(host.hand_over("webhook", &format!("under way {number}")).await);
    }
    provider.asked(5).await;

    // Forward: leases have run out, and the time of what waited has come.
    set(&clock, 3_700);
    provider.asked(9).await;
    provider.release();
    for id in &ids {
        delivered(&host, id).await;
    }
    let ahead = host.hand_over("webhook", "ahead").await;
    let ahead_at = created(&delivered(&host, &ahead).await);
    assert!(ahead_at > due, "the host's clock was not set: {ahead_at}");
    ids.insert(ahead);

    // Back to what it was: new work is done at once, its retries too.
    set(&clock, 0);
    provider.then(Reply::status(500));
    let key = |host: &TestHost| {
        let body = json!({"channel": "webhook", "message": "with a key"});
        host.notify(&body).header("idempotency-key", "over the steps")
    };
    let first = key(&host).send().await;
    assert_eq!(first.status, 200, "{first:?}");
    assert!(created(&delivered(&host, &first.id()).await) < ahead_at);
    ids.insert(first.id());

    // Back by an hour while some are being sent.
    provider.hold();
    let before = provider.seen().len();
    for number in 0..4 {
        ids.insert(host.hand_over("webhook", &format!("back {number}")).await);
    }
    provider.asked(before + 4).await;
    set(&clock, -3_600);
    ids.insert(host.hand_over("webhook", "an hour ago").await);
    provider.release();
    for id in &ids {
        delivered(&host, id).await;
    }

    // A crash on top of it: leases of the process before count for nothing, whatever the clock says.
    provider.hold();
    let before = provider.seen().len();
    let crashed = host.hand_over("webhook", "crash").await;
    provider.asked(before + 1).await;
    set(&clock, -7_200);
    let host = host.restart().await;
    provider.release();
    ids.insert(crashed);
    for id in &ids {
        delivered(&host, id).await;
    }
    let again = key(&host).send().await;
    assert_eq!((again.header("idempotency-replay"), again.id()), ("true", first.id()));
    let listed = host.call("GET", "/notifications?limit=200").key(KEY_A).send().await;
    let listed: BTreeSet<_> = listed.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(listed, ids);
    // What was sent twice, when its lease had run out by the clock, had the same key.
    let keys: BTreeSet<_> =
        provider.seen().iter().map(|seen| seen.header("webhook-id").to_owned()).collect();
    assert_eq!(keys.len(), ids.len());
    let twice = provider.seen().len() - ids.len();
    let figures = format!("{} notifications, 0 lost, {twice} sent more than once", ids.len());
    settings::proved(NAME, figures);
}
