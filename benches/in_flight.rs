//! A thousand sends at the same time to a provider that takes 100 ms to answer: how long all of
//! them take, and what each costs in memory. Once with an instance for each, once all of them in one.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, ensure};
use axum::{Router, routing::any};

use crate::{
    figures::{Figure, Goal, Report, median, millis},
    host::{Folder, Host, KEY, Log, tenant_id},
    load::{self, Load},
};

const SENDS: usize = 1_000;
const ROUNDS: usize = 5;
pub(crate) const ANSWERS_AFTER: Duration = Duration::from_millis(100);
/// Long enough to look at what all of them take together.
const ANSWERS_LATE: Duration = Duration::from_secs(3);
const MEMORY_ROUNDS: usize = 3;

/// What one flavour takes, medians.
struct Taken {
    cold_ms: f64,
    warm_ms: f64,
    bare_ms: f64,
    memory_kib: f64,
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let provider = Provider::start(ANSWERS_AFTER)?;
    let plain = measure(
        &provider,
        &format!("instances_max = {SENDS}\negress_max = {SENDS}"),
        "unsigned = true",
        None,
    )?;
    // One instance has all of them: `in_flight_max` and the requests that follow from it.
    let fixture =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/dist/concurrent.wasm");
    let fixture = fs::read(&fixture).context("tests/fixtures/dist/concurrent.wasm is not built")?;
    let limits = format!("instances_max = 1\nin_flight_max = {SENDS}");
    let one = measure(&provider, &limits, "", Some(&fixture))?;
    for (names, taken, goal_ms, goal_kib) in [
        (
            [
                "1,000 sends in flight, no instance yet",
                "1,000 sends in flight, instances warm",
                "memory of a send in flight",
            ],
            plain,
            1_000.0,
            200.0,
        ),
        (
            [
                "1,000 sends in one instance, not there yet",
                "1,000 sends in one instance, warm",
                "memory of a send in flight in one instance",
            ],
            one,
            400.0,
            200.0,
        ),
    ] {
        let client = ("straight to the provider", taken.bare_ms);
        let [cold, warm, memory] = names;
        for (name, value) in [(cold, taken.cold_ms), (warm, taken.warm_ms)] {
            report.add(Figure {
                name,
                unit: "ms",
                value,
                baseline: Some(client),
                goal: Goal::Below(goal_ms),
            });
        }
        report.add(Figure {
            name: memory,
            unit: "KiB",
            value: taken.memory_kib,
            baseline: None,
            goal: Goal::Below(goal_kib),
        });
    }
    Ok(())
}

fn measure(provider: &Provider, limits: &str, options: &str, file: Option<&[u8]>) -> Result<Taken> {
    let folder = folder(provider.address, limits, options, file)?;
    let (mut cold, mut warm, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(straight(provider.address)?);
        let host = Host::start(&folder, &["--store", "memory"], Log::Null)?;
        // The first send of a process makes what all later ones share.
        load::runtime()?.block_on(load(&host, 1).once_each())?.all_right()?;
        let seen = provider.answered.load(Ordering::Relaxed);
        let first = load::runtime()?.block_on(load(&host, SENDS).once_each())?.all_right()?;
        cold.push(millis(first.elapsed));
        let second = load::runtime()?.block_on(load(&host, SENDS).once_each())?.all_right()?;
        warm.push(millis(second.elapsed));
        let sent = provider.answered.load(Ordering::Relaxed) - seen;
        ensure!(sent == 2 * SENDS as u64, "the provider saw {sent} sends");
    }
    Ok(Taken {
        cold_ms: median(&mut cold),
        warm_ms: median(&mut warm),
        bare_ms: median(&mut bare),
        memory_kib: memory_kib(limits, options, file)?,
    })
}

/// What a send in flight takes of memory: a page that all instances of a plugin share counts once.
fn memory_kib(limits: &str, options: &str, file: Option<&[u8]>) -> Result<f64> {
    let provider = Provider::start(ANSWERS_LATE)?;
    let folder = folder(provider.address, limits, options, file)?;
    let mut memory = Vec::new();
    for _ in 0..MEMORY_ROUNDS {
        let host = Host::start(&folder, &["--store", "memory"], Log::Null)?;
        load::runtime()?.block_on(load(&host, 1).once_each())?.all_right()?;
        let (before, arrived) = (host.memory_bytes()?, provider.arrived.load(Ordering::Relaxed));
        let all = load(&host, SENDS);
        let sending = thread::spawn(move || load::runtime()?.block_on(all.once_each()));
        while provider.arrived.load(Ordering::Relaxed) < arrived + SENDS as u64 {
            ensure!(!sending.is_finished(), "they were not all in flight at the same time");
            thread::sleep(Duration::from_millis(5));
        }
        let during = host.memory_bytes()?;
        let answered = provider.answered.load(Ordering::Relaxed);
        ensure!(answered == arrived, "some were answered before the memory was looked at");
        sending.join().map_err(|_| anyhow!("the load panicked"))??.all_right()?;
        memory.push((during - before) / SENDS as f64 / 1024.0);
    }
    Ok(median(&mut memory))
}

fn load(host: &Host, connections: usize) -> Load {
    Load {
        address: host.address,
        request: load::post(KEY, "", r#"{"channel":"webhook","message":"disk almost full"}"#),
        connections,
        status: 200,
    }
}

/// The channel of the plugin `webhook`: the shipped one, or this file.
fn folder(
    provider: SocketAddr,
    limits: &str,
    options: &str,
    file: Option<&[u8]>,
) -> Result<Folder> {
    let url = format!("http://{provider}");
    let source = if file.is_some() { "source = \"plugin.wasm\"\n" } else { "" };
    let plugins = format!(
        "[[plugin]]\nname = \"webhook\"\n{source}[plugin.grants]\nhosts = [\"{url}\"]\naddresses = \
         [\"127.0.0.1\"]\n[plugin.limits]\n{limits}\n"
    );
    let channels = format!(
        "[[channel]]\ntenant_id = \"{}\"\nchannel_type = \"webhook\"\n[channel.options]\nurl = \
         \"{url}/hook\"\n{options}\n",
        tenant_id(0)
    );
    let folder = Folder::with(1, &plugins, &channels)?;
    if let Some(file) = file {
        folder.write("plugin.wasm", file)?;
    }
    Ok(folder)
}

/// The same load straight to the provider.
fn straight(provider: SocketAddr) -> Result<f64> {
    let load = Load {
        address: provider,
        request: load::post(KEY, "", r#"{"message":"disk almost full"}"#),
        connections: SENDS,
        status: 200,
    };
    let tally = load::runtime()?.block_on(load.once_each())?.all_right()?;
    Ok(millis(tally.elapsed))
}

/// The provider, on a thread of its own.
pub(crate) struct Provider {
    pub(crate) address: SocketAddr,
    arrived: Arc<AtomicU64>,
    answered: Arc<AtomicU64>,
}

impl Provider {
    /// One that answers `after` so long.
    pub(crate) fn start(after: Duration) -> Result<Self> {
        let (arrived, answered) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (came, went) = (Arc::clone(&arrived), Arc::clone(&answered));
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr().context("the provider's address")?;
        let runtime = load::runtime()?;
        let hook = any(move || {
            let (came, went) = (Arc::clone(&came), Arc::clone(&went));
            async move {
                came.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(after).await;
                went.fetch_add(1, Ordering::Relaxed);
                "thanks"
            }
        });
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, Router::new().fallback_service(hook)).await
            })
        });
        Ok(Self { address, arrived, answered })
    }
}
