//! Notices that a file may have changed. It only signals; whether something has changed is decided
//! by the files' digests, so a signal too many costs a read and nothing else.
//!
//! Folders are watched, not files: editors replace a file by renaming another one over it, and
//! Kubernetes swaps a symbolic link beside it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::Trigger;
use crate::{
    generation::{Current, Generation},
    limits,
};

/// Watches until `stopping`: sends a [`Trigger::Files`] after each burst of changes, and one every
/// [`limits::RELOAD_POLL`] for file systems that send no events.
pub async fn watch(
    config_dir: PathBuf,
    current: Arc<Current>,
    triggers: mpsc::Sender<Trigger>,
    stopping: CancellationToken,
) {
    // One signal is as good as many.
    let (changed_in, mut changed) = mpsc::channel::<()>(1);
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let matters = match &event {
            Ok(event) => !matches!(event.kind, EventKind::Access(_)),
            // The watcher lost track: look.
            Err(_) => true,
        };
        if matters {
            // Full: a signal is waiting already.
            let _full = changed_in.try_send(());
        }
    });
    let mut watcher = match watcher {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(
                "files cannot be watched, so they are looked at every {} s: {error}",
                limits::RELOAD_POLL.as_secs()
            );
            None
        }
    };
    let mut watched: BTreeSet<PathBuf> = BTreeSet::new();
    let mut published = current.subscribe();
    if let Some(watcher) = &mut watcher {
        follow(watcher, &mut watched, &folders(&config_dir, &current.load()));
    }
    loop {
        tokio::select! {
            Ok(()) = published.changed() => {
                // The new generation may name files in other folders, and one of them may have
                // changed between the reading and this moment.
                let Some(watcher) = &mut watcher else { continue };
                if !follow(watcher, &mut watched, &folders(&config_dir, &current.load())) {
                    continue;
                }
            }
            () = stopping.cancelled() => return,
            Some(()) = changed.recv() => {
                settle(&mut changed).await;
            }
            () = tokio::time::sleep(limits::RELOAD_POLL) => {}
        }
        if triggers.send(Trigger::Files).await.is_err() {
            return;
        }
    }
}

/// Waits until a burst of changes is over.
async fn settle(changed: &mut mpsc::Receiver<()>) {
    let longest = Instant::now() + limits::RELOAD_QUIET_MAX;
    loop {
        let quiet = (Instant::now() + limits::RELOAD_QUIET).min(longest);
        match timeout_at(quiet, changed.recv()).await {
            Ok(Some(())) if Instant::now() < longest => {}
            _ => return,
        }
    }
}

fn folders(config_dir: &Path, generation: &Generation) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::from([config_dir.to_owned()]);
    folders.extend(generation.files.iter().filter_map(|path| path.parent()).map(Path::to_owned));
    folders
}

/// Watches what is wanted and nothing else. True when something new is watched.
fn follow(
    watcher: &mut notify::RecommendedWatcher,
    watched: &mut BTreeSet<PathBuf>,
    wanted: &BTreeSet<PathBuf>,
) -> bool {
    let mut added = false;
    for gone in watched.difference(wanted) {
        // The folder may not exist any more, which is the end of its watch as well.
        drop(watcher.unwatch(gone));
    }
    watched.retain(|folder| wanted.contains(folder));
    for new in wanted {
        if watched.contains(new) {
            continue;
        }
        match watcher.watch(new, RecursiveMode::NonRecursive) {
            Ok(()) => added |= watched.insert(new.clone()),
            Err(error) => {
                tracing::debug!("{} cannot be watched now: {error}", new.display());
            }
        }
    }
    added
}
