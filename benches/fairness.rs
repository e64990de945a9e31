//! A tenant with a backlog of a hundred thousand, and what its neighbour notices of it.

use std::{ops::Range, time::Duration};

use anyhow::{Result, ensure};
use tokio::time::Instant;

use crate::{
    figures::{Figure, Goal, Report, quantile},
    host::{Folder, Host, Log, key},
    load::{self, Connection},
};

const BACKLOG: usize = 100_000;
/// What the interface takes at once.
const BATCH: usize = 100;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(10);
/// The neighbour's pace: far below what the host can do, so that what is seen is waiting. It is not
/// even, or the neighbour and the provider, who answers after a tenth of a second, fall into step, and
/// the ends of the backlog's deliveries meet the neighbour's messages each time.
const PAUSE_MS: Range<u64> = 5..15;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    // The backlog is for a provider that takes its time, or it would be gone before it is measured;
    // it is served by as many instances as one channel has by default.
    let provider = crate::in_flight::Provider::start(crate::in_flight::ANSWERS_AFTER)?;
    let url = format!("http://{}", provider.address);
    let plugins = format!(
        "[[plugin]]\nname = \"log\"\nscope = \"core\"\n\n[[plugin]]\nname = \
         \"webhook\"\n[plugin.grants]\nhosts = [\"{url}\"]\naddresses = [\"127.0.0.1\"]\n"
    );
    let channels = format!(
        "[[channel]]\ntenant_id = \"%TENANT%\"\nchannel_type = \"webhook\"\n[channel.options]\n\
         url = \"{url}/hook\"\nunsigned = true\n"
    );
    let folder = Folder::with(2, &plugins, &channels)?;
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let data = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let place = data.path().display().to_string();
        let host = Host::start(&folder, &["--data-dir", &place], Log::Null)?;
        let runtime = load::runtime()?;
        alone.extend(runtime.block_on(neighbour(&host))?);
        runtime.block_on(fill(&host))?;
        beside.extend(runtime.block_on(neighbour(&host))?);
    }
    report.add(Figure {
        name: "p99 beside a backlog of 100,000",
        unit: "ms",
        value: quantile(&mut beside, 0.99),
        baseline: Some(("without a backlog", quantile(&mut alone, 0.99))),
        goal: Goal::RatioAtMost(1.2),
    });
    Ok(())
}

async fn fill(host: &Host) -> Result<()> {
    let one = r#"{"channel":"webhook","message":"backlog"}"#;
    let body = format!("[{}]", vec![one; BATCH].join(","));
    let request = load::post_to(&key(0), "/notifications/batch", "", &body);
    let mut connection = Connection::open(host.address).await?;
    for _ in 0..BACKLOG / BATCH {
        let status = connection.exchange(&request).await?;
        ensure!((200..300).contains(&status), "status {status} for a batch");
    }
    Ok(())
}

/// The neighbour's waits for a delivery, in milliseconds. Those of all rounds are looked at together:
/// the 99th percentile of a single one is its tenth longest wait, which is mostly chance.
async fn neighbour(host: &Host) -> Result<Vec<f64>> {
    let request = load::post_to(
        &key(1),
        "/notifications",
        "",
        r#"{"channel":"log","message":"a neighbour"}"#,
    );
    let mut connection = Connection::open(host.address).await?;
    let began = Instant::now();
    let mut took_ms = Vec::new();
    while began.elapsed() < ROUND {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(PAUSE_MS))).await;
        let sent = Instant::now();
        let status = connection.exchange(&request).await?;
        ensure!(status == 200, "status {status} for the neighbour");
        took_ms.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(took_ms)
}
