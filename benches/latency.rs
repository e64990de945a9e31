//! From the accept to the first attempt, with every accept synced to disk: by the host's own record,
//! at a steady rate of callers who do not wait.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use conductor::clock::UnixMs;
use serde_json::Value;
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    figures::{Figure, Goal, Report, quantile},
    host::{Folder, Host, KEY, Log},
    load::{self, Connection},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n";
const CONNECTIONS: u32 = 50;
const TIME: Duration = Duration::from_secs(10);
/// How long the last ones may take to be tried.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let folder = Folder::with(1, PLUGINS, "")?;
    let host = Host::start(&folder, &[], Log::Null)?;
    for (rate, name, goal) in [
        (200, "accept to first attempt, p99 at 200/s", Goal::Below(50.0)),
        (1_000, "accept to first attempt, p99 at 1,000/s", Goal::None),
    ] {
        let mut waited = load::runtime()?.block_on(at_rate(&host, rate))?;
        report.note(&format!(
            "{} notifications at {rate}/s: median {} ms, longest {} ms",
            waited.len(),
            quantile(&mut waited, 0.5),
            quantile(&mut waited, 1.0)
        ));
        report.add(Figure {
            name,
            unit: "ms",
            value: quantile(&mut waited, 0.99),
            baseline: None,
            goal,
        });
    }
    Ok(())
}

/// Milliseconds from accept to first attempt of every notification.
async fn at_rate(host: &Host, rate: u32) -> Result<Vec<f64>> {
    let request =
        load::post(KEY, "prefer: respond-async\r\n", r#"{"channel":"log","message":"steady"}"#);
    let pause = Duration::from_secs(1) * CONNECTIONS / rate;
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for number in 0..CONNECTIONS {
        let mut connection = Connection::open(host.address).await?;
        let request = request.clone();
        callers.spawn(async move {
            let mut turns = tokio::time::interval_at(began + pause * number / CONNECTIONS, pause);
            // The rate is what is kept, not the pauses.
            turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
            let mut ids = Vec::new();
            while began.elapsed() < TIME {
                turns.tick().await;
                let (status, body) = connection.ask(&request).await?;
                ensure!(status == 202, "status {status}: {body}");
                let id = body.get("id").and_then(Value::as_str).context("no id")?;
                ids.push(id.to_owned());
            }
            Ok(ids)
        });
    }
    let mut ids = Vec::new();
    while let Some(of_one) = callers.join_next().await {
        ids.extend(of_one??);
    }
    tokio::time::sleep(SETTLE).await;
    let mut connection = Connection::open(host.address).await?;
    let mut waited = Vec::with_capacity(ids.len());
    for id in ids {
        let (_, record) = connection.ask(&load::get(KEY, &format!("/notifications/{id}"))).await?;
        let accepted = moment(&record, "/createdAt")?;
        let tried = moment(&record, "/attempts/0/startedAt")?;
        waited.push((tried.0 - accepted.0) as f64);
    }
    Ok(waited)
}

fn moment(record: &Value, pointer: &str) -> Result<UnixMs> {
    let text = record.pointer(pointer).and_then(Value::as_str).context("no moment")?;
    Ok(UnixMs::parse_rfc3339(text)?)
}
