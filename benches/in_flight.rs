//! A thousand sends at the same time to a provider that takes 100 ms to answer: how long all of
//! them take, and what each costs in memory.

use std::{
    net::SocketAddr,
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

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let provider = Provider::start()?;
    let url = format!("http://{}", provider.address);
    let plugins = format!(
        "[[plugin]]\nname = \"webhook\"\n[plugin.grants]\nhosts = [\"{url}\"]\naddresses = \
         [\"127.0.0.1\"]\n[plugin.limits]\ninstances_max = {SENDS}\negress_max = {SENDS}\n"
    );
    let channels = format!(
        "[[channel]]\ntenant_id = \"{}\"\nchannel_type = \"webhook\"\n[channel.options]\nurl = \
         \"{url}/hook\"\nunsigned = true\n",
        tenant_id(0)
    );
    let folder = Folder::with(1, &plugins, &channels)?;
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
    let client = ("straight to the provider", median(&mut bare));
    report.add(Figure {
        name: "1,000 sends in flight, no instance yet",
        unit: "ms",
        value: median(&mut cold),
        baseline: Some(client),
        goal: Goal::Below(1_000.0),
    });
    report.add(Figure {
        name: "1,000 sends in flight, instances warm",
        unit: "ms",
        value: median(&mut warm),
        baseline: Some(client),
        goal: Goal::Below(1_000.0),
    });
    report.add(Figure {
        name: "memory of a send in flight",
        unit: "KiB",
        value: median(&mut memory),
        baseline: None,
        goal: Goal::Below(200.0),
    });
    Ok(())
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
