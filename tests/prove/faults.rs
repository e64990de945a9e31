//! A thousand faults of guests in one process, of every kind in turn: afterwards it is as it was. No
//! panic of the host, no task, instance or descriptor left over, and the memory given back.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use serde_json::json;

use crate::{
    kit::{Folder, KEY_A, TestHost, fixture},
    settings::{proved, rounds_by},
};

/// The ideas of `tests/fixtures/hostile` that end with a fault, and the kind that is counted.
const FAULTS: [(&str, &str); 10] = [
    ("trap", "trap"),
    ("spin", "cpu"),
    ("memory", "memory"),
    ("recursion", "stack"),
    ("sleep", "timeout"),
    ("exit", "trap"),
    ("resource_flood", "host-call"),
    ("huge_log_line", "host-call"),
    ("spin_while_polling", "cpu"),
    ("huge_random", "host-call"),
];
/// Each fault costs its channel a pause, so there are some.
const CHANNELS: usize = 20;
/// Rounds of one fault a channel before anything is measured: what a process needs once, it has by
/// then.
const WARM_UP: usize = 20;
/// How much more memory may be in use after one series of faults than before it.
const GROWTH_MAX: f64 = 1.05;
/// A process that was never this busy before takes stacks, threads and buffers that it keeps from
/// then on, and how busy it gets is the machine's matter. So a series may end above the bound, if a
/// later one does not: what is lost with every fault is lost in each of them.
const SERIES_MAX: usize = 5;

/// What a process must not lose.
#[derive(Debug)]
struct Holdings {
    tasks: f64,
    instances: f64,
    descriptors: usize,
    /// Without what the store may keep in memory of all that it has been given: at most the whole
    /// database.
    memory_kib: f64,
}

impl Holdings {
    async fn of(host: &TestHost) -> Self {
        let process = format!("/proc/{}", host.process());
        let status = fs::read_to_string(format!("{process}/status")).unwrap();
        // What the process has made itself; pages of files come and go as the kernel likes.
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        let resident_kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        let database = fs::metadata(host.data().join("queue.db")).unwrap();
        let stored_kib = database.len() as f64 / 1024.0;
        Self {
            tasks: host.metric("conductor_tasks").await,
            instances: host.metric("conductor_instances_live{plugin=\"guest\"}").await,
            descriptors: fs::read_dir(format!("{process}/fd")).unwrap().count(),
            memory_kib: resident_kib - stored_kib,
        }
    }
}

async fn faults(host: &TestHost, kind: &str) -> f64 {
    host.metric(&format!("conductor_guest_faults_total{{plugin=\"guest\",kind=\"{kind}\"}}")).await
}

/// One fault in each channel, then a message that arrives, so that each ends with one live instance
/// and a clean record.
async fn round(host: &TestHost, number: usize) {
    join_all((0..CHANNELS).map(|channel| async move {
        let (idea, _) = FAULTS[(number + channel) % FAULTS.len()];
        let name = format!("c{channel}");
        let send = async |message: &str| {
            let body = json!({ "channel": name, "message": message });
            let call = host.call("POST", "/notifications").key(KEY_A).json(&body);
            call.header("prefer", "wait=30").send().await
        };
        let answer = send(idea).await;
        assert_eq!(answer.status, 424, "{idea}: {answer:?}");
        let answer = send("fine").await;
        assert_eq!(answer.status, 200, "after {idea}: {answer:?}");
    }))
    .await;
}

/// What the process has when what the faults have taken is back, or what it still has after a while,
/// and which of the two.
async fn whole_again(host: &TestHost, before: &Holdings) -> (Holdings, bool) {
    let mut after = Holdings::of(host).await;
    for _ in 0..50 {
        let whole = after.tasks <= before.tasks
            && after.instances <= before.instances
            && after.descriptors <= before.descriptors
            && after.memory_kib <= before.memory_kib * GROWTH_MAX;
        if whole {
            return (after, true);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        after = Holdings::of(host).await;
    }
    (after, false)
}

#[tokio::test]
async fn after_a_thousand_faults_the_process_is_as_it_was() {
    let rounds = rounds_by(4, 50);
    let mut folder = Folder::new();
    fs::write(folder.file("guest.wasm"), fixture("hostile")).unwrap();
    folder.plugin(
        "guest",
        "source = \"guest.wasm\"\n[plugin.limits]\nmemory_mib = 8\ncpu_ms = 20\nwall_ms = 150",
    );
    for channel in 0..CHANNELS {
        folder.channel(
            "guest",
            &format!(
                "name = \"c{channel}\"\n[channel.options]\nidea = \"by_message\"\n\
                 [channel.retry]\nattempts = 1"
            ),
        );
    }
    let host = TestHost::start(folder).await;
    for number in 0..WARM_UP {
        round(&host, number).await;
    }
    for (_, kind) in FAULTS {
        assert!(faults(&host, kind).await >= 1.0, "no fault of the kind {kind}");
    }
    let mut seen = vec![Holdings::of(&host).await];
    for series in 0..SERIES_MAX {
        for number in 0..rounds {
            round(&host, number).await;
        }
        let (after, whole) = whole_again(&host, &seen[series]).await;
        seen.push(after);
        if whole {
            break;
        }
        assert!(series + 1 < SERIES_MAX, "after each series: {seen:#?}");
    }
    let mut counted = 0.0;
    for kind in ["trap", "cpu", "memory", "stack", "timeout", "host-call"] {
        counted += faults(&host, kind).await;
    }
    let wanted = (CHANNELS * (WARM_UP + rounds * (seen.len() - 1))) as f64;
    assert!(counted >= wanted, "{counted} of {wanted} faults are counted");
    let panicked = host.log().into_iter().find(|line| line.starts_with("thread '"));
    assert_eq!(panicked, None);
    assert_eq!(host.health().await["tasksEnded"], json!([]));
    proved(
        "after_a_thousand_faults_the_process_is_as_it_was",
        format_args!("{counted} faults; before and after each series {seen:?}"),
    );
}
