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

use anyhow::{Context as _, Result, ensure};
use axum::{Router, routing::any};

use crate::{
    figures::{Figure, Goal, Report, median, millis},
    host::{Folder, Host, KEY, Log, tenant_id},
    load::{self, Load},
};

const SENDS: usize = 1_000;
const ROUNDS: usize = 5;
const ANSWERS_AFTER: Duration = Duration::from_millis(100);

/// What one flavour takes, medians.
struct Taken {
    cold_ms: f64,
    warm_ms: f64,
    bare_ms: f64,
    memory_kib: f64,
}

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let provider = Provider::start()?;
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

/// The load on the channel of the plugin `webhook`: the shipped one, or this file.
fn measure(provider: &Provider, limits: &str, options: &str, file: Option<&[u8]>) -> Result<Taken> {
    let url = format!("http://{}", provider.address);
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
    let (mut cold, mut warm, mut bare, mut memory) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(straight(provider.address)?);
        let host = Host::start(&folder, &["--store", "memory"], Log::Null)?;
        let load = |connections| Load {
            address: host.address,
            request: load::post(KEY, "", r#"{"channel":"webhook","message":"disk almost full"}"#),
            connections,
            status: 200,
        };
        // The first send of a process makes what all later ones share.
        load::runtime()?.block_on(load(1).once_each())?.all_right()?;
        let before = host.usage()?.rss_bytes;
        let seen = provider.seen.load(Ordering::Relaxed);
        let first = load::runtime()?.block_on(load(SENDS).once_each())?.all_right()?;
        let after = host.usage()?.rss_bytes_peak;
        cold.push(millis(first.elapsed));
        memory.push((after - before) / SENDS as f64 / 1024.0);
        let second = load::runtime()?.block_on(load(SENDS).once_each())?.all_right()?;
        warm.push(millis(second.elapsed));
        let sent = provider.seen.load(Ordering::Relaxed) - seen;
        ensure!(sent == 2 * SENDS as u64, "the provider saw {sent} sends");
    }
    Ok(Taken {
        cold_ms: median(&mut cold),
        warm_ms: median(&mut warm),
        bare_ms: median(&mut bare),
        memory_kib: median(&mut memory),
    })
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
    seen: Arc<AtomicU64>,
}

impl Provider {
    pub(crate) fn start() -> Result<Self> {
        let seen = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&seen);
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr().context("the provider's address")?;
        let runtime = load::runtime()?;
        let hook = any(move || {
            let count = Arc::clone(&count);
            async move {
                tokio::time::sleep(ANSWERS_AFTER).await;
                count.fetch_add(1, Ordering::Relaxed);
                "thanks"
            }
        });
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                axum::serve(listener, Router::new().fallback_service(hook)).await
            })
        });
        Ok(Self { address, seen })
    }
}
