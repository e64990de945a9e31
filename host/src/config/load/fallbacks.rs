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
    ids::{ChannelName, TenantId},
};

/// Channels of a circle that a message shows.
const SHOWN_MAX: usize = 10;

/// A `[[channel]]`.
pub(super) struct Entry {
    pub(super) origin: Origin,
    /// None when it is not usable.
    pub(super) channel: Option<Arc<Channel>>,
    pub(super) fallback: Vec<At<ChannelName>>,
}

/// One map for all: ten thousand maps with one entry each would take ten times the memory.
pub(super) type Entries = BTreeMap<(TenantId, ChannelName), Entry>;

/// Gives the channels those fallbacks that are usable. `core` are the channels that every tenant
/// has; none when they are not known.
///
/// A channel whose fallback is wrong still delivers by itself: it is kept, without that fallback.
pub(super) fn check(
    entries: &mut Entries,
    core: Option<&BTreeSet<ChannelName>>,
    suggester: &Suggester,
    findings: &mut Findings,
) {
    if let Some(core) = core {
        check_names(entries, core, suggester, findings);
    }
    let circles = circles(entries, findings);
    let is_core = |name: &ChannelName| core.is_some_and(|core| core.contains(name));
    let is_usable = |tenant: TenantId, to: &ChannelName| match entries.get(&(tenant, to.clone())) {
        Some(entry) => entry.channel.is_some(),
        None => is_core(to),
    };
    let mut usable: Vec<((TenantId, ChannelName), Vec<ChannelName>)> = Vec::new();
    for (key, entry) in entries.iter() {
        if entry.fallback.is_empty() {
            continue;
        }
        let names = entry.fallback.iter().map(|fallback| &fallback.value);
        let names = names
            .filter(|to| is_usable(key.0, to))
            .filter(|to| !circles.contains(&(key.0, key.1.clone(), (*to).clone())));
        usable.push((key.clone(), names.cloned().collect()));
    }
    for (key, fallback) in usable {
        if let Some(channel) = entries.get_mut(&key).and_then(|entry| entry.channel.as_mut()) {
            Arc::make_mut(channel).fallback = fallback;
        }
    }
}

fn check_names(
    entries: &Entries,
    core: &BTreeSet<ChannelName>,
    suggester: &Suggester,
    findings: &mut Findings,
) {
    for ((tenant, name), entry) in entries {
        for to in &entry.fallback {
            if core.contains(&to.value) || entries.contains_key(&(*tenant, to.value.clone())) {
                continue;
            }
            let known = entries.keys().filter(|(id, known)| id == tenant && known != name);
            let known = known.map(|(_, known)| known);
            let hint =
                suggester.hint(to.value.as_str(), known.chain(core).map(ChannelName::as_str));
            findings.wrong(
                &to.origin,
                format!("fallback: this tenant has no channel \"{}\"; {hint}", to.value),
            );
        }
    }
}

/// A fallback: the tenant, from which channel, to which.
type Edge = (TenantId, ChannelName, ChannelName);

/// Walks the fallbacks and gives the one at which each circle closes.
fn circles(entries: &Entries, findings: &mut Findings) -> BTreeSet<Edge> {
    let mut done: BTreeSet<&(TenantId, ChannelName)> = BTreeSet::new();
    let mut cut = BTreeSet::new();
    for (start, _) in entries.iter().filter(|(_, entry)| !entry.fallback.is_empty()) {
        // The channels from `start` to the present one, each with its next fallback to look at. A
        // list, not recursion: an operator's file does not decide how deep this program's stack is.
        let mut path = vec![(start, 0)];
        let mut on_path = BTreeSet::from([start]);
        while let Some((key, next)) = path.pop() {
            let fallback = entries.get(key).and_then(|entry| entry.fallback.get(next));
            let Some(to) = fallback.filter(|_| !done.contains(key)) else {
                done.insert(key);
                on_path.remove(key);
                continue;
            };
            path.push((key, next + 1));
            let Some((to_key, _)) = entries.get_key_value(&(key.0, to.value.clone())) else {
                continue;
            };
            if on_path.insert(to_key) {
                path.push((to_key, 0));
                continue;
            }
            let circle = path.iter().map(|(key, _)| *key).skip_while(|key| *key != to_key);
            let circle: Vec<&str> = circle.chain([to_key]).map(|(_, name)| name.as_str()).collect();
            let shown = match circle.len() {
                0..=SHOWN_MAX => circle.join(" -> "),
                count => {
                    format!("{} -> … ({count} channels)", circle.split_at(SHOWN_MAX).0.join(" -> "))
                }
            };
            let message =
                format!("fallback goes in a circle: {shown}; remove one of these fallbacks");
            findings.wrong(&to.origin, message);
            cut.insert((key.0, key.1.clone(), to.value.clone()));
        }
    }
    cut
}
