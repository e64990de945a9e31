//! A new instance of the `log` plugin, against a call of one that is there; and loading all shipped
//! channels when they have been compiled before.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow};
use conductor::{
    clock::Clock,
    egress::{Denial, Egress, FetchError},
    envelope::Envelope,
    generation::Generation,
    ids::{NotificationId, PluginName, TenantId},
    observe::HealthBoard,
    plugin_files::{BUILTIN, LastGood},
    reload::{Parts, Reloader},
    sandbox::{
        Answer, CompileCache, Engine, Fault, FaultKind, GuestBounds, LoadedPlugin, Observer,
        Problem, Refusal, Report as CallReport, Sandbox, SendCall, Usage,
    },
    store::{Lane, Priority},
    tasks::Tasks,
};
use tokio::sync::oneshot;

use crate::{
    figures::{Figure, Goal, Report, median, micros, millis, quantile},
    host::{Folder, tenant_id},
};

const PLUGINS: &str = "[[plugin]]\nname = \"log\"\nscope = \"core\"\n[plugin.options]\nlevel = \
                       \"trace\"\n";
const TIMES: usize = 2_000;
const LOADS: usize = 9;

pub(crate) fn run(report: &mut Report) -> Result<()> {
    let folder = Folder::with(1, PLUGINS, "")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let (sandbox, generation) = load(&folder).await?;
        let lane = Lane { tenant: TenantId(tenant_id(0).parse()?), channel: "log".parse()? };
        let (mut starts, mut calls) = (Vec::new(), Vec::new());
        // In turn, so that whatever else the machine does falls on both.
        for _ in 0..TIMES {
            let start = sandbox.probe_start(&generation, &lane).await;
            starts.push(micros(start.map_err(|why| anyhow!(why))?));
            calls.push(micros(call(&sandbox, &generation, &lane).await?));
        }
        report.note(&format!("p99 of a start: {:.0} µs", quantile(&mut starts, 0.99)));
        report.add(Figure {
            name: "instantiate and initialize, log plugin",
            unit: "µs",
            value: median(&mut starts),
            baseline: Some(("send on a warm instance", median(&mut calls))),
            goal: Goal::Below(200.0),
        });
        load_all(report).await
    })
}

/// All shipped channels one after the other, each time in an engine of its own as after a start of
/// the host: from the file's bytes to a plugin that has described itself.
async fn load_all(report: &mut Report) -> Result<()> {
    let folder = Folder::new()?;
    let mut took = Vec::new();
    // The first one compiles.
    for _ in 0..=LOADS {
        let engine = Engine::new(GuestBounds::default()).map_err(|error| anyhow!("{error:#}"))?;
        let cache = CompileCache::open(&folder.path().join("compiled"), &engine)?;
        let began = Instant::now();
        for (name, bytes) in BUILTIN {
            let bytes = Arc::from(*bytes);
            LoadedPlugin::load(&engine, Some(&cache), name.parse()?, bytes, None).await?;
        }
        took.push(millis(began.elapsed()));
    }
    let compiling = took.remove(0);
    report.note(&format!("{} channels; with nothing compiled {compiling:.0} ms", BUILTIN.len()));
    report.add(Figure {
        name: "load all channels, compiled before",
        unit: "ms",
        value: median(&mut took),
        baseline: None,
        goal: Goal::Below(100.0),
    });
    Ok(())
}

async fn load(folder: &Folder) -> Result<(Arc<Sandbox>, Generation)> {
    let clock = Clock::system();
    let tasks = Tasks::new(Arc::new(HealthBoard::default()), clock.clone());
    let engine = Engine::new(GuestBounds::default()).map_err(|error| anyhow!("{error:#}"))?;
    let egress = Egress::new(&[]).map_err(|error| anyhow!("{error}"))?;
    let sandbox = Sandbox::new(Arc::clone(&engine), egress, Arc::new(Nobody), tasks);
    let mut reloader = Reloader::new(Parts {
        config_dir: folder.path().to_owned(),
        sandbox: Arc::clone(&sandbox),
        cache: CompileCache::open(&folder.path().join("compiled"), &engine).ok(),
        last_good: LastGood::open(folder.path().join("plugins"))?,
        clock,
        degraded: false,
    });
    let generation = reloader.first().await.map_err(|problems| {
        anyhow!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    })?;
    Ok((sandbox, generation))
}

/// One `send`, from the hand-over to the report.
async fn call(sandbox: &Sandbox, generation: &Generation, lane: &Lane) -> Result<Duration> {
    let binding = sandbox.binding(generation, lane)?;
    let (report_in, report) = oneshot::channel::<CallReport>();
    let call = SendCall {
        id: NotificationId::generate(),
        generation: 0,
        attempt: 1,
        priority: Priority::Normal,
        created_at: String::from("2026-11-21T18:00:00.000Z"),
        expires_at: None,
        envelope: Envelope { message: String::from("disk almost full"), ..Envelope::default() },
    };
    binding.submit(call, Box::new(Reply(report_in))).map_err(|refused| anyhow!("{refused:?}"))?;
    Ok(report.await.context("no report")?.took)
}

struct Reply(oneshot::Sender<CallReport>);

impl Answer for Reply {
    fn called(self: Box<Self>, report: CallReport) {
        // Who asked waits for it.
        drop(self.0.send(report));
    }
    fn refused(self: Box<Self>) {}
}

/// Counts nothing.
struct Nobody;

impl Observer for Nobody {
    fn instance_started(&self, _plugin: &PluginName) {}
    fn call(&self, _plugin: &PluginName, _usage: &Usage) {}
    fn fetched(&self, _plugin: &PluginName, _answer: std::result::Result<u16, &FetchError>) {}
    fn denied(&self, _lane: &Lane, _plugin: &PluginName, _denial: &Denial) {}
    fn revealed(&self, _lane: &Lane, _plugin: &PluginName, _secret: &str, _granted: bool) {}
    fn fault(&self, _plugin: &PluginName, _kind: FaultKind) {}
    fn quarantined(&self, _lane: &Lane, _plugin: &PluginName, _fault: &Fault) -> Box<dyn Send> {
        Box::new(())
    }
    fn released(&self, _lane: &Lane, _plugin: &PluginName, _why: &str) {}
    fn connection_stopped(
        &self,
        _lane: &Lane,
        _plugin: &PluginName,
        _problem: &Problem,
    ) -> Box<dyn Send> {
        Box::new(())
    }
    fn connection_released(&self, _lane: &Lane, _plugin: &PluginName, _why: &str) {}
    fn instance_ended(&self, _plugin: &PluginName) {}
    fn refused(&self, _plugin: &PluginName, _what: Refusal) {}
    fn proven(&self, _plugin: &LoadedPlugin) {}
    fn probation_failed(&self, _plugin: &LoadedPlugin, _fault: &Fault) {}
}
