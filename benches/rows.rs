//! What the queue's questions cost with ten thousand notifications in it and with a million.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use conductor::{
    clock::Clock,
    ids::{NotificationId, TenantId},
    store::{Enqueued, Lane, ListQuery, Outcome, Settle, Store, Want, sqlite::SqliteStore},
};
use tokio::time::Instant;

use crate::{
    accepts::notification,
    figures::{Figure, Goal, Report, median},
    host::Folder,
};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
const LANES: u128 = 100;
const BATCH: usize = 1_000;
const SAMPLES: usize = 300;
const CLAIMED_AT_ONCE: usize = 16;

/// Medians in microseconds.
struct Costs {
    claim: f64,
    settle: f64,
    status: f64,
    list: f64,
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = Folder::new()?;
    let path = folder.path().join("queue.db");
    let store = runtime.block_on(async { SqliteStore::open(&path, Clock::system()) })?;
    let (few, many) = runtime.block_on(async {
        let mut ids = Vec::new();
        fill(&store, FEW, &mut ids).await?;
        let few = measure(&store, &ids).await?;
        fill(&store, MANY - FEW, &mut ids).await?;
        let many = measure(&store, &ids).await?;
        anyhow::Ok((few, many))
    })?;
    runtime.block_on(store.close());
    for (name, many, few) in [
        ("claim of 16, 1,000,000 rows", many.claim, few.claim),
        ("settle of 16, 1,000,000 rows", many.settle, few.settle),
        ("status, 1,000,000 rows", many.status, few.status),
        ("list of 50, 1,000,000 rows", many.list, few.list),
    ] {
        report.add(Figure {
            name,
            unit: "µs",
            value: many,
            baseline: Some(("10,000 rows", few)),
            goal: Goal::RatioAtMost(2.0),
        });
    }
    Ok(())
}

fn lane(number: u128) -> Result<Lane> {
    Ok(Lane { tenant: TenantId(uuid::Uuid::from_u128(number + 1)), channel: "log".parse()? })
}

/// `count` notifications over all lanes, due tomorrow.
async fn fill(
    store: &Arc<SqliteStore>,
    count: usize,
    ids: &mut Vec<(TenantId, NotificationId)>,
) -> Result<()> {
    let due = Clock::system().now().after(Duration::from_secs(86_400));
    for start in (0..count).step_by(BATCH) {
        let mut items = Vec::with_capacity(BATCH);
        for number in start..(start + BATCH).min(count) {
            let item = notification(lane(number as u128 % LANES)?, due);
            ids.push((item.lane.tenant, item.id));
            items.push(item);
        }
        let answers = store.enqueue(items).await?;
        ensure!(answers.iter().all(|answer| *answer == Enqueued::Accepted), "not all accepted");
    }
    Ok(())
}

async fn measure(store: &Arc<SqliteStore>, ids: &[(TenantId, NotificationId)]) -> Result<Costs> {
    let (mut claim, mut settle) = (Vec::new(), Vec::new());
    let (mut status, mut list) = (Vec::new(), Vec::new());
    for number in 0..SAMPLES {
        let lane = lane(number as u128 % LANES)?;
        let now = Clock::system().now();
        let items = (0..CLAIMED_AT_ONCE).map(|_| notification(lane.clone(), now)).collect();
        store.enqueue(items).await?;
        let wants = vec![Want { lane: lane.clone(), max: CLAIMED_AT_ONCE }];
        let began = Instant::now();
        let leased = store.lease(wants, Duration::from_secs(60)).await?;
        claim.push(micros(began));
        ensure!(leased.len() == CLAIMED_AT_ONCE, "only {} were claimed", leased.len());
        let items = leased.into_iter().map(|leased| Settle {
            token: leased.token,
            outcome: Outcome::Delivered,
            attempt: None,
            follow: Vec::new(),
        });
        let items = items.collect();
        let began = Instant::now();
        store.settle(items).await?;
        settle.push(micros(began));

        let (tenant, id) = *ids.get(fastrand::usize(..ids.len())).context("no ids")?;
        let began = Instant::now();
        ensure!(store.status(tenant, id).await?.is_some(), "{id} is not there");
        status.push(micros(began));
        let query = ListQuery {
            tenant,
            state: None,
            channel: None,
            from: None,
            to: None,
            cursor: None,
            limit: 50,
        };
        let began = Instant::now();
        ensure!(store.list(query).await?.items.len() == 50, "a page is short");
        list.push(micros(began));
    }
    Ok(Costs {
        claim: median(&mut claim),
        settle: median(&mut settle),
        status: median(&mut status),
        list: median(&mut list),
    })
}

fn micros(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e6
}
