//! A tenant whose plugins do their worst, and what its neighbour notices of it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use tokio::time::{Instant, MissedTickBehavior};

use crate::{
    figures::{Figure, Goal, Report, median, quantile},
    host::{Folder, Host, Log, key},
    load::{self, Connection},
};

/// Ideas of `tests/fixtures/hostile`: computing without end, memory without end, ten thousand log
/// lines, panicking, and waiting for an answer that drips.
const IDEAS: [&str; 5] = ["spin", "memory", "log_flood", "trap", "reach"];
/// Callers for each idea: more of them than the machine has cores.
const CALLERS: usize = 2;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(6);
/// Paces far below what the host can do, so that what is seen is one hurting the other and not all
/// of them wanting more than there is.
const PAUSE: Duration = Duration::from_millis(10);
const ATTACK_PAUSE: Duration = Duration::from_millis(40);

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/dist/hostile.wasm");
    ensure!(guest.is_file(), "{} is missing: run ./just build-fixtures", guest.display());
    let drip = dripping_server()?;
    let plugins = format!(
        "[[plugin]]\nname = \"log\"\nscope = \"core\"\n\n[[plugin]]\nname = \"hostile\"\nsource = \
         \"{}\"\n[plugin.grants]\nhosts = [\"http://{drip}\"]\naddresses = [\"127.0.0.1\"]\n",
        guest.display()
    );
    let mut channels = String::new();
    for idea in IDEAS {
        use std::fmt::Write as _;
        // Each message says which idea it is, and every other one is harmless: no channel fails so
        // often in a row that the host stops calling it, which is as bad as an attack gets.
        write!(
            channels,
            "[[channel]]\ntenant_id = \"%TENANT%\"\nname = \"{idea}\"\nchannel_type = \
             \"hostile\"\n[channel.options]\nidea = \"by_message\"\ntargets = \
             [\"http://{drip}/\"]\n[channel.retry]\nattempts = 1\n\n",
            idea = idea.replace('_', "-")
        )?;
    }
    let folder = Folder::with(2, &plugins, &channels)?;
    let (mut alone, mut beside, mut attacks) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let host = Host::start(&folder, &["--store", "memory"], Log::Null)?;
        let runtime = load::runtime()?;
        alone.push(runtime.block_on(neighbour(&host))?);
        let (waited, made) = runtime.block_on(under_attack(&host))?;
        beside.push(waited);
        attacks += made;
    }
    report.note(&format!("{attacks} attacks in {ROUNDS} rounds of {} s", ROUND.as_secs()));
    report.add(Figure {
        name: "p99 beside five kinds of hostile plugins",
        unit: "ms",
        value: median(&mut beside),
        baseline: Some(("without them", median(&mut alone))),
        goal: Goal::RatioAtMost(1.2),
    });
    Ok(())
}

/// The neighbour's p99 while all attackers are at it, and how many attacks there were.
async fn under_attack(host: &Host) -> Result<(f64, u64)> {
    let over = Arc::new(AtomicBool::new(false));
    let made = Arc::new(AtomicU64::new(0));
    let mut attackers = tokio::task::JoinSet::new();
    for idea in IDEAS {
        for _ in 0..CALLERS {
            let (address, over, made) = (host.address, Arc::clone(&over), Arc::clone(&made));
            attackers.spawn(async move { attack(address, idea, &over, &made).await });
        }
    }
    let waited = neighbour(host).await?;
    over.store(true, Ordering::Relaxed);
    // Those that wait for the end of a call are not waited for.
    while let Some(ended) = attackers.try_join_next() {
        ended??;
    }
    attackers.abort_all();
    Ok((waited, made.load(Ordering::Relaxed)))
}

async fn attack(
    address: SocketAddr,
    idea: &str,
    over: &AtomicBool,
    made: &AtomicU64,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let channel = idea.replace('_', "-");
    let post = |message: &str| {
        let body = format!(r#"{{"channel":"{channel}","message":"{message}"}}"#);
        load::post_to(&key(0), "/notifications", "prefer: wait=30\r\n", &body)
    };
    let (hostile, fine) = (post(idea), post("fine"));
    while !over.load(Ordering::Relaxed) {
        let status = connection.exchange(&hostile).await?;
        // A flood is delivered, all others fail.
        ensure!(matches!(status, 200 | 202 | 424), "status {status} for {idea}");
        made.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(ATTACK_PAUSE).await;
        let status = connection.exchange(&fine).await?;
        ensure!(matches!(status, 200 | 202), "status {status} after {idea}");
    }
    Ok(())
}

/// The 99th percentile of the neighbour's waits for a delivery, in milliseconds. All of them must
/// succeed.
async fn neighbour(host: &Host) -> Result<f64> {
    let body = r#"{"channel":"log","message":"a neighbour"}"#;
    let request = load::post_to(&key(1), "/notifications", "", body);
    let mut connection = Connection::open(host.address).await?;
    let mut turns = tokio::time::interval(PAUSE);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let began = Instant::now();
    let mut took_ms = Vec::new();
    while began.elapsed() < ROUND {
        turns.tick().await;
        let sent = Instant::now();
        let status = connection.exchange(&request).await?;
        ensure!(status == 200, "status {status} for the neighbour");
        took_ms.push(sent.elapsed().as_secs_f64() * 1e3);
    }
    Ok(quantile(&mut took_ms, 0.99))
}

/// Somebody who answers one byte every tenth of a second, for ever.
fn dripping_server() -> Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = listener.local_addr().context("the address of a listener")?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(std::io::Result::ok) {
            thread::spawn(move || {
                // Until the host hangs up.
                let _hung_up = drip(stream);
            });
        }
    });
    Ok(address)
}

fn drip(mut stream: TcpStream) -> std::io::Result<()> {
    let _asked = stream.read(&mut [0; 4096])?;
    stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    loop {
        stream.write_all(b"1\r\nx\r\n")?;
        thread::sleep(Duration::from_millis(100));
    }
}
