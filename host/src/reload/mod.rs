//! The only place that publishes a generation. A changed file, a signal, an administrator's call, a
//! plugin that fails its probation: each becomes a trigger, and one task works them off in order.
//!
//! A reload builds the next generation beside the running one, proves it, and swaps once. Any error
//! before the swap leaves everything as it was and becomes a report.

mod prepare;
mod probation;
mod watch;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    clock::{Clock, UnixMs},
    config::{self, Config, Environment, Loaded as LoadedConfig, Problem},
    generation::{Current, Generation},
    ids::{Digest, PluginName},
    limits,
    plugin_files::LastGood,
    sandbox::{CompileCache, LoadedPlugin, Sandbox},
};

pub use probation::Trial;
pub use watch::watch;

/// Why a reload is tried.
#[derive(Debug)]
pub enum Trigger {
    /// A file may have changed.
    Files,
    /// SIGHUP.
    Signal,
    /// The operator asks, and wants to know what came of it.
    Asked(oneshot::Sender<Report>),
    /// A message came for a plugin that is loaded at its first use.
    Wanted(PluginName),
    /// A plugin has shown that it works, or that it does not.
    Trial(Trial),
}

/// What came of a reload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing is different.
    Unchanged,
    /// The new generation is in force.
    Applied {
        /// Its number.
        generation: u64,
        /// What changed, in one line.
        changes: String,
    },
    /// There are errors; nothing was changed.
    Rejected {
        /// All of them.
        errors: Vec<String>,
    },
    /// A plugin failed its probation and was put back.
    RolledBack {
        /// Which.
        plugin: PluginName,
        /// Why, and to what.
        why: String,
    },
}

/// One reload, for the record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// When.
    pub at: UnixMs,
    /// How long it took.
    pub took: Duration,
    /// What came of it.
    pub outcome: Outcome,
}

/// Whoever wants to know of every reload that did something.
pub trait Observer: Send + Sync + 'static {
    /// A reload is over.
    fn reloaded(&self, report: &Report, generation: &Generation);
}

/// What reloading works with.
pub struct Parts {
    /// The folder of the three files.
    pub config_dir: PathBuf,
    /// Where plugins run.
    pub sandbox: Arc<Sandbox>,
    /// Compiled plugins.
    pub cache: Option<CompileCache>,
    /// Plugin files that have worked.
    pub last_good: LastGood,
    /// The time.
    pub clock: Clock,
    /// Start with what is valid and report the rest.
    pub degraded: bool,
}

/// What a plugin runs and ran.
#[derive(Default)]
struct PluginHistory {
    /// The bytes of the running file, until they are kept on disk.
    unproven: Option<Arc<[u8]>>,
    /// What ran before, and worked.
    previous: Option<Arc<LoadedPlugin>>,
    /// A file that failed, and why: not tried again until it changes.
    refused: Option<(Digest, String)>,
    /// The copy on disk of what worked last.
    kept: Option<Digest>,
}

/// Builds generations.
pub struct Reloader {
    parts: Parts,
    plugins: BTreeMap<PluginName, PluginHistory>,
    /// Lazy plugins that were asked for.
    wanted: BTreeSet<PluginName>,
    /// What the files were at the last try, successful or not.
    seen: Option<Digest>,
    /// The files that were read at the last try.
    known: BTreeSet<PathBuf>,
    /// Whether the last try was rejected, and nothing has mended it since.
    rejected: bool,
}

impl Reloader {
    /// A reloader that has loaded nothing.
    #[must_use]
    pub const fn new(parts: Parts) -> Self {
        Self {
            parts,
            plugins: BTreeMap::new(),
            wanted: BTreeSet::new(),
            seen: None,
            known: BTreeSet::new(),
            rejected: false,
        }
    }

    /// The first generation.
    ///
    /// # Errors
    /// Everything that is wrong, unless starting degraded was asked for.
    pub async fn first(&mut self) -> Result<Generation, Vec<Problem>> {
        let loaded = self.load_config().await?;
        self.seen = Some(loaded.fingerprint);
        let mut problems = loaded.problems;
        if !problems.is_empty() && !self.parts.degraded {
            // The plugins' errors too: an operator wants to hear everything at once.
            let prepared = self.prepare(&loaded.config, None).await;
            problems.extend(prepared.problems);
            return Err(problems);
        }
        let prepared = self.prepare(&loaded.config, None).await;
        problems.extend(prepared.problems);
        if !problems.is_empty() && !self.parts.degraded {
            return Err(problems);
        }
        let config = Arc::new(loaded.config);
        let mut generation = Generation::new(1, self.parts.clock.now(), config, prepared.plugins);
        generation.plugin_failures = prepared.failures;
        problems.extend(prepared.warnings);
        generation.problems = problems;
        generation.files = loaded.files;
        let canaries = self.canaries(&generation, None).await;
        if !canaries.is_empty() {
            if !self.parts.degraded {
                return Err(canaries);
            }
            // What is known to be wrong with a channel is not said again because it did not start.
            let known: BTreeSet<_> = generation
                .problems
                .iter()
                .map(|known| known.origin.as_ref().map(ToString::to_string))
                .collect();
            let news = canaries
                .into_iter()
                .filter(|new| !known.contains(&new.origin.as_ref().map(ToString::to_string)))
                .collect::<Vec<_>>();
            generation.problems.extend(news);
        }
        // What works from now on is kept, like a file that is swapped in later.
        for (name, bytes) in prepared.bytes {
            self.plugins.entry(name).or_default().unproven = Some(bytes);
        }
        self.look_at_kept(&generation).await;
        generation.standings = self.standings(&generation, None, prepared.refused);
        Ok(generation)
    }

    /// Works off triggers until there can be none any more.
    pub async fn run(
        mut self,
        current: Arc<Current>,
        observer: Arc<dyn Observer>,
        mut triggers: mpsc::Receiver<Trigger>,
    ) {
        while let Some(trigger) = triggers.recv().await {
            let began = Instant::now();
            let was_rejected = self.rejected;
            let mut asked = None;
            let outcome = match trigger {
                Trigger::Files => self.reload(&current, false).await,
                Trigger::Signal => {
                    self.forgive();
                    self.reload(&current, true).await
                }
                Trigger::Asked(reply) => {
                    asked = Some(reply);
                    self.forgive();
                    self.reload(&current, true).await
                }
                Trigger::Wanted(plugin) => self.load_wanted(&current, plugin).await,
                Trigger::Trial(trial) => self.judge(&current, trial).await,
            };
            match &outcome {
                Outcome::Rejected { .. } => self.rejected = true,
                Outcome::Applied { .. } => self.rejected = false,
                Outcome::Unchanged | Outcome::RolledBack { .. } => {}
            }
            let mended = was_rejected && !self.rejected;
            let report = Report { at: self.parts.clock.now(), took: began.elapsed(), outcome };
            say(&report, mended);
            if mended || report.outcome != Outcome::Unchanged {
                observer.reloaded(&report, &current.load());
            }
            if let Some(asked) = asked {
                // Whoever asked may have gone.
                drop(asked.send(report));
            }
        }
    }

    /// Reads everything again. Unless it is `forced`, files that were tried before as they are now
    /// are not tried again.
    async fn reload(&mut self, current: &Current, forced: bool) -> Outcome {
        let loaded = match self.load_config().await {
            Ok(loaded) => loaded,
            Err(problems) => return rejected(&problems),
        };
        if !forced && self.seen == Some(loaded.fingerprint) {
            return Outcome::Unchanged;
        }
        self.seen = Some(loaded.fingerprint);
        let running = current.load();
        let prepared = self.prepare(&loaded.config, Some(&running)).await;
        let problems = [loaded.problems, prepared.problems].concat();
        if !problems.is_empty() {
            return rejected(&problems);
        }
        let diff = config::diff(&running.config, &loaded.config);
        let swapped = swapped(&running, &prepared.plugins);
        if diff.is_empty()
            && swapped.is_empty()
            && prepared.warnings == running.problems
            && running.plugin_failures.is_empty()
        {
            self.rejected = false;
            return Outcome::Unchanged;
        }
        let config = Arc::new(loaded.config.sharing(&running.config));
        let mut next =
            Generation::new(running.number + 1, self.parts.clock.now(), config, prepared.plugins);
        next.problems = prepared.warnings;
        next.files = loaded.files;
        let canaries = self.canaries(&next, Some(&running)).await;
        if !canaries.is_empty() {
            self.refuse(&running, &next, &canaries);
            return rejected(&canaries);
        }
        self.remember(&running, &next, prepared.bytes);
        next.standings = self.standings(&next, Some(&running), prepared.refused);
        let mut changes = diff.to_string();
        if !swapped.is_empty() {
            changes = format!("{changes}; {}", swapped.join(", "));
        }
        self.publish(current, next, changes)
    }

    /// An operator who asks for a reload means the files that failed before, too.
    fn forgive(&mut self) {
        for history in self.plugins.values_mut() {
            history.refused = None;
        }
    }

    fn publish(&self, current: &Current, next: Generation, changes: String) -> Outcome {
        let generation = next.number;
        let next = Arc::new(next);
        current.publish(Arc::clone(&next));
        self.parts.sandbox.adopt(&next);
        Outcome::Applied { generation, changes }
    }

    async fn load_wanted(&mut self, current: &Current, plugin: PluginName) -> Outcome {
        if !self.wanted.insert(plugin) {
            return Outcome::Unchanged;
        }
        self.reload(current, true).await
    }

    /// Reads the files, off the async threads.
    async fn load_config(&mut self) -> Result<LoadedFiles, Vec<Problem>> {
        let dir = self.parts.config_dir.clone();
        let known = self.known.clone();
        let result = tokio::task::spawn_blocking(move || read_steadily(&dir, known)).await;
        let loaded = result.unwrap_or_else(|error| {
            let message = format!("reading the configuration failed: {error}");
            Err(vec![Problem { origin: None, message }])
        })?;
        self.known.clone_from(&loaded.files);
        Ok(loaded)
    }
}

/// How often files that change while they are read are read again.
const READS_MAX: usize = 5;

/// Reads the configuration so that its fingerprint is of the very content that was read: a file that
/// changes between the two would otherwise be taken for read, and its change never be seen. `known`:
/// the files that the configuration came from the last time. Blocking.
fn read_steadily(dir: &Path, known: BTreeSet<PathBuf>) -> Result<LoadedFiles, Vec<Problem>> {
    let dotenv = dir.join(config::DOTENV_FILE);
    let own = [config::PLUGINS_FILE, config::TENANTS_FILE, config::CHANNELS_FILE];
    let own: BTreeSet<PathBuf> =
        own.iter().map(|name| dir.join(name)).chain([dotenv.clone()]).collect();
    let mut files = &own | &known;
    let mut reads = 0;
    loop {
        let before = fingerprint(&files);
        let environment =
            Environment::of_process(Some(&dotenv)).map_err(|problem| vec![problem])?;
        let loaded = config::load(dir, &environment);
        let named = &own | &loaded.files;
        let steady = named == files && fingerprint(&files) == before;
        reads += 1;
        if steady || reads == READS_MAX {
            // Still restless: with the fingerprint from before the next look reads once more.
            let LoadedConfig { config, problems, .. } = loaded;
            return Ok(LoadedFiles { config, problems, files: named, fingerprint: before });
        }
        files = named;
    }
}

/// The configuration as it is on disk, with a fingerprint of all files it comes from.
struct LoadedFiles {
    config: Config,
    problems: Vec<Problem>,
    files: BTreeSet<PathBuf>,
    fingerprint: Digest,
}

/// Changes whenever one of the files changes, comes or goes. Blocking.
fn fingerprint(files: &BTreeSet<PathBuf>) -> Digest {
    let mut all = Vec::new();
    for path in files {
        all.extend_from_slice(path.as_os_str().as_encoded_bytes());
        // A file that cannot be read counts as one without content; loading says what is wrong.
        all.extend_from_slice(&content(path).map_or([0; 32], |digest| digest.0));
    }
    Digest::of(&all)
}

/// The digest of a file's content. Of what is larger than any file may be (and will be refused)
/// only size and time count, so that it is not taken in.
fn content(path: &Path) -> io::Result<Digest> {
    let mut file = File::open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > limits::CONFIG_FILE_BYTES_MAX {
        return Ok(Digest::of(format!("{} {:?}", meta.len(), meta.modified()?).as_bytes()));
    }
    let mut bytes = Vec::new();
    file.by_ref().take(limits::CONFIG_FILE_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(Digest::of(&bytes))
}

fn rejected(problems: &[Problem]) -> Outcome {
    Outcome::Rejected { errors: problems.iter().map(ToString::to_string).collect() }
}

/// The plugins that are new or whose file is another one than before, for people.
fn swapped(running: &Generation, plugins: &BTreeMap<PluginName, Arc<LoadedPlugin>>) -> Vec<String> {
    let news = |(name, plugin): (&PluginName, &Arc<LoadedPlugin>)| {
        let version = &plugin.manifest().version;
        match running.plugins.get(name) {
            None => Some(format!("loaded {name} {version}")),
            Some(before) if before.digest() == plugin.digest() => None,
            Some(_) => Some(format!("swapped {name} {version}")),
        }
    };
    plugins.iter().filter_map(news).collect()
}

fn say(report: &Report, mended: bool) {
    let took_ms = u64::try_from(report.took.as_millis()).unwrap_or(u64::MAX);
    match &report.outcome {
        Outcome::Unchanged if mended => {
            tracing::info!(took_ms, "reload: mended, the files say again what is in force");
        }
        Outcome::Unchanged => tracing::debug!(took_ms, "reload: nothing has changed"),
        Outcome::Applied { generation, changes } => {
            tracing::info!(took_ms, generation, "reload: in force: {changes}");
        }
        Outcome::Rejected { errors } => {
            for error in errors {
                tracing::error!("reload: {error}");
            }
            tracing::error!(
                took_ms,
                errors = errors.len(),
                "reload: rejected, nothing was changed; mend the files and they are read again"
            );
        }
        Outcome::RolledBack { plugin, why } => {
            tracing::error!(took_ms, plugin = %plugin, "reload: rolled back: {why}");
        }
    }
}

impl fmt::Debug for Reloader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reloader").finish_non_exhaustive()
    }
}
