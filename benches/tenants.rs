//! Ten thousand tenants: how long a start takes, what it costs in memory, and how long a reload
//! with one change takes.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};

use crate::{
    figures::{Figure, Goal, Report, median, millis},
    host::{Folder, Host, Log},
};

const TENANTS: usize = 10_000;
const ROUNDS: usize = 5;
const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n\n[[plugin]]\nname = \
                       \"webhook\"\n[plugin.grants]\nhosts = [\"https://hooks.example.com\"]\n";
/// Beside the `log` channel that each tenant has.
const CHANNELS: &str = "[[channel]]\ntenant_id = \"%TENANT%\"\nchannel_type = \
                        \"webhook\"\n[channel.options]\nurl = \
                        \"https://hooks.example.com/%TENANT%\"\nunsigned = true\n\n";

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let one = Folder::with(1, PLUGINS, CHANNELS)?;
    let many = Folder::with(TENANTS, PLUGINS, CHANNELS)?;
    // The first start of each compiles the plugins; that is another figure.
    let compiling = Host::start(&one, &[], Log::Read)?.started_in.context("no time")?;
    drop(Host::start(&many, &[], Log::Read)?);
    report.note(&format!("first start, compiling two plugins: {:.0} ms", millis(compiling)));
    let (mut times, mut times_of_one) = (Vec::new(), Vec::new());
    let (mut memory, mut memory_of_one) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (folder, times, memory) in
            [(&one, &mut times_of_one, &mut memory_of_one), (&many, &mut times, &mut memory)]
        {
            let host = Host::start(folder, &[], Log::Read)?;
            times.push(millis(host.started_in.context("no time")?));
            memory.push(host.usage()?.rss_bytes / 1024.0 / 1024.0);
        }
    }
    report.add(Figure {
        name: "start with 10,000 tenants",
        unit: "ms",
        value: median(&mut times),
        baseline: Some(("with one tenant", median(&mut times_of_one))),
        goal: Goal::Below(3_000.0),
    });
    report.add(Figure {
        name: "memory with 10,000 tenants",
        unit: "MiB",
        value: median(&mut memory),
        baseline: Some(("with one tenant", median(&mut memory_of_one))),
        goal: Goal::Below(200.0),
    });
    reload(report, &many)
}

fn reload(report: &mut Report, folder: &Folder) -> Result<()> {
    let host = Host::start(folder, &[], Log::Read)?;
    let path = folder.path().join("tenants.toml");
    let original = fs::read_to_string(&path)?;
    let (mut times, mut parses) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let changed =
            original.replace("\"Tenant 5000\"", &format!("\"Tenant 5000, round {round}\""));
        let began = Instant::now();
        for name in ["plugins.toml", "tenants.toml", "channels.toml"] {
            let text = fs::read_to_string(folder.path().join(name))?;
            let _table: toml::Table = toml::from_str(&text)?;
        }
        parses.push(millis(began.elapsed()));
        folder.write("tenants.toml", &changed)?;
        let line = host.line_with("reload: in force")?;
        let line: serde_json::Value = serde_json::from_str(&line)?;
        times.push(line.get("took_ms").and_then(serde_json::Value::as_f64).context("no took_ms")?);
    }
    let peak = host.usage()?.rss_bytes_peak / 1024.0 / 1024.0;
    report.note(&format!("peak memory after {ROUNDS} reloads: {peak:.0} MiB"));
    report.add(Figure {
        name: "reload of 10,000 tenants, one change",
        unit: "ms",
        value: median(&mut times),
        baseline: Some(("parsing the three files", median(&mut parses))),
        goal: Goal::Below(500.0),
    });
    Ok(())
}
