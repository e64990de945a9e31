//! The one door. Both the plugins' own `http.fetch` and wasi:http go through
//! [`BindingEgress::fetch`], so there is one place where a request is judged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use reqwest::Url;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

use super::{
    EgressPolicy, FetchError, TlsSetupError,
    client::{Pool, Pools},
    denial::{Denial, DenialReason, Refused, Tell},
    policy::{Denied, origin_text},
    request::{Checked, check_sizes, header_bytes, is_hop},
    scrub::SCRUBBED,
    secrets::Vault,
    smtp::Connections,
    substitute::substitute,
    wire::{Patience, exchange},
};
use crate::{
    clock::Clock,
    config::{ChannelSecret, Grants},
    ids::Digest,
    limits,
};

/// All outbound traffic of the process.
pub struct Egress {
    pub(super) pools: Pools,
    pub(super) patience: Patience,
    pub(super) clock: Clock,
}

impl Egress {
    /// `extra_roots_pem`: certificates that are trusted beside the system's; may be empty.
    ///
    /// # Errors
    /// When these are not PEM, or the machine has no root certificates and none are given.
    pub fn new(extra_roots_pem: &[u8]) -> Result<Arc<Self>, TlsSetupError> {
        let pools = Pools::new(extra_roots_pem)?;
        Ok(Arc::new(Self { pools, patience: Patience::default(), clock: Clock::system() }))
    }

    /// The door of one channel: of the plugin with `digest`, under `policy`, with the channel's
    /// `secrets` as `grants` allow them, for `egress_max` requests at the same time.
    #[must_use]
    pub fn binding(
        &self,
        digest: Digest,
        policy: EgressPolicy,
        secrets: &BTreeMap<String, ChannelSecret>,
        grants: &Grants,
        egress_max: usize,
    ) -> Arc<BindingEgress> {
        let slots_max = egress_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(BindingEgress {
            pool: self.pools.get(digest, &policy),
            retired: AtomicBool::new(false),
            policy,
            vault: Vault::new(secrets, grants, self.clock.clone()),
            slots: Semaphore::new(slots_max),
            slots_max,
            patience: self.patience,
            counters: Counters::default(),
            mail: Connections::default(),
        })
    }
}

/// The way out of one channel.
pub struct BindingEgress {
    pub(super) policy: EgressPolicy,
    pub(super) vault: Vault,
    pub(super) pool: Arc<Pool>,
    slots: Semaphore,
    slots_max: usize,
    patience: Patience,
    pub(super) counters: Counters,
    pub(super) mail: Connections,
    /// Whether it has given its share of the pool up.
    retired: AtomicBool,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) requests: AtomicU64,
    pub(super) bytes_out: AtomicU64,
    pub(super) bytes_in: AtomicU64,
    pub(super) denied: AtomicU64,
    unenforced: AtomicU64,
}

/// What a channel has sent and received so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EgressCount {
    /// Requests that were allowed and tried.
    pub requests: u64,
    /// Bytes of their URLs, headers and bodies.
    pub bytes_out: u64,
    /// Bytes of the whole answers' headers and bodies.
    pub bytes_in: u64,
    /// Requests that the policy refused, the refused secrets among them.
    pub denied: u64,
    /// Requests that it would have refused if the grants were enforced (`mode = "report-only"`).
    pub unenforced: u64,
}

impl BindingEgress {
    /// Sends one request and returns its whole answer, within `timeout`. A redirect is an answer,
    /// and so is every status. Secrets take the places of their placeholders on the way out, and
    /// placeholders those of secrets on the way in.
    ///
    /// # Errors
    /// [`FetchError`]; its text holds no secret.
    pub async fn fetch(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, FetchError> {
        self.fetch_told(request, timeout, &|_| {}).await
    }

    /// The same, and `tell` hears of everything that the policy refused or would have refused. It is
    /// called in between: it must not wait.
    ///
    /// # Errors
    /// [`FetchError`]; its text holds no secret.
    pub async fn fetch_told(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
        tell: Tell<'_>,
    ) -> Result<Response<Bytes>, FetchError> {
        let deadline = Instant::now() + timeout.min(limits::SEND_WALL_MAX);
        let uri = request.uri().clone();
        let result = self.checked_fetch(request, deadline, tell).await;
        result.map_err(|error| {
            if matches!(error, FetchError::Denied(_) | FetchError::SecretDenied(_)) {
                self.counters.denied.fetch_add(1, Ordering::Relaxed);
            }
            error.map_text(|text| self.clean_text(text, uri.host().unwrap_or_default()))
        })
    }

    /// An error's text without secrets, also where a plugin that may read one has made it the name
    /// of a host: there it is in lower case.
    fn clean_text(&self, text: &str, host: &str) -> String {
        let clean = self.vault.scrub(text);
        if host.is_empty() || !self.vault.is_in_host(host) {
            return clean;
        }
        clean.replace(&host.to_ascii_lowercase(), SCRUBBED)
    }

    async fn checked_fetch(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
        tell: Tell<'_>,
    ) -> Result<Response<Bytes>, FetchError> {
        // A request that is refused may not have got as far as a URL.
        let uri = request.uri().clone();
        let told = |refused: Refused| {
            let Refused { reason, secret, lacks_grant, error } = refused;
            let origin = origin_of(&uri).filter(|origin| !self.vault.is_in_host(origin));
            tell(Denial { reason, origin, secret, lacks_grant, enforced: true });
            error
        };
        let request = self.admit(request, tell).map_err(&told)?;
        let client = self.pool.client().map_err(FetchError::Unreachable)?;
        let _slot = self.slot(deadline).await?;
        self.count_out(&request);
        let answer = exchange(&client, request, self.patience, deadline).await;
        let mut response = answer.map_err(|error| match error {
            // All but the address was judged before.
            FetchError::Denied(_) => told(Refused::new(DenialReason::Address, error)),
            other => other,
        })?;
        self.count_in(&response);
        self.clean(&mut response);
        Ok(response)
    }

    /// The request that [`Self::fetch`] would send for this one, secrets and all, without sending it.
    ///
    /// # Errors
    /// [`FetchError`]; its text holds no secret.
    pub fn rehearse(&self, request: Request<Bytes>) -> Result<Request<Bytes>, FetchError> {
        let checked = self
            .admit(request, &|_| {})
            .map_err(|refused| FetchError::from(refused).map_text(|text| self.vault.scrub(text)))?;
        let mut request = Request::new(checked.body);
        *request.method_mut() = checked.method;
        *request.uri_mut() = super::parse_url(checked.url.as_str())?;
        *request.headers_mut() = checked.headers;
        Ok(request)
    }

    /// Everything that is decided before a connection is looked for, secrets put in last.
    fn admit(&self, request: Request<Bytes>, tell: Tell<'_>) -> Result<Checked, Refused> {
        let mut request = Checked::new(request)?;
        let host = request.url.host_str().unwrap_or_default();
        if self.vault.find(host.as_bytes()).is_some() {
            return Err(Refused::invalid(
                DenialReason::Malformed,
                "a secret's placeholder stands in the URL's host: it may stand in the path and in \
                 the query only",
            ));
        }
        if let Err(denied) = self.policy.permits(&request.url) {
            self.lacking(denied, tell)?;
        }
        substitute(&self.vault, &mut request.url, &mut request.headers, &mut request.body)?;
        check_sizes(&request.url, &request.headers)?;
        self.check_literal(&request.url)?;
        Ok(request)
    }

    /// What comes of a missing ask or grant: a denial, unless it is the grant and that is only
    /// reported.
    pub(super) fn lacking(&self, denied: Denied, tell: Tell<'_>) -> Result<(), Refused> {
        let lacks_grant = denied.is_asked;
        if lacks_grant && self.policy.is_report_only() {
            self.counters.unenforced.fetch_add(1, Ordering::Relaxed);
            let Denied { origin, reason, .. } = denied;
            let origin = Some(origin).filter(|origin| !self.vault.is_in_host(origin));
            tell(Denial { reason, origin, secret: None, lacks_grant, enforced: false });
            return Ok(());
        }
        let error = FetchError::Denied(denied.to_string());
        Err(Refused { lacks_grant, ..Refused::new(denied.reason, error) })
    }

    /// An address in the URL is not resolved, so the resolver does not get to judge it.
    fn check_literal(&self, url: &Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(address) = bare.parse() else { return Ok(()) };
        self.pool.guard.check(address).map_err(|denied| {
            let error = FetchError::Denied(format!("{} is denied: {denied}", origin_text(url)));
            Refused::new(DenialReason::Address, error)
        })
    }

    pub(super) async fn slot(&self, deadline: Instant) -> Result<SemaphorePermit<'_>, FetchError> {
        match timeout_at(deadline, self.slots.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(FetchError::Unreachable(format!(
                "this channel had {} outbound requests running for the whole time",
                self.slots_max
            ))),
        }
    }

    /// Takes out what was about the connection, and secrets that the provider repeats.
    fn clean(&self, response: &mut Response<Bytes>) {
        let hops: Vec<_> = response.headers().keys().filter(|name| is_hop(name)).cloned().collect();
        for name in hops {
            response.headers_mut().remove(name);
        }
        for value in response.headers_mut().values_mut() {
            let concealed = self.vault.conceal(value.as_bytes());
            if let Some(Ok(changed)) = concealed.map(|bytes| HeaderValue::from_bytes(&bytes)) {
                *value = changed;
            }
        }
        if let Some(changed) = self.vault.conceal(response.body()) {
            set_length(response.headers_mut(), changed.len());
            *response.body_mut() = Bytes::from(changed);
        }
    }

    fn count_out(&self, request: &Checked) {
        let bytes =
            request.url.as_str().len() + header_bytes(&request.headers) + request.body.len();
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_out.fetch_add(as_u64(bytes), Ordering::Relaxed);
    }

    fn count_in(&self, response: &Response<Bytes>) {
        let bytes = header_bytes(response.headers()) + response.body().len();
        self.counters.bytes_in.fetch_add(as_u64(bytes), Ordering::Relaxed);
    }

    /// The channel's secrets.
    #[must_use]
    pub const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What the channel may reach.
    #[must_use]
    pub const fn policy(&self) -> &EgressPolicy {
        &self.policy
    }

    /// What the channel has sent and received so far.
    #[must_use]
    pub fn count(&self) -> EgressCount {
        let Counters { requests, bytes_out, bytes_in, denied, unenforced } = &self.counters;
        EgressCount {
            requests: requests.load(Ordering::Relaxed),
            bytes_out: bytes_out.load(Ordering::Relaxed),
            bytes_in: bytes_in.load(Ordering::Relaxed),
            denied: denied.load(Ordering::Relaxed),
            unenforced: unenforced.load(Ordering::Relaxed),
        }
    }

    /// Gives its share of the connections up, because the configuration has changed: when the last
    /// channel of a plugin under one policy does that, the connections that are idle close at once.
    /// A request under way ends as it would, and a call that still runs may make others, whose
    /// connections are not kept.
    pub fn retire(&self) {
        if !self.retired.swap(true, Ordering::AcqRel) {
            self.pool.leave();
            self.mail.close_idle(Duration::ZERO);
        }
    }

    /// Whether [`Self::retire`] was called.
    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}

impl Drop for BindingEgress {
    fn drop(&mut self) {
        self.retire();
    }
}

/// The origin of a request for reports; none if it has none.
fn origin_of(uri: &http::Uri) -> Option<String> {
    let mut uri = uri.to_string();
    // What is too long to be judged is too long to be told.
    uri.truncate(uri.floor_char_boundary(limits::EGRESS_URL_BYTES_MAX));
    Url::parse(&uri).ok().filter(Url::has_host).map(|url| origin_text(&url))
}

fn set_length(headers: &mut HeaderMap, bytes: usize) {
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
}

pub(super) fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
