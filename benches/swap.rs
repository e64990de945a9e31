//! A plugin file replaced under load: no request may fail.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    figures::{Figure, Goal, Report, quantile},
    host::{Folder, Host, KEY, Log},
    load::{self, Load},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\nsource = \"log.wasm\"\n[plugin.options]\nlevel \
     = \"trace\"\n";
const SWAPS: u8 = 5;
const CONNECTIONS: usize = 32;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist/log.wasm");
    let original = fs::read(&built).context("plugins/dist/log.wasm is not built")?;
    let folder = Folder::with(1, PLUGINS, "")?;
    folder.write("log.wasm", &original)?;
    let host = Host::start(&folder, &["--store", "memory"], Log::Read)?;
    let load = Load {
        address: host.address,
        request: load::post(KEY, "", r#"{"channel":"log","message":"disk almost full"}"#),
        connections: CONNECTIONS,
        status: 200,
    };
    let mut quiet = load.run(Duration::from_secs(3))?.all_right()?;
    let over = Arc::new(AtomicBool::new(false));
    let loading = {
        let (load, over) = (load.clone(), Arc::clone(&over));
        thread::spawn(move || -> Result<_> {
            let goes_on = move |_, _| !over.load(Ordering::Relaxed);
            load::runtime()?.block_on(load.drive(goes_on))
        })
    };
    for swap in 1..=SWAPS {
        thread::sleep(Duration::from_millis(200));
        folder.write("log.wasm", variant(&original, swap))?;
        host.line_with("reload: in force")?;
    }
    thread::sleep(Duration::from_millis(200));
    over.store(true, Ordering::Relaxed);
    let mut tally = loading.join().map_err(|_| anyhow!("the load panicked"))??;
    if let Some(error) = &tally.first_error {
        report.note(&format!("the first failure: {error}"));
    }
    report.note(&format!(
        "{SWAPS} swaps under {} requests; the longest request took {:.1} ms",
        tally.answered,
        quantile(&mut tally.latencies_us, 1.0) / 1e3
    ));
    report.add(Figure {
        name: "failed requests over 5 plugin swaps",
        unit: "requests",
        value: tally.wrong as f64,
        baseline: None,
        goal: Goal::Zero,
    });
    report.add(Figure {
        name: "p99 over 5 plugin swaps",
        unit: "µs",
        value: quantile(&mut tally.latencies_us, 0.99),
        baseline: Some(("without a swap", quantile(&mut quiet.latencies_us, 0.99))),
        goal: Goal::None,
    });
    Ok(())
}

/// The same component as another file: with a custom section that nobody reads.
fn variant(original: &[u8], number: u8) -> Vec<u8> {
    const NAME: &[u8] = b"bench";
    const CUSTOM: u8 = 0;
    let mut file = original.to_vec();
    file.extend([CUSTOM, 7, 5]);
    file.extend(NAME);
    file.push(number);
    file
}
