//! `fallback = [...]`: channels of the same tenant, and never in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    config::{
        findings::{At, Findings},
        model::{Channel, Origin},
        suggest::Suggester,
    },
    ids::ChannelName,
};

/// A `[[channel]]` of a tenant.
pub(super) struct Entry {
    pub(super) origin: Origin,
    /// None when it is not usable.
    pub(super) channel: Option<Channel>,
    pub(super) fallback: Vec<At<ChannelName>>,
}

/// The entries of one tenant.
pub(super) type Entries = BTreeMap<ChannelName, Entry>;

/// The usable channels of a tenant with fallbacks that exist. `core` are the channels that every
/// tenant has; none when they are not known.
///
/// A channel whose fallback is wrong still delivers by itself: it is kept, without that fallback.
pub(super) fn checked(
    mut entries: Entries,
    core: Option<&BTreeSet<ChannelName>>,
    suggester: &Suggester,
    findings: &mut Findings,
) -> BTreeMap<ChannelName, Arc<Channel>> {
    if entries.values().any(|entry| !entry.fallback.is_empty()) {
        if let Some(core) = core {
            check_names(&entries, core, suggester, findings);
        }
        remove_circles(&mut entries, findings);
    }
    let usable: BTreeSet<ChannelName> = entries
        .iter()
        .filter(|(_, entry)| entry.channel.is_some())
        .map(|(name, _)| name)
        .chain(core.into_iter().flatten().filter(|name| !entries.contains_key(*name)))
        .cloned()
        .collect();
    let with_fallback = |(name, entry): (ChannelName, Entry)| {
        let mut channel = entry.channel?;
        let fallback = entry.fallback.into_iter().map(|fallback| fallback.value);
        channel.fallback = fallback.filter(|to| *to != name && usable.contains(to)).collect();
        Some((name, Arc::new(channel)))
    };
    entries.into_iter().filter_map(with_fallback).collect()
}

fn check_names(
    entries: &Entries,
    core: &BTreeSet<ChannelName>,
    suggester: &Suggester,
    findings: &mut Findings,
) {
    for (name, entry) in entries {
        for to in &entry.fallback {
            if !entries.contains_key(&to.value) && !core.contains(&to.value) {
                let known = entries.keys().filter(|known| *known != name).chain(core);
                let hint = suggester.hint(to.value.as_str(), known.map(ChannelName::as_str));
                findings.wrong(
                    &to.origin,
                    format!("fallback: this tenant has no channel \"{}\"; {hint}", to.value),
                );
            }
        }
    }
}

/// Walks the fallbacks and cuts each circle where it closes.
fn remove_circles(entries: &mut Entries, findings: &mut Findings) {
    let mut done: BTreeSet<ChannelName> = BTreeSet::new();
    let mut cut: Vec<(ChannelName, ChannelName)> = Vec::new();
    for start in entries.keys() {
        // The channels from `start` to the present one, each with its next fallback to look at. A
        // list, not recursion: an operator's file does not decide how deep this program's stack is.
        let mut path: Vec<(&ChannelName, usize)> = vec![(start, 0)];
        while let Some((name, next)) = path.pop() {
            if done.contains(name) {
                continue;
            }
            let Some(to) = entries.get(name).and_then(|entry| entry.fallback.get(next)) else {
                done.insert(name.clone());
                continue;
            };
            path.push((name, next + 1));
            match path.iter().position(|(on_path, _)| **on_path == to.value) {
                Some(from) => {
                    let circle = path.iter().skip(from).map(|(name, _)| name.as_str());
                    let circle: Vec<&str> = circle.chain([to.value.as_str()]).take(12).collect();
                    findings.wrong(
                        &to.origin,
                        format!(
                            "fallback goes in a circle: {}; remove one of these fallbacks",
                            circle.join(" -> ")
                        ),
                    );
                    cut.push((name.clone(), to.value.clone()));
                }
                None => {
                    if let Some((known, _)) = entries.get_key_value(&to.value) {
                        path.push((known, 0));
                    }
                }
            }
        }
    }
    for (from, to) in cut {
        if let Some(entry) = entries.get_mut(&from) {
            entry.fallback.retain(|fallback| fallback.value != to);
        }
    }
}
