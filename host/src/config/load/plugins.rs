//! plugins.toml.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use super::{context::Context, grants, options};
use crate::{
    config::{
        PLUGINS_FILE,
        document::Document,
        fields::Fields,
        findings::At,
        model::{Object, Origin, Plugin, PluginLimits, PluginSource, Requirement, Scope},
        suggest::listed,
    },
    ids::{Digest, PluginName},
    limits,
};

pub(super) const KEYS: &[&str] = &[
    "name", "enabled", "source", "digest", "scope", "requires", "lazy", "options", "grants",
    "limits",
];
const LIMIT_KEYS: &[&str] =
    &["memory_mib", "wall_ms", "cpu_ms", "instances_max", "in_flight_max", "egress_max"];
const MIB: usize = 1024 * 1024;

/// What plugins.toml says.
#[derive(Default)]
pub(super) struct Plugins {
    /// The enabled and valid ones.
    pub(super) valid: BTreeMap<PluginName, Arc<Plugin>>,
    /// The options of each valid one, shared by all channels that change nothing.
    pub(super) options: BTreeMap<PluginName, Arc<Object>>,
    /// All that are named, and where, and whether they are enabled; names in it that are not
    /// `valid` are no news when something else names them.
    pub(super) named: BTreeMap<PluginName, (Origin, bool)>,
    /// The file could not be read: nothing can be said about any name.
    pub(super) unknown: bool,
}

impl Plugins {
    /// Whether `name` is a plugin, enabled or not, valid or not; if not that is written down.
    pub(super) fn check_name(&self, key: &str, name: &At<PluginName>, context: &mut Context<'_>) {
        if !self.unknown && !self.named.contains_key(&name.value) {
            let known = self.named.keys().map(PluginName::as_str);
            let hint = context.suggester.hint(name.value.as_str(), known);
            context.findings.wrong(
                &name.origin,
                format!(
                    "{key}: there is no plugin \"{}\" in {PLUGINS_FILE}; {hint}; or add it there as \
                     a [[plugin]], with its `source` unless it is built in",
                    name.value
                ),
            );
        }
    }

    /// Whether `name` is an enabled plugin; if not that is written down.
    pub(super) fn check_enabled(
        &self,
        key: &str,
        name: &At<PluginName>,
        context: &mut Context<'_>,
    ) {
        self.check_name(key, name, context);
        if let Some((origin, false)) = self.named.get(&name.value) {
            let enabled = self.named.iter().filter(|(_, (_, enabled))| *enabled);
            let enabled = listed(enabled.map(|(name, _)| name.as_str()));
            context.findings.wrong(
                &name.origin,
                format!(
                    "{key}: the plugin \"{}\" is disabled at {origin}; set enabled = true there or \
                     use another one (enabled: {enabled})",
                    name.value
                ),
            );
        }
    }
}

/// Reads the file.
pub(super) fn load(context: &mut Context<'_>) -> Plugins {
    let mut plugins = Plugins::default();
    let document = match Document::read(context.folder, PLUGINS_FILE) {
        Ok(document) => document,
        Err(problem) => {
            context.findings.problem(problem);
            return Plugins { unknown: true, ..Plugins::default() };
        }
    };
    let Some(table) = document.parse(&mut context.findings) else {
        return Plugins { unknown: true, ..Plugins::default() };
    };
    let root = Fields::root(&document, &table);
    root.only(&["plugin"], &context.suggester, &mut context.findings);
    let entries = root.tables("plugin", "[[plugin]]", &mut context.findings);
    let mut enabled = Vec::new();
    for entry in &entries {
        if let Some(name) = name(entry, &mut plugins, context) {
            enabled.push((entry, name));
        }
    }
    let mut required: Vec<(PluginName, Origin, BTreeSet<PluginName>)> = Vec::new();
    for (entry, name) in enabled {
        let Some(plugin) = read(entry, name, &plugins, context) else { continue };
        let names = plugin.requires.iter().map(|required| required.plugin.clone()).collect();
        required.push((plugin.name.clone(), plugin.origin.clone(), names));
        plugins.options.insert(plugin.name.clone(), Arc::new(plugin.options.clone()));
        plugins.valid.insert(plugin.name.clone(), Arc::new(plugin));
    }
    drop_incomplete(&mut plugins, required, context);
    plugins
}

/// The name of an entry, when it is a new one; none for one that is disabled.
fn name(
    entry: &Fields<'_>,
    plugins: &mut Plugins,
    context: &mut Context<'_>,
) -> Option<PluginName> {
    let findings = &mut context.findings;
    let enabled = entry.flag("enabled", true, findings);
    entry.needed_text("name", "discord", findings)?;
    let name = entry.parsed::<PluginName>("name", findings)?;
    if let Some((origin, _)) = plugins.named.get(&name.value) {
        findings.wrong(
            &name.origin,
            format!(
                "the plugin \"{}\" is already at {origin}; give this one another name or remove it",
                name.value
            ),
        );
        return None;
    }
    plugins.named.insert(name.value.clone(), (name.origin, enabled));
    if enabled {
        return Some(name.value);
    }
    // What a disabled entry says is not used, but a typing error in it is still one.
    entry.only(KEYS, &context.suggester, findings);
    None
}

fn read(
    entry: &Fields<'_>,
    name: PluginName,
    plugins: &Plugins,
    context: &mut Context<'_>,
) -> Option<Plugin> {
    let mark = context.findings.mark();
    entry.only(KEYS, &context.suggester, &mut context.findings);
    let plugin = Plugin {
        source: source(entry, context),
        digest: entry.parsed::<Digest>("digest", &mut context.findings).map(|found| found.value),
        scope: scope(entry, context),
        requires: requires(entry, &name, plugins, context),
        lazy: entry.flag("lazy", false, &mut context.findings),
        options: {
            let title = "[plugin.options]";
            options::read(entry, "options", title, context.environment, &mut context.findings)
                .unwrap_or_default()
        },
        grants: Arc::new(grants::read(entry, context)),
        limits: Arc::new(plugin_limits(entry, context)),
        origin: entry.origin(),
        name,
    };
    context.findings.settle(mark, false).then_some(plugin)
}

fn source(entry: &Fields<'_>, context: &mut Context<'_>) -> PluginSource {
    let Some(written) = entry.text("source", &mut context.findings) else {
        return PluginSource::Builtin;
    };
    if written.value == "builtin" {
        return PluginSource::Builtin;
    }
    let path = context.path(written.value);
    if written.value.is_empty() || !path.is_file() {
        context.findings.wrong(
            &written.origin,
            format!(
                "source: there is no file {}; build the plugin, correct the path (it is relative \
                 to the folder of {PLUGINS_FILE}), or write \"builtin\"",
                path.display()
            ),
        );
    }
    context.files.insert(path.clone());
    PluginSource::File(path)
}

fn scope(entry: &Fields<'_>, context: &mut Context<'_>) -> Scope {
    let Some(written) = entry.text("scope", &mut context.findings) else { return Scope::default() };
    match written.value {
        "core" => Scope::Core,
        "shared" => Scope::Shared,
        "business" => Scope::Business,
        other => {
            let hint = context.suggester.hint(other, ["core", "shared", "business"]);
            context
                .findings
                .wrong(&written.origin, format!("there is no scope \"{other}\"; {hint}"));
            Scope::default()
        }
    }
}

fn requires(
    entry: &Fields<'_>,
    name: &PluginName,
    plugins: &Plugins,
    context: &mut Context<'_>,
) -> Vec<Requirement> {
    let mut requires = Vec::new();
    for text in entry.texts("requires", &mut context.findings).unwrap_or_default() {
        let written = text.value.trim();
        let (plugin, version) = written.split_once(char::is_whitespace).unwrap_or((written, "*"));
        let requirement = (plugin.parse::<PluginName>(), semver::VersionReq::parse(version.trim()));
        let (Ok(plugin), Ok(version)) = requirement else {
            context.findings.wrong(
                &text.origin,
                format!(
                    "\"{written}\" is no requirement; write the name of a plugin and perhaps a \
                     version: \"other >=1.2\""
                ),
            );
            continue;
        };
        if plugin == *name {
            let message = format!("\"{name}\" requires itself; remove that");
            context.findings.wrong(&text.origin, message);
        }
        let found = At { value: plugin, origin: text.origin };
        plugins.check_enabled("requires", &found, context);
        requires.push(Requirement { plugin: found.value, version });
    }
    requires
}

fn plugin_limits(entry: &Fields<'_>, context: &mut Context<'_>) -> PluginLimits {
    let mut limits = PluginLimits::default();
    let findings = &mut context.findings;
    let Some(fields) = entry.table("limits", "[plugin.limits]", findings) else { return limits };
    fields.only(LIMIT_KEYS, &context.suggester, findings);
    let to_usize = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if let Some(mib) =
        fields.whole("memory_mib", 1..=(limits::MEMORY_BYTES_MAX / MIB) as u64, findings)
    {
        limits.memory_bytes = to_usize(mib) * MIB;
    }
    let wall_bounds = ms(limits::SEND_WALL_MIN)..=ms(limits::SEND_WALL_MAX);
    if let Some(wall_ms) = fields.whole("wall_ms", wall_bounds, findings) {
        limits.wall = Duration::from_millis(wall_ms);
    }
    let cpu_bounds = ms(limits::SEND_CPU_MIN)..=ms(limits::SEND_CPU_MAX);
    if let Some(cpu_ms) = fields.whole("cpu_ms", cpu_bounds, findings) {
        limits.cpu = Duration::from_millis(cpu_ms);
    }
    let instances_bounds = 1..=limits::INSTANCES_PER_BINDING_MAX as u64;
    if let Some(instances) = fields.whole("instances_max", instances_bounds, findings) {
        limits.instances_max = to_usize(instances);
    }
    let in_flight_bounds = 1..=limits::IN_FLIGHT_PER_INSTANCE_MAX as u64;
    if let Some(in_flight) = fields.whole("in_flight_max", in_flight_bounds, findings) {
        limits.in_flight_max = to_usize(in_flight);
    }
    let egress_bounds = 1..=limits::EGRESS_PER_BINDING_MAX as u64;
    if let Some(egress) = fields.whole("egress_max", egress_bounds, findings) {
        limits.egress_max = Some(to_usize(egress));
    }
    limits
}

/// Leaves out what requires a plugin that is left out, until nothing more falls.
fn drop_incomplete(
    plugins: &mut Plugins,
    required: Vec<(PluginName, Origin, BTreeSet<PluginName>)>,
    context: &mut Context<'_>,
) {
    loop {
        let incomplete = required.iter().find_map(|(name, origin, names)| {
            let absent = names.iter().find(|name| !plugins.valid.contains_key(*name))?;
            plugins.valid.contains_key(name).then_some((name, origin, absent))
        });
        let Some((name, origin, absent)) = incomplete else { return };
        context.findings.notice(
            origin,
            format!(
                "the plugin \"{name}\" is left out: it requires \"{absent}\", which is not valid"
            ),
        );
        plugins.valid.remove(name);
        plugins.options.remove(name);
    }
}
