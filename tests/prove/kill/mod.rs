//! `kill -9` at random moments, under load, with retries, timed notifications, cancellations,
//! batches, several channels, ordering keys, fallbacks, callbacks, replays, purges of one and of ranges,
//! reloads and plugin swaps going on, on one data folder all the time.
//!
//! The callers do what a careful caller does: each notification has an idempotency key of its own,
//! and whoever gets no answer asks again with it after the restart. So in the end there must be
//! exactly one notification for each key, in exactly the one state that is right for it. What follows
//! from an end, another channel or a callback, must follow exactly once.

mod callers;
mod ledger;
mod more;
mod ranges;
mod receiver;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    kit::{Folder, TestHost, conductor, fixture, replace, wait::within},
    settings,
};
use callers::Callers;
use ledger::Ledger;
use receiver::Receiver;

/// The channel that takes over, and the lane of callbacks.
const SECOND: &str = "second";
/// The other one of two channels.
const THIRD: &str = "third";
/// How many channels there are.
const CHANNELS: usize = 7;
const CALLBACKS: &str = "@callbacks";

/// How long the queue may take to run empty at the end.
const DRAIN: Duration = Duration::from_secs(180);

/// The longest that a round lasts before the kill, in milliseconds.
const ROUND_MS: u64 = 700;

fn folder(receiver: &Receiver) -> Folder {
    let mut folder = Folder::new();
    let origin = receiver.origin();
    folder.plugin(
        "webhook",
        &format!("[plugin.grants]\nhosts = [\"{origin}\"]\naddresses = [\"127.0.0.0/8\"]"),
    );
    let retry = "[channel.retry]\nfirst_ms = 50\nfactor = 1.0\nattempts = 100";
    for (name, path, more) in [
        ("webhook", "hook", ""),
        ("first", "first", "fallback = [\"second\"]\n"),
        (SECOND, "second", ""),
        (THIRD, "third", ""),
        ("ordered", "ordered", ""),
        (ranges::SWEPT, "swept", ""),
    ] {
        let options = format!("[channel.options]\nurl = \"{origin}/{path}\"\nunsigned = true");
        folder.channel("webhook", &format!("name = \"{name}\"\n{more}{options}\n{retry}"));
    }
    folder.env("CALLBACK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let callback = format!(
        "[[tenant.callback]]\nurl = \"{origin}/told\"\nsecret_env = \"CALLBACK_SECRET\"\n\
         events = [\"delivered\", \"failed\"]\naddresses = [\"127.0.0.0/8\"]\n\n"
    );
    let tenant_b = folder.tenants.rfind("[[tenant]]").unwrap();
    folder.tenants.insert_str(tenant_b, &callback);
    std::fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"");
    folder.channel("versioned", retry);
    folder
}

/// Rewrites the configuration and swaps the plugin's file, again and again.
async fn meddle(folder: std::path::PathBuf, channels: String, mut chances: fastrand::Rng) {
    let files = [fixture("versioned-a"), fixture("versioned-b")];
    for number in 0_usize.. {
        tokio::time::sleep(Duration::from_millis(chances.u64(50..400))).await;
        if chances.bool() {
            replace(&folder.join("plugin.wasm"), &files[number % 2]);
        } else {
            // Another pause before a retry: the channel's binding is another one then.
            let first_ms = format!("first_ms = {}", 40 + number % 20);
            replace(&folder.join("channels.toml"), channels.replace("first_ms = 50", &first_ms));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_and_ends_once_in_the_right_state() {
    let rounds = settings::rounds(20);
    let mut chances = settings::chances("kill -9");
    let receiver = Receiver::start(chances.fork()).await;
    let ledger = Arc::new(Ledger::default());
    let begin = ranges::slot(0);
    let folder = folder(&receiver);
    let channels = folder.channels.clone();
    let mut host = TestHost::start(folder).await;
    for round in 0..rounds {
        let stop = Arc::new(AtomicBool::new(false));
        let callers = Callers::start(&host, &ledger, &stop, &mut chances);
        let meddler =
            tokio::spawn(meddle(host.path().to_path_buf(), channels.clone(), chances.fork()));
        tokio::time::sleep(Duration::from_millis(chances.u64(20..ROUND_MS))).await;
        if chances.u8(0..4) == 0 {
            // In the middle of going down in order.
            host.signal(rustix::process::Signal::TERM);
            tokio::time::sleep(Duration::from_millis(chances.u64(0..120))).await;
        }
        host.kill().await;
        stop.store(true, Ordering::Relaxed);
        meddler.abort();
        callers.stopped().await;
        if chances.u8(0..4) == 0 {
            host = killed_while_it_starts(host, &mut chances).await;
        }
        host = host.restart().await;
        if (round + 1) % 10 == 0 {
            eprintln!("round {}: {}", round + 1, ledger.summary());
        }
    }
    // Those without an answer ask until they have one.
    let stop = Arc::new(AtomicBool::new(true));
    Callers::start(&host, &ledger, &stop, &mut chances).stopped().await;
    drained(&host).await;
    ranges::sweep_all(&host, &ledger, begin).await;
    let found = ledger.reconcile(&host, &receiver, rounds).await;
    let audit = conductor(&host).args(["audit", "--verify"]).output().unwrap();
    assert!(audit.status.success(), "{}", String::from_utf8_lossy(&audit.stderr));
    settings::proved("kill -9", format_args!("{rounds} rounds, {found}"));
}

/// Starts it on the same folder and kills it before, or soon after, it listens.
async fn killed_while_it_starts(mut host: TestHost, chances: &mut fastrand::Rng) -> TestHost {
    host.start_again();
    tokio::time::sleep(Duration::from_millis(chances.u64(5..400))).await;
    host.kill().await;
    host
}

async fn drained(host: &TestHost) {
    within(DRAIN, "the queue is empty", async || {
        let queue = &host.health().await["queue"];
        let live = ["queued", "sending", "retrying"].map(|state| queue[state].as_u64().unwrap());
        (live == [0, 0, 0]).then_some(())
    })
    .await;
}
