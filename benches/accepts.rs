//! Durable accepts a second over HTTP against the store alone: what HTTP, keys, validation and the
//! waiting tasks cost on top of the disk.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use conductor::{
    clock::{Clock, UnixMs},
    ids::{NotificationId, TenantId},
    store::{
        self, Enqueued, Lane, NewNotification, Priority, Settle, Store, Want, sqlite::SqliteStore,
    },
};

use crate::{
    figures::{Figure, Goal, Report, median},
    host::{Folder, Host, KEY, Log},
    load::{self, Load},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n";
const CALLERS: usize = 256;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_secs(1);
/// As many as the host leases of one channel: its instances.
const LEASED_AT_ONCE: usize = 16;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let later = Clock::system().now().after(Duration::from_secs(86_400)).rfc3339();
    let later =
        format!(r#"{{"channel":"log","message":"disk almost full on db-1","sendAt":"{later}"}}"#);
    compare(report, "durable accepts, due tomorrow, 256 callers", &later, false)?;
    let now = r#"{"channel":"log","message":"disk almost full on db-1"}"#;
    compare(report, "durable accepts while delivering, 256 callers", now, true)
}

fn compare(report: &mut Report, name: &'static str, body: &str, delivering: bool) -> Result<()> {
    let folder = Folder::with(1, PLUGINS, "")?;
    let host = Host::start(&folder, &[], Log::Null)?;
    let load = Load {
        address: host.address,
        request: load::post(KEY, "prefer: respond-async\r\n", body),
        connections: CALLERS,
        status: 202,
    };
    let store_folder = Folder::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let path = store_folder.path().join("queue.db");
    let store = runtime.block_on(async { SqliteStore::open(&path, Clock::system()) })?;
    let alone = |time| runtime.block_on(store_alone(&store, time, delivering));

    load.run(WARM_UP)?.all_right()?;
    alone(WARM_UP)?;
    let (mut over_http, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        without.push(alone(ROUND)?);
        over_http.push(load.run(ROUND)?.all_right()?.per_second());
        if delivering {
            // What is left over would burden the other one's round.
            std::thread::sleep(ROUND / 2);
        }
    }
    if !delivering {
        let each = runtime.block_on(one_transaction_each(&store, ROUND))?;
        report.add(Figure {
            name: "durable accepts against one transaction each",
            unit: "accepts/s",
            value: median(&mut over_http),
            baseline: Some(("store: one accept a transaction", each)),
            goal: Goal::RatioAtLeast(5.0),
        });
    }
    runtime.block_on(store.close());
    let what = if delivering { "store: accept, lease, settle" } else { "store: accept" };
    report.add(Figure {
        name,
        unit: "accepts/s",
        value: median(&mut over_http),
        baseline: Some((what, median(&mut without))),
        goal: Goal::RatioAtLeast(0.6),
    });
    Ok(())
}

/// Accepts a second of 256 tasks on the store itself.
async fn store_alone(store: &Arc<SqliteStore>, time: Duration, delivering: bool) -> Result<f64> {
    let lane = Lane { tenant: TenantId(uuid::Uuid::from_u128(1)), channel: "log".parse()? };
    let clock = Clock::system();
    let ahead = if delivering { Duration::ZERO } else { Duration::from_secs(86_400) };
    let over = Arc::new(AtomicBool::new(false));
    let deliverer = delivering.then(|| {
        let (store, lane, over) = (Arc::clone(store), lane.clone(), Arc::clone(&over));
        tokio::spawn(async move { deliver(&store, &lane, &over).await })
    });
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let (store, lane, clock) = (Arc::clone(store), lane.clone(), clock.clone());
        callers.spawn(async move {
            let mut accepted = 0_u64;
            while began.elapsed() < time {
                let item = notification(lane.clone(), clock.now().after(ahead));
                let answer = store.enqueue(vec![item]).await?;
                ensure!(answer == [Enqueued::Accepted], "not accepted: {answer:?}");
                accepted += 1;
            }
            Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(caller) = callers.join_next().await {
        accepted += caller??;
    }
    let rate = accepted as f64 / began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    if let Some(deliverer) = deliverer {
        deliverer.await??;
    }
    Ok(rate)
}

/// Accepts a second when each has a transaction of its own: one caller, who waits for the disk
/// before the next.
async fn one_transaction_each(store: &SqliteStore, time: Duration) -> Result<f64> {
    let lane = Lane { tenant: TenantId(uuid::Uuid::from_u128(2)), channel: "log".parse()? };
    let due = Clock::system().now().after(Duration::from_secs(86_400));
    let began = Instant::now();
    let mut accepted = 0_u64;
    while began.elapsed() < time {
        let answer = store.enqueue(vec![notification(lane.clone(), due)]).await?;
        ensure!(answer == [Enqueued::Accepted], "not accepted: {answer:?}");
        accepted += 1;
    }
    Ok(accepted as f64 / began.elapsed().as_secs_f64())
}

/// A notification that no quota stops.
pub(crate) fn notification(lane: Lane, due: UnixMs) -> NewNotification {
    NewNotification {
        id: NotificationId::generate(),
        lane,
        priority: Priority::Normal,
        due,
        expires: None,
        idempotency: None,
        payload: bytes::Bytes::from_static(br#"{"message":"disk almost full on db-1"}"#),
        live_max: u64::MAX,
        parent: None,
        ordering_key: None,
    }
}

/// What the dispatcher asks of the store, without the dispatcher.
async fn deliver(store: &SqliteStore, lane: &Lane, over: &AtomicBool) -> Result<()> {
    loop {
        let want = Want { lane: lane.clone(), max: LEASED_AT_ONCE };
        let leased = store.lease(vec![want], Duration::from_secs(60)).await?;
        if leased.is_empty() {
            if over.load(Ordering::Relaxed) {
                return Ok(());
            }
            // Not for ever: the round may end without another accept.
            let hint = store.hints().changed();
            let _hinted = tokio::time::timeout(Duration::from_millis(20), hint).await;
            continue;
        }
        let settled = leased.into_iter().map(|leased| Settle {
            token: leased.token,
            outcome: store::Outcome::Delivered,
            attempt: Some(attempt(leased.created)),
            follow: Vec::new(),
        });
        store.settle(settled.collect()).await?;
        if over.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

fn attempt(started: UnixMs) -> store::Attempt {
    store::Attempt {
        started,
        took_ms: 1,
        outcome: String::from("delivered"),
        code: None,
        detail: None,
        provider_id: Some(NotificationId::generate().to_string()),
        digest: Some(format!("sha256:{:064}", 0)),
        counts: true,
    }
}
