//! tenants.toml, without the channels.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    callbacks,
    context::Context,
    credentials,
    defaults::{self, Defaults, access_of, limits_of},
    options,
    plugins::Plugins,
    unique::Unique,
    values,
};
use crate::{
    config::{
        ADMIN_KEY_VARIABLE, TENANTS_FILE,
        document::Document,
        fields::Fields,
        findings::At,
        model::{Object, Origin, Tenant},
    },
    ids::{Digest, PluginName, TenantId},
    limits,
};

const ROOT_KEYS: &[&str] = &["tenant", "defaults", "context"];
pub(super) const KEYS: &[&str] = &[
    "id",
    "name",
    "slug",
    "auth_key_env",
    "auth_key_envs",
    "generate_key",
    "domains",
    "ports",
    "plugins",
    "cors",
    "options",
    "limits",
    "access",
    "callback",
];

/// What tenants.toml says.
#[derive(Default)]
pub(super) struct Tenants {
    /// The valid ones.
    pub(super) valid: BTreeMap<TenantId, Tenant>,
    /// `[tenant.options.<plugin>]` of each valid one.
    pub(super) options: HashMap<TenantId, BTreeMap<String, Object>>,
    /// All ids in the file: a channel of one that is not `valid` is no news.
    pub(super) named: BTreeMap<TenantId, Origin>,
    /// `[context] fallback`.
    pub(super) fallback: Option<TenantId>,
    /// The file could not be read: nothing can be said about any id.
    pub(super) unknown: bool,
}

/// Reads the file.
pub(super) fn load(plugins: &Plugins, context: &mut Context<'_>) -> Tenants {
    let document = match Document::read(context.folder, TENANTS_FILE) {
        Ok(document) => document,
        Err(problem) => {
            context.findings.problem(problem);
            return Tenants { unknown: true, ..Tenants::default() };
        }
    };
    let Some(table) = document.parse(&mut context.findings) else {
        return Tenants { unknown: true, ..Tenants::default() };
    };
    let root = Fields::root(&document, &table);
    root.only(ROOT_KEYS, &context.suggester, &mut context.findings);
    let defaults = defaults::read(&root, context);
    let entries = root.tables("tenant", "[[tenant]]", &mut context.findings);
    if entries.is_empty() {
        context.findings.wrong(
            &root.origin(),
            "there is no [[tenant]], so nobody could send anything; add one",
        );
    }
    let mut tenants = Tenants::default();
    let mut unique = Unique::new(context.environment.get(ADMIN_KEY_VARIABLE));
    for entry in entries {
        let mark = context.findings.mark();
        let id = id(&entry, &mut tenants, context);
        let read = read(&entry, id, &defaults, plugins, &mut unique, context);
        if !context.findings.settle(mark, false) {
            continue;
        }
        if let Some((tenant, options)) = read {
            if !options.is_empty() {
                tenants.options.insert(tenant.id, options);
            }
            tenants.valid.insert(tenant.id, tenant);
        }
    }
    // A key of two tenants opens neither: nobody could say whose it is.
    for id in unique.tenants_with_shared_keys() {
        tenants.valid.remove(id);
    }
    tenants.fallback = fallback(&root, &tenants, &unique, context);
    tenants
}

fn id(entry: &Fields<'_>, tenants: &mut Tenants, context: &mut Context<'_>) -> Option<TenantId> {
    let findings = &mut context.findings;
    let written = entry.needed_text("id", "0198c0de-0000-7000-8000-000000000001", findings)?;
    let id = values::tenant_id("id", &written, findings)?;
    if let Some(origin) = tenants.named.get(&id) {
        let message = format!(
            "the id {id} already belongs to the tenant at {origin}; every tenant has its own (make \
             one with `uuidgen` or `conductor init` in an empty folder)"
        );
        findings.wrong(&written.origin, message);
        return None;
    }
    tenants.named.insert(id, written.origin);
    Some(id)
}

fn read(
    entry: &Fields<'_>,
    id: Option<TenantId>,
    defaults: &Defaults,
    plugins: &Plugins,
    unique: &mut Unique,
    context: &mut Context<'_>,
) -> Option<(Tenant, BTreeMap<String, Object>)> {
    entry.only(KEYS, &context.suggester, &mut context.findings);
    let _ = entry.flag("generate_key", false, &mut context.findings);
    let name = name(entry, context);
    let slug = values::slug(entry, name, &mut context.findings);
    let keys = keys(entry, id, name.unwrap_or("?"), unique, context);
    let domains = values::domains(entry, &mut context.findings);
    let ports = values::ports(entry, &mut context.findings);
    let who = name.unwrap_or("?");
    if let Some(slug) = &slug {
        unique.slug(slug, id, who, &mut context.findings);
    }
    for domain in &domains {
        unique.domain(domain, who, &mut context.findings);
    }
    for port in &ports {
        unique.port(port, who, &mut context.findings);
    }
    let limits = limits_of(entry, "[tenant.limits]", context).over(defaults.limits);
    let access_sources = access_of(entry, "[tenant.access]", context);
    let cors = values::cors(entry, &mut context.findings);
    let plugins_allowed = business_plugins(entry, plugins, context);
    let options = tenant_options(entry, plugins, context);
    let callbacks = callbacks::read(entry, context);
    let tenant = Tenant {
        plugins: plugins_allowed,
        cors: cors.unwrap_or_else(|| defaults.cors.clone()),
        limits: limits.complete(),
        access_sources: access_sources.or_else(|| defaults.access_sources.clone())?,
        callbacks,
        channels: BTreeMap::new(),
        origin: entry.origin(),
        key_hashes: keys.iter().map(|(_, hash)| *hash).collect(),
        key_envs: keys.into_iter().map(|(name, _)| name).collect(),
        domains: domains.into_iter().map(|domain| domain.value).collect(),
        ports: ports.into_iter().map(|port| port.value).collect(),
        id: id.unwrap_or(TenantId(uuid::Uuid::nil())),
        name: Arc::from(name.unwrap_or_default()),
        slug: slug.map_or_else(|| Arc::from(""), |slug| slug.value),
    };
    // Without an id there is a problem, and the entry is not used.
    id.map(|_| (tenant, options))
}

fn name<'doc>(entry: &Fields<'doc>, context: &mut Context<'_>) -> Option<&'doc str> {
    let name = entry.needed_text("name", "My Company", &mut context.findings)?;
    let trimmed = name.value.trim();
    let too_long = trimmed.len() > limits::TENANT_NAME_BYTES_MAX;
    if trimmed.is_empty() || too_long || trimmed.chars().any(char::is_control) {
        let most = limits::TENANT_NAME_BYTES_MAX;
        context.findings.wrong(
            &name.origin,
            format!("a tenant's name has 1 to {most} bytes and no control characters; shorten it"),
        );
    }
    Some(trimmed)
}

/// The names of the key variables and the hashes of the keys.
fn keys(
    entry: &Fields<'_>,
    id: Option<TenantId>,
    who: &str,
    unique: &mut Unique,
    context: &mut Context<'_>,
) -> Vec<(Arc<str>, [u8; 32])> {
    let one = entry.text("auth_key_env", &mut context.findings);
    let many = entry.texts("auth_key_envs", &mut context.findings);
    let names = match (one, many) {
        (Some(name), None) => vec![name],
        (None, Some(names)) if !names.is_empty() => names,
        _ => {
            let example = values::key_variable(id.unwrap_or(TenantId(uuid::Uuid::nil())));
            context.findings.wrong(
                &entry.origin(),
                format!(
                    "[[tenant]] needs either auth_key_env = \"{example}\" or, while a key is \
                     replaced, auth_key_envs with a list of such names"
                ),
            );
            return Vec::new();
        }
    };
    let mut keys = Vec::with_capacity(names.len());
    for name in names {
        let Some(key) = credentials::from_variable(&name, "auth_key_env", context) else {
            continue;
        };
        let length = key.expose().chars().count();
        if length < limits::AUTH_KEY_CHARS_MIN {
            let least = limits::AUTH_KEY_CHARS_MIN;
            context.findings.wrong(
                &name.origin,
                format!(
                    "the key in {} has {length} characters, which can be guessed; use {least} or \
                     more, for example from `openssl rand -hex 32`",
                    name.value
                ),
            );
            continue;
        }
        if !key.expose().bytes().all(|byte| byte.is_ascii_graphic()) {
            context.findings.wrong(
                &name.origin,
                format!(
                    "the key in {} has a space or a character that cannot stand in an \
                     `Authorization` header; use letters and digits, for example from \
                     `openssl rand -hex 32`",
                    name.value
                ),
            );
            continue;
        }
        let hash = Digest::of(key.expose().as_bytes()).0;
        unique.key(hash, &name, id, who, &mut context.findings);
        if !keys.iter().any(|(_, known)| *known == hash) {
            keys.push((Arc::from(name.value), hash));
        }
    }
    keys
}

fn business_plugins(
    entry: &Fields<'_>,
    plugins: &Plugins,
    context: &mut Context<'_>,
) -> BTreeSet<PluginName> {
    let names = entry.parsed_list::<PluginName>("plugins", &mut context.findings);
    let mut allowed = BTreeSet::new();
    for name in names.unwrap_or_default() {
        plugins.check_name("plugins", &name, context);
        allowed.insert(name.value);
    }
    allowed
}

fn tenant_options(
    entry: &Fields<'_>,
    plugins: &Plugins,
    context: &mut Context<'_>,
) -> BTreeMap<String, Object> {
    let Some(table) = entry.table("options", "[tenant.options]", &mut context.findings) else {
        return BTreeMap::new();
    };
    let mut all = BTreeMap::new();
    for key in table.table.keys() {
        let written: &str = key.get_ref();
        let origin = table.origin_of(written);
        match written.parse::<PluginName>() {
            Ok(value) => plugins.check_name("options", &At { value, origin }, context),
            Err(error) => context.findings.wrong(&origin, format!("options: {error}")),
        }
        let title = "[tenant.options.<plugin>]";
        let environment = context.environment;
        let options = options::read(&table, written, title, environment, &mut context.findings);
        all.extend(options.map(|options| (written.to_owned(), options)));
    }
    all
}

fn fallback(
    root: &Fields<'_>,
    tenants: &Tenants,
    unique: &Unique,
    context: &mut Context<'_>,
) -> Option<TenantId> {
    let findings = &mut context.findings;
    let fields = root.table("context", "[context]", findings)?;
    fields.only(&["fallback"], &context.suggester, findings);
    let slug = fields.text("fallback", findings)?;
    match unique.tenant_of_slug(slug.value) {
        // One that is not valid has its own problem.
        Some(id) => id.filter(|id| tenants.valid.contains_key(id)),
        None => {
            let hint = context.suggester.hint(slug.value, unique.slugs());
            findings.wrong(
                &slug.origin,
                format!("fallback: no tenant has the slug \"{}\"; {hint}", slug.value),
            );
            None
        }
    }
}
