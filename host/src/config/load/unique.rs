//! What only one tenant may have.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::{
    config::{
        ADMIN_KEY_VARIABLE,
        findings::{At, Findings},
        model::Origin,
    },
    ids::{Digest, TenantId},
};

/// Who has what.
#[derive(Default)]
pub(super) struct Unique {
    admin_key_hash: Option<[u8; 32]>,
    keys: HashMap<[u8; 32], Owner>,
    shared_keys: BTreeSet<TenantId>,
    slugs: BTreeMap<Arc<str>, Owner>,
    domains: HashMap<Arc<str>, Owner>,
    ports: HashMap<u16, Owner>,
}

#[derive(Clone)]
struct Owner {
    id: Option<TenantId>,
    name: Arc<str>,
    origin: Origin,
}

impl Unique {
    pub(super) fn new(admin_key: Option<&str>) -> Self {
        let admin_key_hash = admin_key.map(|key| Digest::of(key.as_bytes()).0);
        Self { admin_key_hash, ..Self::default() }
    }

    /// A key, by its hash. No message shows it, only the variables it stands in.
    pub(super) fn key(
        &mut self,
        hash: [u8; 32],
        variable: &At<&str>,
        id: Option<TenantId>,
        who: &str,
        findings: &mut Findings,
    ) {
        if self.admin_key_hash == Some(hash) {
            findings.wrong(
                &variable.origin,
                format!(
                    "{} and {ADMIN_KEY_VARIABLE} hold the same key; give the tenant \"{who}\" its own",
                    variable.value
                ),
            );
        }
        let owner = Owner { id, name: who.into(), origin: variable.origin.clone() };
        match self.keys.get(&hash) {
            Some(first) if first.id.is_none() || first.id != id => {
                findings.wrong(
                    &variable.origin,
                    format!(
                        "the key in {} of the tenant \"{who}\" is also the key of the tenant \
                         \"{}\" ({}); give each its own (neither is used until then)",
                        variable.value, first.name, first.origin
                    ),
                );
                self.shared_keys.extend([first.id, id].into_iter().flatten());
            }
            Some(_) => {}
            None => {
                self.keys.insert(hash, owner);
            }
        }
    }

    pub(super) fn slug(
        &mut self,
        slug: &At<Arc<str>>,
        id: Option<TenantId>,
        who: &str,
        findings: &mut Findings,
    ) {
        if let Some(first) = self.slugs.get(&slug.value) {
            let message = taken("slug", &slug.value, first, "set another `slug` for one of them");
            findings.wrong(&slug.origin, message);
        } else {
            let owner = Owner { id, name: who.into(), origin: slug.origin.clone() };
            self.slugs.insert(Arc::clone(&slug.value), owner);
        }
    }

    pub(super) fn domain(&mut self, domain: &At<Arc<str>>, who: &str, findings: &mut Findings) {
        if let Some(first) = self.domains.get(&domain.value) {
            let message = taken("domain", &domain.value, first, "it can tell only one of them");
            findings.wrong(&domain.origin, message);
        } else {
            let owner = Owner { id: None, name: who.into(), origin: domain.origin.clone() };
            self.domains.insert(Arc::clone(&domain.value), owner);
        }
    }

    pub(super) fn port(&mut self, port: &At<u16>, who: &str, findings: &mut Findings) {
        if let Some(first) = self.ports.get(&port.value) {
            let number = port.value.to_string();
            let message = taken("port", &number, first, "it can tell only one of them");
            findings.wrong(&port.origin, message);
        } else {
            let owner = Owner { id: None, name: who.into(), origin: port.origin.clone() };
            self.ports.insert(port.value, owner);
        }
    }

    /// Every tenant that shares a key with another one.
    pub(super) fn tenants_with_shared_keys(&self) -> &BTreeSet<TenantId> {
        &self.shared_keys
    }

    /// The tenant with this slug; its id may be unknown because it is wrong.
    pub(super) fn tenant_of_slug(&self, slug: &str) -> Option<Option<TenantId>> {
        self.slugs.get(slug).map(|owner| owner.id)
    }

    pub(super) fn slugs(&self) -> impl Iterator<Item = &str> + Clone {
        self.slugs.keys().map(|slug| &**slug)
    }
}

fn taken(what: &str, value: &str, first: &Owner, mend: &str) -> String {
    let (name, origin) = (&first.name, &first.origin);
    format!("the {what} {value} already belongs to the tenant \"{name}\" ({origin}); {mend}")
}
