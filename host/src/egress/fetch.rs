//! The one door. Both the plugins' own `http.fetch` and wasi:http go through
//! [`BindingEgress::fetch`], so there is one place where a request is judged.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
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
    policy::origin_text,
    request::{Checked, check_sizes, header_bytes, is_hop},
    secrets::Vault,
    substitute::substitute,
    wire::{Patience, exchange},
};
use crate::{
    config::{ChannelSecret, Grants},
    ids::Digest,
    limits,
};

/// All outbound traffic of the process.
pub struct Egress {
    pools: Pools,
    pub(super) patience: Patience,
}

impl Egress {
    /// `extra_roots_pem`: certificates that are trusted beside the system's; may be empty.
    ///
    /// # Errors
    /// When these are not PEM, or the machine has no root certificates and none are given.
    pub fn new(extra_roots_pem: &[u8]) -> Result<Arc<Self>, TlsSetupError> {
        let pools = Pools::new(extra_roots_pem)?;
        Ok(Arc::new(Self { pools, patience: Patience::default() }))
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
            policy,
            vault: Vault::new(secrets, grants),
            slots: Semaphore::new(slots_max),
            slots_max,
            patience: self.patience,
            counters: Counters::default(),
        })
    }
}

/// The way out of one channel.
pub struct BindingEgress {
    policy: EgressPolicy,
    vault: Vault,
    pool: Arc<Pool>,
    slots: Semaphore,
    slots_max: usize,
    patience: Patience,
    counters: Counters,
}

#[derive(Default)]
struct Counters {
    requests: AtomicU64,
    bytes_out: AtomicU64,
    bytes_in: AtomicU64,
    denied: AtomicU64,
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
        let deadline = Instant::now() + timeout.min(limits::SEND_WALL_MAX);
        self.judged(self.checked_fetch(request, deadline).await)
    }

    /// The result, with a refusal counted and no secret in its text.
    pub(super) fn judged<T>(&self, result: Result<T, FetchError>) -> Result<T, FetchError> {
        result.map_err(|error| {
            if matches!(error, FetchError::Denied(_) | FetchError::SecretDenied(_)) {
                self.counters.denied.fetch_add(1, Ordering::Relaxed);
            }
            error.map_text(|text| self.vault.scrub(text))
        })
    }

    async fn checked_fetch(
        &self,
        request: Request<Bytes>,
        deadline: Instant,
    ) -> Result<Response<Bytes>, FetchError> {
        let request = self.admit(request)?;
        let client = match &self.pool.client {
            Ok(client) => client,
            Err(why) => return Err(FetchError::Unreachable(why.clone())),
        };
        let _slot = self.slot(deadline).await?;
        self.count_out(&request);
        let mut response = exchange(client, request, self.patience, deadline).await?;
        self.count_in(&response);
        self.clean(&mut response);
        Ok(response)
    }

    /// Everything that is decided before a connection is looked for, secrets put in last.
    fn admit(&self, request: Request<Bytes>) -> Result<Checked, FetchError> {
        let mut request = Checked::new(request)?;
        self.permits(&request.url)?;
        substitute(&self.vault, &mut request.url, &mut request.headers, &mut request.body)?;
        check_sizes(&request.url, &request.headers)?;
        self.check_literal(&request.url)?;
        Ok(request)
    }

    /// Whether the origin may be reached.
    pub(super) fn permits(&self, url: &Url) -> Result<(), FetchError> {
        let host = url.host_str().unwrap_or_default();
        if self.vault.find(host.as_bytes()).is_some() {
            return Err(FetchError::Invalid(String::from(
                "a secret's placeholder stands in the URL's host: it may stand in the path and in \
                 the query only",
            )));
        }
        self.policy.permits(url).map_err(|denied| FetchError::Denied(denied.to_string()))
    }

    /// The client for handshakes, which are HTTP/1.1.
    pub(super) fn upgrading_client(&self) -> Result<&reqwest::Client, FetchError> {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.pool.upgrading().map_err(FetchError::Unreachable)
    }

    /// An address in the URL is not resolved, so the resolver does not get to judge it.
    pub(super) fn check_literal(&self, url: &Url) -> Result<(), FetchError> {
        let host = url.host_str().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let Ok(address) = bare.parse() else { return Ok(()) };
        self.pool.guard.check(address).map_err(|denied| {
            FetchError::Denied(format!("{} is denied: {denied}", origin_text(url)))
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
        let Counters { requests, bytes_out, bytes_in, denied } = &self.counters;
        EgressCount {
            requests: requests.load(Ordering::Relaxed),
            bytes_out: bytes_out.load(Ordering::Relaxed),
            bytes_in: bytes_in.load(Ordering::Relaxed),
            denied: denied.load(Ordering::Relaxed),
        }
    }
}

fn set_length(headers: &mut HeaderMap, bytes: usize) {
    if headers.contains_key(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    }
}

fn as_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
