//! Requests a second through the whole path (HTTP, queue in memory, dispatch, sandbox, answer)
//! against a bare handler that parses and answers the same JSON.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Result;
use axum::{Json, Router, routing::post};
use serde::{Deserialize, Serialize};

use crate::{
    figures::{Figure, Goal, Report, median, micros},
    host::{self, Folder, Host, KEY, Log},
    load::{self, Load},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n";
/// What the bare handler, too, takes.
pub(crate) const BARE_BODY: &str =
    r#"{"channel":"log","message":"disk almost full on db-1","priority":"high"}"#;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 7;
const ROUND: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(1500);

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let folder = Folder::with(1, PLUGINS, "")?;
    let host = Host::start(&folder, &["--store", "memory"], Log::Null)?;
    let bare = Bare::start()?;
    let load = |address| Load {
        address,
        request: load::post(KEY, "", BARE_BODY),
        connections: CONNECTIONS,
        status: 200,
    };
    let (subject, baseline) = (load(host.address), load(bare.address));
    subject.run(WARM_UP)?.all_right()?;
    baseline.run(WARM_UP)?.all_right()?;

    let (mut routed, mut answered, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let (mut host_cpu, mut bare_cpu) = (Vec::new(), Vec::new());
    let mut p99 = Vec::new();
    for _ in 0..ROUNDS {
        let before = bare.usage()?.cpu;
        let round = baseline.run(ROUND)?.all_right()?;
        bare_cpu.push(micros(bare.usage()?.cpu - before) / round.answered as f64);
        answered.push(round.per_second());

        let before = host.usage()?.cpu;
        let mut round = subject.run(ROUND)?.all_right()?;
        host_cpu.push(micros(host.usage()?.cpu - before) / round.answered as f64);
        routed.push(round.per_second());
        p99.push(crate::figures::quantile(&mut round.latencies_us, 0.99));
        ratios.extend(routed.last().zip(answered.last()).map(|(one, other)| one / other));
    }
    report.note(&format!(
        "ratio of neighbouring rounds: median {:.2}; p99 of the host {:.0} µs",
        median(&mut ratios),
        median(&mut p99)
    ));
    report.add(Figure {
        name: "routing, log channel, 64 connections",
        unit: "requests/s",
        value: median(&mut routed),
        baseline: Some(("bare axum handler", median(&mut answered))),
        goal: Goal::RatioAtLeast(0.5),
    });
    report.add(Figure {
        name: "routing, CPU time of the server",
        unit: "µs/request",
        value: median(&mut host_cpu),
        baseline: Some(("bare axum handler", median(&mut bare_cpu))),
        goal: Goal::None,
    });
    Ok(())
}

/// The bare handler in a process of its own, as the host is.
pub(crate) struct Bare {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Bare {
    pub(crate) fn start() -> Result<Self> {
        let address = host::free_address()?;
        let child = Command::new(std::env::current_exe()?)
            .args([BARE_FLAG, &address.to_string()])
            .stdin(Stdio::null())
            .spawn()?;
        let mut bare = Self { child, address };
        host::wait_for_answer(address, &mut bare.child)?;
        Ok(bare)
    }

    fn usage(&self) -> Result<host::Usage> {
        host::usage(self.child.id())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        host::stop(&mut self.child);
    }
}

/// How this program is told to be the bare handler.
pub(crate) const BARE_FLAG: &str = "--bare-handler";

#[derive(Deserialize)]
struct Question {
    channel: String,
    message: String,
    priority: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    success: bool,
    id: uuid::Uuid,
    tenant_id: &'static str,
    tenant_name: &'static str,
    channel: String,
    message: String,
    priority: String,
    timestamp: String,
    status: &'static str,
    provider_id: uuid::Uuid,
}

async fn answer(Json(question): Json<Question>) -> Json<Answer> {
    let id = uuid::Uuid::now_v7();
    Json(Answer {
        success: true,
        id,
        tenant_id: "019aa7c4-5e00-7c3a-9b51-000000000000",
        tenant_name: "Tenant 0",
        channel: question.channel,
        message: question.message,
        priority: question.priority,
        timestamp: format!("{:.3}", jiff::Timestamp::now()),
        status: "delivered",
        provider_id: id,
    })
}

/// Runs the bare handler, on as many threads as the host.
pub(crate) fn serve_bare(address: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address).await?;
        axum::serve(listener, Router::new().route("/notifications", post(answer))).await?;
        Ok(())
    })
}
