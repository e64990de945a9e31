//! Who calls: the key says which tenant, and the address that was called and the caller's own must
//! agree with it.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, HeaderValue, header, request::Parts, uri::Authority},
};
use subtle::ConstantTimeEq;

use super::{
    Shared, kinds,
    problem::{Kind, Problem},
};
use crate::{
    config::Tenant,
    generation::Generation,
    ids::{Digest, TenantId},
    observe::RefusedWord,
};

/// The two ends of the connection, as the server saw them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ends {
    /// The caller's address. Headers such as `X-Forwarded-For` are not believed.
    pub peer: SocketAddr,
    /// Ours.
    pub local: SocketAddr,
}

/// An authenticated caller. The request sees this generation from start to end.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What is configured.
    pub generation: Arc<Generation>,
    /// Whose key it is.
    pub tenant: Arc<Tenant>,
}

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        match Self::identify(state.api.current.load(), parts) {
            Ok((caller, key_hash)) => {
                let now = state.api.clock.now();
                state.audit.key_used(&caller.generation, &caller.tenant, &key_hash, parts, now);
                Ok(caller)
            }
            Err(refused) => Err(refused.answer(state, parts)),
        }
    }
}

/// A call that is refused for what it shows of itself.
#[derive(Debug)]
pub(super) struct Refused {
    problem: Problem,
    /// Whose key it has, if it is a tenant's.
    tenant: Option<TenantId>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self { problem, tenant: None }
    }
}

impl Refused {
    /// Counts it, and gives the answer.
    pub(super) fn answer(mut self, shared: &Shared, parts: &Parts) -> Problem {
        if self.problem.kind() == kinds::WRONG_KEY
            // The operator's own key, where a tenant's belongs, is no guess.
            && !is_admin(shared.api.admin_key_hash.as_ref(), &parts.headers)
            && let Some(slowed) =
                shared.guesses.failed(peer(&parts.extensions), shared.api.clock.now())
        {
            self.problem = slowed;
        }
        self.answer_known(shared, parts)
    }

    /// The same for a key that is somebody's: it is no guess.
    pub(super) fn answer_known(self, shared: &Shared, parts: &Parts) -> Problem {
        let Self { problem, tenant } = self;
        shared.audit.refused(problem.kind(), peer(&parts.extensions), tenant);
        if let Some(word) = RefusedWord::of(problem.kind()) {
            shared.api.metrics.refused(word);
        }
        problem
    }
}

impl RefusedWord {
    fn of(kind: Kind) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.word() == kind.slug)
    }
}

impl Caller {
    /// Who it is in `generation`, and the hash of the key.
    ///
    /// # Errors
    /// A 401 or 403.
    pub(super) fn identify(
        generation: Arc<Generation>,
        parts: &Parts,
    ) -> Result<(Self, [u8; 32]), Refused> {
        let key = bearer(&parts.headers)?;
        let key_hash = Digest::of(key.as_bytes()).0;
        let tenant = generation.tenant_by_key(&key_hash).cloned();
        let tenant = tenant.ok_or_else(|| {
            Problem::new(
                kinds::WRONG_KEY,
                "No tenant has this key. It may have been changed; keys are in the variables that \
                 tenants.toml names.",
            )
        })?;
        let checked = check_context(&generation, &tenant, parts)
            .and_then(|()| check_source(&tenant, peer(&parts.extensions)));
        checked.map_err(|problem| Refused { problem, tenant: Some(tenant.id) })?;
        Ok((Self { generation, tenant }, key_hash))
    }
}

/// The key in `Authorization: Bearer KEY`.
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let refuse = |challenge: &'static str, detail: &'static str| {
        Problem::new(kinds::NO_KEY, detail)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    };
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(refuse(
            "Bearer realm=\"conductor\"",
            "Send the tenant's key as \"Authorization: Bearer KEY\".",
        ));
    };
    let key = value.to_str().ok().and_then(|text| {
        let (scheme, key) = text.split_once(' ')?;
        let key = key.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        (scheme.eq_ignore_ascii_case("bearer") && is_key).then_some(key)
    });
    key.ok_or_else(|| {
        refuse(
            "Bearer realm=\"conductor\", error=\"invalid_request\"",
            "The Authorization header has another form than \"Bearer KEY\".",
        )
    })
}

/// Whether the caller has the operator's key.
pub(super) fn is_admin(admin_key_hash: Option<&[u8; 32]>, headers: &HeaderMap) -> bool {
    let (Some(expected), Ok(key)) = (admin_key_hash, bearer(headers)) else { return false };
    bool::from(Digest::of(key.as_bytes()).0.ct_eq(expected))
}

/// The host name that was called, lower case and without port.
pub(super) fn host_name(headers: &HeaderMap, authority: Option<&Authority>) -> Option<String> {
    // HTTP/2 has it in the request's target, HTTP/1.1 in a header.
    let host = match authority {
        Some(authority) => authority.host(),
        None => {
            let text = headers.get(header::HOST)?.to_str().ok()?;
            match text.find(']') {
                Some(end) => text.get(..=end)?,
                None => text.split(':').next()?,
            }
        }
    };
    Some(host.trim_end_matches('.').to_ascii_lowercase())
}

fn check_context(generation: &Generation, tenant: &Tenant, parts: &Parts) -> Result<(), Problem> {
    let by_name = generation
        .has_domains()
        .then(|| host_name(&parts.headers, parts.uri.authority()))
        .flatten()
        .and_then(|name| generation.tenant_by_domain(&name));
    let by_port = parts
        .extensions
        .get::<Ends>()
        .and_then(|ends| generation.tenant_by_port(ends.local.port()));
    let agrees = |owner: Option<_>| owner.is_none_or(|owner| owner == tenant.id);
    if agrees(by_name) && agrees(by_port) {
        return Ok(());
    }
    Err(Problem::new(
        kinds::WRONG_CONTEXT,
        "The host name or port that was called belongs to another tenant than the key.",
    ))
}

/// The caller's address.
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Ends>().map(|ends| ends.peer.ip())
}

fn check_source(tenant: &Tenant, peer: Option<IpAddr>) -> Result<(), Problem> {
    let sources = &tenant.access_sources;
    let allowed = sources.is_empty()
        || peer.is_some_and(|peer| sources.iter().any(|range| range.contains(peer)));
    if allowed {
        return Ok(());
    }
    Err(Problem::new(
        kinds::SOURCE_DENIED,
        "The tenant's access rules do not allow calls from the address of this caller.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().unwrap())])
    }

    #[test]
    fn a_key_is_taken_from_a_bearer_header_only() {
        let key = |value: &str| bearer(&headers(header::AUTHORIZATION, value)).map(str::to_owned);
        assert_eq!(key("Bearer abc").unwrap(), "abc");
        assert_eq!(key("bearer  abc ").unwrap(), "abc");
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearer a b"] {
            let problem = key(bad).unwrap_err();
            assert_eq!(problem.kind(), kinds::NO_KEY, "{bad}");
        }
        assert_eq!(bearer(&HeaderMap::new()).unwrap_err().kind(), kinds::NO_KEY);
    }

    #[test]
    fn a_host_name_is_compared_without_port_case_and_final_dot() {
        for (value, name) in [
            ("Example.COM:3333", "example.com"),
            ("example.com", "example.com"),
            ("example.com.", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            let found = host_name(&headers(header::HOST, value), None);
            assert_eq!(found.as_deref(), Some(name), "{value}");
        }
        let authority: Authority = "A.example:1".parse().unwrap();
        assert_eq!(host_name(&HeaderMap::new(), Some(&authority)).unwrap(), "a.example");
        assert_eq!(host_name(&HeaderMap::new(), None), None);
    }

    #[test]
    fn the_admin_key_is_the_only_one_that_counts_as_such() {
        let hash = Digest::of(b"root").0;
        assert!(is_admin(Some(&hash), &headers(header::AUTHORIZATION, "Bearer root")));
        assert!(!is_admin(Some(&hash), &headers(header::AUTHORIZATION, "Bearer toor")));
        assert!(!is_admin(Some(&hash), &HeaderMap::new()));
        assert!(!is_admin(None, &headers(header::AUTHORIZATION, "Bearer root")));
    }
}
