//! `[plugin.grants]`.

use std::{collections::BTreeMap, fmt::Display};

use super::{context::Context, credentials, options::fill_in};
use crate::{
    config::{
        fields::Fields,
        findings::{At, Findings},
        model::{GrantMode, Grants},
    },
    egress::{AddressRange, HostPattern},
};

const KEYS: &[&str] = &["hosts", "smtp", "secrets", "reveal", "addresses", "mode"];

/// Reads the grants of a plugin; what is not granted is denied.
pub(super) fn read(plugin: &Fields<'_>, context: &mut Context<'_>) -> Grants {
    let Some(fields) = plugin.table("grants", "[plugin.grants]", &mut context.findings) else {
        return Grants::default();
    };
    fields.only(KEYS, &context.suggester, &mut context.findings);
    let hosts = fields.texts("hosts", &mut context.findings);
    let servers = fields.texts("smtp", &mut context.findings);
    let addresses = fields.texts("addresses", &mut context.findings);
    let mut hosts = hosts_of(hosts, context);
    hosts.extend(items(servers, context, |text, _| HostPattern::mail_server(text)));
    Grants {
        hosts,
        secrets: secrets(&fields, context),
        reveal: reveal(&fields, &mut context.findings),
        addresses: items(addresses, context, |text, _| text.parse::<AddressRange>()),
        mode: mode(&fields, &mut context.findings),
    }
}

fn mode(fields: &Fields<'_>, findings: &mut Findings) -> GrantMode {
    match fields.text("mode", findings) {
        None => GrantMode::Enforce,
        Some(At { value: "enforce", .. }) => GrantMode::Enforce,
        Some(At { value: "report-only", .. }) => GrantMode::ReportOnly,
        Some(other) => {
            let found: String = other.value.chars().take(40).collect();
            let message = format!(
                "mode is \"enforce\" (refuse what `hosts` does not grant) or \"report-only\" (let it \
                 out and report it, to find the list of a new plugin), found \"{found}\""
            );
            findings.wrong(&other.origin, message);
            GrantMode::Enforce
        }
    }
}

fn secrets(fields: &Fields<'_>, context: &mut Context<'_>) -> BTreeMap<String, Vec<HostPattern>> {
    let title = "[plugin.grants.secrets]";
    let Some(table) = fields.table("secrets", title, &mut context.findings) else {
        return BTreeMap::new();
    };
    let mut secrets = BTreeMap::new();
    for key in table.table.keys() {
        let name: &str = key.get_ref();
        let origin = table.origin_of(name);
        credentials::check_name(name, &origin, &mut context.findings);
        let hosts = table.texts(name, &mut context.findings);
        secrets.insert(name.to_owned(), hosts_of(hosts, context));
    }
    secrets
}

fn reveal(fields: &Fields<'_>, findings: &mut Findings) -> std::collections::BTreeSet<String> {
    let names = fields.texts("reveal", findings).unwrap_or_default();
    for name in &names {
        credentials::check_name(name.value, &name.origin, findings);
    }
    names.into_iter().map(|name| name.value.to_owned()).collect()
}

fn hosts_of(texts: Option<Vec<At<&str>>>, context: &mut Context<'_>) -> Vec<HostPattern> {
    items(texts, context, |text, filled_in| match text.parse() {
        // A variable often holds a whole address, path and all; what is granted is its origin.
        Err(_) if filled_in => HostPattern::origin_of(text),
        result => result,
    })
}

/// Each text with its variables filled in, then parsed. What is empty then is left out: so a
/// variable can switch a grant on.
fn items<T, E: Display>(
    texts: Option<Vec<At<&str>>>,
    context: &mut Context<'_>,
    parse: impl Fn(&str, bool) -> Result<T, E>,
) -> Vec<T> {
    let mut items = Vec::new();
    for text in texts.unwrap_or_default() {
        let Some(complete) = fill_in(&text, context.environment, &mut context.findings) else {
            continue;
        };
        let filled_in = complete != text.value;
        if filled_in && complete.trim().is_empty() {
            continue;
        }
        match parse(complete.trim(), filled_in) {
            Ok(item) => items.push(item),
            // The value of a variable may hold a password; a message shows only what is written.
            Err(_) if filled_in => context.findings.wrong(
                &text.origin,
                format!(
                    "{} is not valid with the variable's present value; set the variable to \
                     something like \"https://example.com\" in `hosts`, \"smtp.example.com:587\" in \
                     `smtp` and \"10.0.0.0/8\" in `addresses`",
                    text.value
                ),
            ),
            Err(error) => context.findings.wrong(&text.origin, error.to_string()),
        }
    }
    items
}
