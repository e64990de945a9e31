//! Cross-origin calls of browsers: the origins that a tenant lists, and no others.
//!
//! A preflight carries no key, so it is answered by the tenant whose host name was called, or else by
//! what any tenant allows; the request that follows is held against the key's own tenant.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
};

use super::{Shared, auth};
use crate::{config::Tenant, generation::Generation, ids::Digest};

/// What a tenant lists that lets the pages of every origin call.
const ANY: &str = "*";

/// A request of another origin.
#[derive(Debug)]
pub(super) struct Question {
    origin: HeaderValue,
    preflight: bool,
    host: Option<String>,
    key_hash: Option<[u8; 32]>,
}

impl Question {
    /// None for everything that is not a browser's cross-origin request.
    pub(super) fn of(request: &Request) -> Option<Self> {
        let headers = request.headers();
        let origin = headers.get(header::ORIGIN)?.clone();
        Some(Self {
            origin,
            preflight: request.method() == Method::OPTIONS
                && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD),
            host: auth::host_name(headers, request.uri().authority()),
            key_hash: auth::bearer(headers).ok().map(|key| Digest::of(key.as_bytes()).0),
        })
    }

    pub(super) const fn is_preflight(&self) -> bool {
        self.preflight
    }

    /// Adds the headers that let the browser see the answer.
    pub(super) fn answer(self, shared: &Shared, headers: &mut HeaderMap) {
        headers.append(header::VARY, HeaderValue::from_static("origin"));
        if !self.is_allowed(shared) {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, self.origin);
        let more = if self.preflight { PREFLIGHT } else { ANSWER };
        headers.extend(
            more.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))),
        );
    }

    fn is_allowed(&self, shared: &Shared) -> bool {
        let Ok(origin) = self.origin.to_str() else { return false };
        let generation = shared.api.current.load();
        let by_key = self.key_hash.as_ref().and_then(|hash| generation.tenant_by_key(hash));
        let by_name = || {
            let id = generation.tenant_by_domain(self.host.as_deref()?)?;
            generation.config.tenants.get(&id)
        };
        match by_key.or_else(by_name) {
            Some(tenant) => allows(tenant, origin),
            None => {
                let origins = shared.origins.of(&generation);
                origins.contains(origin) || origins.contains(ANY)
            }
        }
    }
}

fn allows(tenant: &Tenant, origin: &str) -> bool {
    tenant.cors.iter().any(|allowed| [ANY, origin].contains(&allowed.as_ref()))
}

const PREFLIGHT: &[(header::HeaderName, &str)] = &[
    (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, DELETE"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "authorization, content-type, idempotency-key, last-event-id, prefer",
    ),
    (header::ACCESS_CONTROL_MAX_AGE, "600"),
];
const ANSWER: &[(header::HeaderName, &str)] = &[(
    header::ACCESS_CONTROL_EXPOSE_HEADERS,
    "location, retry-after, preference-applied, idempotency-replay, ratelimit, ratelimit-policy",
)];

/// The answer to a preflight, without the headers that allow anything.
pub(super) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// All origins that some tenant allows; made once a generation.
#[derive(Default, Debug)]
pub(super) struct Origins(Mutex<(u64, Arc<HashSet<Arc<str>>>)>);

impl Origins {
    fn of(&self, generation: &Generation) -> Arc<HashSet<Arc<str>>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.0 != generation.number {
            let tenants = generation.config.tenants.values();
            let all = tenants.flat_map(|tenant| tenant.cors.iter().cloned()).collect();
            *known = (generation.number, Arc::new(all));
        }
        Arc::clone(&known.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::kit;

    #[test]
    fn a_listed_origin_may_call_and_a_star_lets_every_origin_call() {
        let mut tenant = kit::tenant(1);
        for (listed, origin, allowed) in [
            (&[][..], "https://a.example", false),
            (&["https://a.example"], "https://a.example", true),
            (&["https://a.example"], "https://b.example", false),
            (&["*"], "https://b.example", true),
        ] {
            tenant.cors = listed.iter().map(|origin| Arc::from(*origin)).collect();
            assert_eq!(allows(&tenant, origin), allowed, "{listed:?} {origin}");
        }
    }
}
