//! A swapped plugin is on probation until its first success. If it crashes before that, what ran
//! before is put back and the file is not tried again until it changes.

use std::{collections::BTreeMap, sync::Arc};

use super::{Outcome, Reloader};
use crate::{
    config::Problem,
    generation::{Current, Generation, Refusal, Standing},
    ids::{Digest, PluginName},
    sandbox::LoadedPlugin,
};

/// News of a plugin on probation.
#[derive(Debug)]
pub enum Trial {
    /// Its first success.
    Passed(PluginName, Digest),
    /// It has crashed too often.
    Failed {
        /// Which.
        plugin: PluginName,
        /// Which file.
        digest: Digest,
        /// How it crashed the last time.
        why: String,
    },
}

impl Reloader {
    /// The next generation goes into force: remembers what ran before.
    pub(super) fn remember(
        &mut self,
        running: &Generation,
        next: &Generation,
        mut bytes: BTreeMap<PluginName, Arc<[u8]>>,
    ) {
        for (name, plugin) in &next.plugins {
            let before = running.plugins.get(name);
            if before.is_some_and(|before| before.digest() == plugin.digest()) {
                continue;
            }
            let history = self.plugins.entry(name.clone()).or_default();
            if let Some(before) = before.filter(|before| before.is_proven()) {
                history.previous = Some(Arc::clone(before));
            }
            history.unproven = bytes.remove(name);
        }
    }

    /// Finds out which files were kept before this start.
    pub(super) async fn look_at_kept(&mut self, first: &Generation) {
        let last_good = self.parts.last_good.clone();
        let names: Vec<PluginName> = first.plugins.keys().cloned().collect();
        let read = tokio::task::spawn_blocking(move || {
            let digest = |name: &PluginName| Some(Digest::of(&last_good.read(name)?));
            names.into_iter().map(|name| (digest(&name), name)).collect::<Vec<_>>()
        });
        match read.await {
            Ok(found) => {
                for (digest, name) in found {
                    self.plugins.entry(name).or_default().kept = digest;
                }
            }
            Err(error) => tracing::warn!("the last good files could not be looked at: {error}"),
        }
    }

    /// How each plugin of `next` comes to run what it runs. `refused`: which run an earlier file.
    pub(super) fn standings(
        &self,
        next: &Generation,
        running: Option<&Generation>,
        mut refused: BTreeMap<PluginName, Refusal>,
    ) -> BTreeMap<PluginName, Standing> {
        let standing = |(name, plugin): (&PluginName, &Arc<LoadedPlugin>)| {
            let before = running
                .filter(|running| {
                    let before = running.plugins.get(name);
                    before.is_some_and(|before| before.digest() == plugin.digest())
                })
                .and_then(|running| running.standings.get(name));
            let history = self.plugins.get(name);
            let previous = history.and_then(|history| history.previous.as_ref());
            let standing = Standing {
                since: before.map_or(next.since, |before| before.since),
                last_good: previous
                    .map(|previous| previous.digest())
                    .or_else(|| history.and_then(|history| history.kept)),
                refused: refused.remove(name),
            };
            (name.clone(), standing)
        };
        next.plugins.iter().map(standing).collect()
    }

    /// A new file did not pass its canary: it is not tried again until it changes.
    pub(super) fn refuse(&mut self, running: &Generation, next: &Generation, why: &[Problem]) {
        for (name, plugin) in &next.plugins {
            let same =
                running.plugins.get(name).is_some_and(|before| before.digest() == plugin.digest());
            let named = format!("plugin \"{name}\"");
            if let Some(problem) = why.iter().find(|problem| problem.message.starts_with(&named))
                && !same
            {
                let refused = Some((plugin.digest(), problem.message.clone()));
                self.plugins.entry(name.clone()).or_default().refused = refused;
            }
        }
    }

    /// Acts on the news.
    pub(super) async fn judge(&mut self, current: &Current, trial: Trial) -> Outcome {
        match trial {
            Trial::Passed(plugin, digest) => {
                self.keep(current, plugin, digest).await;
                Outcome::Unchanged
            }
            Trial::Failed { plugin, digest, why } => {
                self.roll_back(current, plugin, digest, why).await
            }
        }
    }

    /// The file has worked: a copy is kept for the day when it is overwritten with a bad one.
    async fn keep(&mut self, current: &Current, plugin: PluginName, digest: Digest) {
        let running = current.load();
        if running.plugins.get(&plugin).is_none_or(|now| now.digest() != digest) {
            return;
        }
        let Some(history) = self.plugins.get_mut(&plugin) else { return };
        history.refused = None;
        let Some(bytes) = history.unproven.take() else { return };
        if Digest::of(&bytes) != digest {
            return;
        }
        let last_good = self.parts.last_good.clone();
        let name = plugin.clone();
        let kept = tokio::task::spawn_blocking(move || last_good.keep(&name, &bytes)).await;
        match kept {
            Ok(Ok(())) => {
                history.kept = Some(digest);
                tracing::debug!(plugin = %plugin, "kept as the last good file");
            }
            Ok(Err(error)) => {
                tracing::warn!(plugin = %plugin, "a copy of its file could not be kept: {error}");
            }
            Err(error) => tracing::warn!(plugin = %plugin, "a copy could not be kept: {error}"),
        }
    }

    async fn roll_back(
        &mut self,
        current: &Current,
        plugin: PluginName,
        digest: Digest,
        why: String,
    ) -> Outcome {
        let running = current.load();
        if running.plugins.get(&plugin).is_none_or(|now| now.digest() != digest) {
            return Outcome::Unchanged;
        }
        let history = self.plugins.entry(plugin.clone()).or_default();
        history.refused = Some((digest, why.clone()));
        history.unproven = None;
        let previous = match history.previous.take() {
            Some(previous) => Some(previous),
            None => self.last_good(&running, &plugin, digest).await,
        };
        let Some(previous) = previous else {
            tracing::error!(
                plugin = %plugin,
                "it crashes and there is no earlier file to go back to: {why}"
            );
            return Outcome::Unchanged;
        };
        let back_to = previous.digest();
        let mut plugins = running.plugins.clone();
        plugins.insert(plugin.clone(), previous);
        let mut next = Generation::new(
            running.number + 1,
            self.parts.clock.now(),
            Arc::clone(&running.config),
            plugins,
        );
        next.files.clone_from(&running.files);
        let why =
            format!("{digest} crashed before its first success ({why}); {back_to} runs again");
        next.problems.clone_from(&running.problems);
        next.problems.push(Problem {
            origin: running.config.plugins.get(&plugin).map(|config| config.origin.clone()),
            message: format!("plugin \"{plugin}\": {why}"),
        });
        let mut refused: BTreeMap<_, _> = running
            .standings
            .iter()
            .filter_map(|(name, standing)| Some((name.clone(), standing.refused.clone()?)))
            .collect();
        refused.insert(plugin.clone(), Refusal { digest: Some(digest), why: why.clone() });
        next.plugin_failures.clone_from(&running.plugin_failures);
        next.standings = self.standings(&next, Some(&running), refused);
        // The publication is reported as what it is, and not as an ordinary change.
        let _applied = self.publish(current, next, String::new());
        Outcome::RolledBack { plugin, why }
    }

    /// The copy on disk, if it is another file than the one that failed.
    async fn last_good(
        &self,
        running: &Generation,
        plugin: &PluginName,
        failed: Digest,
    ) -> Option<Arc<LoadedPlugin>> {
        let config = running.config.plugins.get(plugin)?;
        let last_good = self.parts.last_good.clone();
        let name = plugin.clone();
        let bytes = tokio::task::spawn_blocking(move || last_good.read(&name)).await.ok()??;
        if Digest::of(&bytes) == failed {
            return None;
        }
        match self.load(config, bytes, config.digest).await {
            Ok(loaded) => Some(loaded),
            Err(error) => {
                tracing::error!(plugin = %plugin, "its last good file cannot be used: {error}");
                None
            }
        }
    }
}
