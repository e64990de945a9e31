//! Durable accepts a second over HTTP against the store alone: what HTTP, keys, validation and the
//! waiting tasks cost on top of the disk.

use std::{
    net::SocketAddr,
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
    figures::{Figure, Goal, Report, median, micros},
    host::{Folder, Host, KEY, Log},
    load::{self, Load},
    routing::{BARE_BODY, Bare},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n";
const CALLERS: usize = 256;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
/// A round leaves some hundred thousand to deliver.
const EMPTIED_WITHIN: Duration = Duration::from_secs(120);
const WARM_UP: Duration = Duration::from_secs(1);
/// As many as the host leases of one channel: its instances.
const LEASED_AT_ONCE: usize = 16;

/// What is measured.
struct Case {
    name: &'static str,
    /// One notification, as JSON.
    body: String,
    /// So many of them in a request; several are a batch.
    per_request: usize,
    /// Whether they are due at once, so that they are delivered beside.
    delivering: bool,
    goal: f64,
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let later = Clock::system().now().after(Duration::from_secs(86_400)).rfc3339();
    let later =
        format!(r#"{{"channel":"log","message":"disk almost full on db-1","sendAt":"{later}"}}"#);
    let now = String::from(r#"{"channel":"log","message":"disk almost full on db-1"}"#);
    let cases = [
        Case {
            name: "durable accepts, one a request, 256 callers",
            body: later.clone(),
            per_request: 1,
            delivering: false,
            goal: 0.6,
        },
        Case {
            name: "durable accepts, 20 a request, 256 callers",
            body: later,
            per_request: 20,
            delivering: false,
            goal: 0.8,
        },
        Case {
            name: "durable accepts while delivering, 256 callers",
            body: now,
            per_request: 1,
            delivering: true,
            goal: 0.6,
        },
    ];
    cases.iter().try_for_each(|case| compare(report, case))
}

fn compare(report: &mut Report, case: &Case) -> Result<()> {
    let folder = Folder::with(1, PLUGINS, "")?;
    let host = Host::start(&folder, &[], Log::Null)?;
    let load = load(host.address, case);
    let bare = Bare::start()?;
    let bare_load = Load {
        address: bare.address,
        request: load::post(KEY, "", BARE_BODY),
        status: 200,
        ..load.clone()
    };
    let store_folder = Folder::new()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let path = store_folder.path().join("queue.db");
    let store = runtime.block_on(async { SqliteStore::open(&path, Clock::system()) })?;
    let alone = |time| runtime.block_on(store_alone(&store, time, case));

    let mut accepted = load.run(WARM_UP)?.all_right()?.answered;
    alone(WARM_UP)?;
    bare_load.run(WARM_UP)?.all_right()?;
    let (mut over_http, mut without, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cpu_us, mut delivered_over_http, mut delivered_without) =
        (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (accepts, deliveries) = alone(ROUND)?;
        without.push(accepts);
        delivered_without.push(deliveries);
        let before = host.usage()?.cpu;
        let delivered_before = delivered(&host)?;
        let round = load.run(ROUND)?.all_right()?;
        cpu_us.push(micros(host.usage()?.cpu - before) / (round.answered * each(case)) as f64);
        accepted += round.answered;
        delivered_over_http
            .push((delivered(&host)? - delivered_before) / round.elapsed.as_secs_f64());
        over_http.push(round.per_second() * each(case) as f64);
        if case.delivering {
            emptied(&host)?;
        }
        bare.push(bare_load.run(ROUND / 4)?.all_right()?.per_second());
    }
    // An answer to a batch may be full of refusals.
    let counted = host.metric("conductor_accepted_total")?;
    ensure!(counted == (accepted * each(case)) as f64, "{counted} accepted of {accepted} requests");

    let (value, alone) = (median(&mut over_http), median(&mut without));
    if case.per_request == 1 {
        // Client, HTTP and store share the machine's processors: a request that a bare handler
        // answers, and what the store alone does for an accept, one after the other.
        let possible = 1.0 / (1.0 / median(&mut bare) + 1.0 / alone);
        report.add(Figure {
            name: match case.delivering {
                true => "accepts while delivering, of what HTTP leaves",
                false => "accepts, of what HTTP leaves of the store",
            },
            unit: "accepts/s",
            value,
            baseline: Some(("a bare handler's time and the store's", possible)),
            goal: Goal::RatioAtLeast(0.9),
        });
    }
    if !case.delivering && case.per_request == 1 {
        let each = runtime.block_on(one_transaction_each(&store, ROUND))?;
        report.add(Figure {
            name: "durable accepts against one transaction each",
            unit: "accepts/s",
            value,
            baseline: Some(("store: one accept a transaction", each)),
            goal: Goal::RatioAtLeast(5.0),
        });
    }
    runtime.block_on(store.close());
    report.note(&format!("CPU time of the host: {:.1} µs an accept", median(&mut cpu_us)));
    if case.delivering {
        report.note(&format!(
            "delivered beside: {:.0}/s; by the store alone: {:.0}/s",
            median(&mut delivered_over_http),
            median(&mut delivered_without)
        ));
    }
    let what = if case.delivering { "store: accept, lease, settle" } else { "store: accept" };
    report.add(Figure {
        name: case.name,
        unit: "accepts/s",
        value,
        baseline: Some((what, alone)),
        goal: Goal::RatioAtLeast(case.goal),
    });
    Ok(())
}

/// Deliveries of the host so far.
fn delivered(host: &Host) -> Result<f64> {
    // There is no such line before the first.
    let name = r#"conductor_deliveries_total{plugin="log",outcome="delivered"}"#;
    Ok(host.metric(name).unwrap_or(0.0))
}

/// Waits until the host has delivered all: what is left over would burden the others' rounds.
fn emptied(host: &Host) -> Result<()> {
    let deadline = Instant::now() + EMPTIED_WITHIN;
    while host.metric(r#"conductor_queue_notifications{state="queued"}"#)? > 0.0 {
        ensure!(Instant::now() < deadline, "the host does not work its queue off");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Accepts of one request.
const fn each(case: &Case) -> u64 {
    case.per_request as u64
}

fn load(address: SocketAddr, case: &Case) -> Load {
    let request = match case.per_request {
        1 => load::post(KEY, "prefer: respond-async\r\n", &case.body),
        many => {
            let items = vec![case.body.as_str(); many].join(",");
            load::post_to(KEY, "/notifications/batch", "", &format!("[{items}]"))
        }
    };
    Load { address, request, connections: CALLERS, status: 202 }
}

/// Accepts a second of 256 tasks on the store itself, and deliveries a second beside them.
async fn store_alone(store: &Arc<SqliteStore>, time: Duration, case: &Case) -> Result<(f64, f64)> {
    let (delivering, many) = (case.delivering, case.per_request);
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
                let item = || notification(lane.clone(), clock.now().after(ahead));
                let answer = store.enqueue((0..many).map(|_| item()).collect()).await?;
                let all = answer.iter().all(|one| *one == Enqueued::Accepted);
                ensure!(all && answer.len() == many, "not accepted: {answer:?}");
                accepted += many as u64;
            }
            Ok(accepted)
        });
    }
    let mut accepted = 0;
    while let Some(caller) = callers.join_next().await {
        accepted += caller??;
    }
    let seconds = began.elapsed().as_secs_f64();
    over.store(true, Ordering::Relaxed);
    let delivered = match deliverer {
        Some(deliverer) => deliverer.await??,
        None => 0,
    };
    Ok((accepted as f64 / seconds, delivered as f64 / seconds))
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

/// What the dispatcher asks of the store, without the dispatcher; how many it has settled.
async fn deliver(store: &SqliteStore, lane: &Lane, over: &AtomicBool) -> Result<u64> {
    let mut delivered = 0;
    loop {
        let want = Want { lane: lane.clone(), max: LEASED_AT_ONCE };
        let leased = store.lease(vec![want], Duration::from_secs(60)).await?;
        if leased.is_empty() {
            if over.load(Ordering::Relaxed) {
                return Ok(delivered);
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
        delivered += store.settle(settled.collect()).await?.len() as u64;
        if over.load(Ordering::Relaxed) {
            return Ok(delivered);
        }
    }
}

fn attempt(started: UnixMs) -> store::Attempt {
    store::Attempt {
        started,
        took_ms: 1,
        outcome: "delivered".into(),
        code: None,
        detail: None,
        provider_id: Some(NotificationId::generate().to_string()),
        digest: Some(format!("sha256:{:064}", 0).into()),
        counts: true,
    }
}
