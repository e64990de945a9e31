//! channels.toml, and the channels that core plugins give to everybody.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    context::Context,
    credentials,
    fallbacks::{self, Entries, Entry},
    options,
    plugins::Plugins,
    retry,
    tenants::Tenants,
    throttle, values,
};
use crate::{
    config::{
        CHANNELS_FILE, TENANTS_FILE,
        document::Document,
        fields::Fields,
        findings::At,
        model::{Channel, ChannelSecret, ONLY_SECRET, Object, Plugin, RetryPolicy, Scope},
    },
    ids::{ChannelName, PluginName, TenantId},
};

pub(super) const KEYS: &[&str] = &[
    "tenant_id",
    "name",
    "channel_type",
    "optional",
    "secrets",
    "provider_secret_env",
    "options",
    "fallback",
    "retry",
    "throttle",
];

/// Reads the file and gives the channels to their tenants. What comes back is valid and has no
/// tenant, because the tenant is not valid.
pub(super) fn load(
    plugins: &Plugins,
    tenants: &mut Tenants,
    context: &mut Context<'_>,
) -> Vec<Arc<Channel>> {
    let mut entries = Entries::new();
    match Document::read(context.folder, CHANNELS_FILE) {
        Ok(document) => read_all(&document, plugins, tenants, &mut entries, context),
        Err(problem) => context.findings.problem(problem),
    }
    add_core(plugins, tenants, &entries);
    let core = plugins.valid.values().filter(|plugin| plugin.scope == Scope::Core);
    let core: BTreeSet<ChannelName> =
        core.filter_map(|plugin| plugin.name.as_str().parse().ok()).collect();
    let core = (!plugins.unknown).then_some(&core);
    fallbacks::check(&mut entries, core, &context.suggester, &mut context.findings);
    let mut orphans = Vec::new();
    for ((id, name), entry) in entries {
        match (tenants.valid.get_mut(&id), entry.channel) {
            (Some(tenant), Some(channel)) => drop(tenant.channels.insert(name, channel)),
            (None, Some(channel)) => orphans.push(channel),
            (_, None) => {}
        }
    }
    orphans
}

fn read_all(
    document: &Document,
    plugins: &Plugins,
    tenants: &Tenants,
    entries: &mut Entries,
    context: &mut Context<'_>,
) {
    let Some(table) = document.parse(&mut context.findings) else { return };
    let root = Fields::root(document, &table);
    root.only(&["channel"], &context.suggester, &mut context.findings);
    for entry in root.tables("channel", "[[channel]]", &mut context.findings) {
        let mark = context.findings.mark();
        let optional = entry.flag("optional", false, &mut context.findings);
        let owner = owner(&entry, tenants, context);
        let plugin = plugin(&entry, plugins, context);
        let name = name(&entry, owner, entries, context);
        let fallback = entry.parsed_list::<ChannelName>("fallback", &mut context.findings);
        let fallback = fallback.unwrap_or_default();
        let channel = read(&entry, name.as_ref(), plugin, owner, (plugins, tenants), context);
        let usable = context.findings.settle(mark, optional);
        if let (Some(owner), Some(name)) = (owner, name) {
            let channel = channel.filter(|_| usable).map(Arc::new);
            entries.insert((owner, name.value), Entry { origin: name.origin, channel, fallback });
        }
    }
}

/// The tenant of an entry; none when there is no such tenant.
fn owner(entry: &Fields<'_>, tenants: &Tenants, context: &mut Context<'_>) -> Option<TenantId> {
    let findings = &mut context.findings;
    let written =
        entry.needed_text("tenant_id", "0198c0de-0000-7000-8000-000000000001", findings)?;
    let id = values::tenant_id("tenant_id", &written, findings)?;
    if !tenants.unknown && !tenants.named.contains_key(&id) {
        let known: Vec<String> = match context.suggester.may_compare(tenants.named.len()) {
            true => tenants.named.keys().map(TenantId::to_string).collect(),
            false => Vec::new(),
        };
        let id = id.to_string();
        let mend = match context.suggester.nearest(&id, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {near}?"),
            None => String::from("add a [[tenant]] with this id there, or correct the id"),
        };
        findings
            .wrong(&written.origin, format!("there is no tenant {id} in {TENANTS_FILE}; {mend}"));
        return None;
    }
    Some(id)
}

/// The plugin of an entry.
fn plugin(
    entry: &Fields<'_>,
    plugins: &Plugins,
    context: &mut Context<'_>,
) -> Option<At<PluginName>> {
    entry.needed_text("channel_type", "discord", &mut context.findings)?;
    let plugin = entry.parsed::<PluginName>("channel_type", &mut context.findings)?;
    plugins.check_enabled("channel_type", &plugin, context);
    Some(plugin)
}

/// The name of an entry, when it is a new one.
fn name(
    entry: &Fields<'_>,
    owner: Option<TenantId>,
    entries: &Entries,
    context: &mut Context<'_>,
) -> Option<At<ChannelName>> {
    let key = if entry.table.contains_key("name") { "name" } else { "channel_type" };
    let text = entry.table.get(key)?.get_ref().as_str();
    let origin = entry.origin_of(key);
    // What is wrong with `channel_type` is already written down.
    let name = match key {
        "name" => entry.parsed::<ChannelName>(key, &mut context.findings)?,
        _ => At { value: text?.parse().ok()?, origin },
    };
    if name.value.is_callbacks() {
        let message = format!("the name \"{}\" is the host's own; choose another", name.value);
        context.findings.wrong(&name.origin, message);
        return None;
    }
    let first = owner.and_then(|owner| entries.get(&(owner, name.value.clone())));
    if let Some(Entry { origin, .. }) = first {
        context.findings.wrong(
            &name.origin,
            format!(
                "this tenant already has a channel \"{}\" at {origin}; set another `name` for one \
                 of them",
                name.value
            ),
        );
        return None;
    }
    Some(name)
}

fn read(
    entry: &Fields<'_>,
    name: Option<&At<ChannelName>>,
    plugin_name: Option<At<PluginName>>,
    owner: Option<TenantId>,
    (plugins, tenants): (&Plugins, &Tenants),
    context: &mut Context<'_>,
) -> Option<Channel> {
    entry.only(KEYS, &context.suggester, &mut context.findings);
    let secrets = secrets(entry, context);
    let title = "[channel.options]";
    let own = options::read(entry, "options", title, context.environment, &mut context.findings);
    let retry = retry::read(entry, context);
    let throttle = throttle::read(entry, context);
    let plugin_name = plugin_name?;
    // One that is not valid has its own problem.
    let plugin = plugins.valid.get(&plugin_name.value)?;
    check_business(plugin, &plugin_name, owner, tenants, context);
    let general = general_options(plugin, owner?, plugins, tenants)?;
    Some(Channel {
        name: name?.value.clone(),
        plugin: plugin.name.clone(),
        options: options::merged(&general, own.as_ref()),
        secrets,
        // Filled in when all channels of the tenant are known.
        fallback: Vec::new(),
        retry,
        throttle,
        origin: entry.origin(),
    })
}

/// A business plugin is only for tenants that list it.
fn check_business(
    plugin: &Plugin,
    name: &At<PluginName>,
    owner: Option<TenantId>,
    tenants: &Tenants,
    context: &mut Context<'_>,
) {
    let Some(tenant) = owner.and_then(|owner| tenants.valid.get(&owner)) else { return };
    if plugin.scope == Scope::Business && !tenant.plugins.contains(&plugin.name) {
        context.findings.wrong(
            &name.origin,
            format!(
                "the plugin \"{}\" is for tenants that list it; add it to `plugins` of the tenant \
                 \"{}\" ({})",
                plugin.name, tenant.name, tenant.origin
            ),
        );
    }
}

fn secrets(entry: &Fields<'_>, context: &mut Context<'_>) -> BTreeMap<String, ChannelSecret> {
    let mut secrets = BTreeMap::new();
    let short = entry.text("provider_secret_env", &mut context.findings);
    let table = entry.table("secrets", "[channel.secrets]", &mut context.findings);
    if let (Some(short), Some(_)) = (&short, &table) {
        context.findings.wrong(
            &short.origin,
            "provider_secret_env is the short form of [channel.secrets]; write only one of them",
        );
    }
    if let Some(name) = short {
        let secret = credentials::variable_secret(&name, "provider_secret_env", context);
        secrets.extend(secret.map(|secret| (ONLY_SECRET.to_owned(), secret)));
    }
    let Some(table) = table else { return secrets };
    for key in table.table.keys() {
        let name: &str = key.get_ref();
        credentials::check_name(name, &table.origin_of(name), &mut context.findings);
        let secret = credentials::read(&table, name, context);
        secrets.extend(secret.map(|secret| (name.to_owned(), secret)));
    }
    secrets
}

/// The options of a plugin for a tenant.
fn general_options(
    plugin: &Plugin,
    owner: TenantId,
    plugins: &Plugins,
    tenants: &Tenants,
) -> Option<Arc<Object>> {
    let shared = plugins.options.get(&plugin.name)?;
    let own = tenants.options.get(&owner).and_then(|options| options.get(plugin.name.as_str()));
    Some(options::merged(shared, own))
}

/// Gives every tenant a channel of each core plugin. Tenants that change nothing share one.
fn add_core(plugins: &Plugins, tenants: &mut Tenants, entries: &Entries) {
    for plugin in plugins.valid.values().filter(|plugin| plugin.scope == Scope::Core) {
        let Ok(name) = plugin.name.as_str().parse::<ChannelName>() else { continue };
        let Some(shared_options) = plugins.options.get(&plugin.name) else { continue };
        let channel = |options: Arc<Object>| Channel {
            name: name.clone(),
            plugin: plugin.name.clone(),
            options,
            secrets: BTreeMap::new(),
            fallback: Vec::new(),
            retry: RetryPolicy::default(),
            throttle: None,
            origin: plugin.origin.clone(),
        };
        let shared = Arc::new(channel(Arc::clone(shared_options)));
        let ids: Vec<TenantId> = tenants.valid.keys().copied().collect();
        for id in ids {
            // A channel of the file comes first, even when it is not usable: what it was meant to
            // be is not known.
            if entries.contains_key(&(id, name.clone())) {
                continue;
            }
            let options = general_options(plugin, id, plugins, tenants);
            let Some(tenant) = tenants.valid.get_mut(&id) else { continue };
            let own = match options {
                Some(options) if !Arc::ptr_eq(&options, shared_options) => {
                    Arc::new(channel(options))
                }
                _ => Arc::clone(&shared),
            };
            tenant.channels.insert(name.clone(), own);
        }
    }
}
