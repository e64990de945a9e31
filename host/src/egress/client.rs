//! Pooled connections. A pool belongs to one plugin digest under one policy, so that a connection is
//! never reused by code, or under rules, that it was not opened for. It closes when the last channel
//! that uses it is retired.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use reqwest::{Client, redirect};
use rustls::{
    ClientConfig,
    client::Resumption,
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::Verifier;

use super::{
    EgressPolicy,
    guard::AddressGuard,
    resolve::{GuardedResolver, Lookups},
};
use crate::{ids::Digest, limits};

/// Why outbound TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsSetupError {
    /// The extra certificates are not PEM.
    #[error("the extra root certificates cannot be read: {0}")]
    ExtraRoots(String),
    /// The TLS library refuses the set-up, or the machine has no root certificates at all.
    #[error("outbound TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What a pool of connections belongs to.
type Key = (Digest, EgressPolicy);

/// All pools of the process.
pub(super) struct Pools {
    tls: ClientConfig,
    pub(super) lookups: Lookups,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    pools: HashMap<Key, Weak<Pool>>,
    /// Closed pools are forgotten when the map has grown to this size.
    sweep_at: usize,
}

/// The connections of one plugin digest under one policy.
pub(super) struct Pool {
    pub(super) guard: Arc<AddressGuard>,
    tls: ClientConfig,
    /// The same resolver and TLS, for connections that are not HTTP's.
    pub(super) resolver: GuardedResolver,
    pub(super) mail_tls: Arc<ClientConfig>,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    /// Channels that have not been retired.
    channels: usize,
    /// Made at the first request. The text says why there is none; every fetch then answers with it.
    client: Option<Result<Client, String>>,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A channel begins to use it.
    fn join(&self) {
        self.lock().channels += 1;
    }

    /// A channel is retired. With the last one the idle connections close.
    pub(super) fn leave(&self) {
        let mut shared = self.lock();
        shared.channels = shared.channels.saturating_sub(1);
        let closing = if shared.channels == 0 { shared.client.take() } else { None };
        drop(shared);
        // Requests under way hold what they need of it.
        drop(closing);
    }

    /// The client with the pooled connections; one without a pool when only retired channels are
    /// left.
    pub(super) fn client(&self) -> Result<Client, String> {
        let mut shared = self.lock();
        if let Some(client) = &shared.client {
            return client.clone();
        }
        let client = self.open();
        if shared.channels > 0 {
            shared.client = Some(client.clone());
        }
        client
    }

    fn open(&self) -> Result<Client, String> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .dns_resolver(self.resolver.clone())
            .redirect(redirect::Policy::none())
            // What may be sent again is decided in `wire`.
            .retry(reqwest::retry::never())
            .no_proxy()
            .referer(false)
            .user_agent(concat!("Conductor/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .pool_max_idle_per_host(limits::EGRESS_IDLE_PER_HOST)
            .pool_idle_timeout(limits::EGRESS_IDLE_TIMEOUT)
            .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| format!("no HTTP client could be made: {}", error.without_url()))
    }
}

impl Pools {
    /// `extra_roots_pem`: certificates that are trusted beside the system's.
    pub(super) fn new(extra_roots_pem: &[u8]) -> Result<Self, TlsSetupError> {
        Ok(Self {
            tls: tls_config(extra_roots_pem)?,
            lookups: Lookups::new(),
            open: Mutex::default(),
        })
    }

    /// The pool of `digest` under `policy`: the one in use, or a new one.
    pub(super) fn get(&self, digest: Digest, policy: &EgressPolicy) -> Arc<Pool> {
        let key = (digest, policy.clone());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = open.pools.get(&key).and_then(Weak::upgrade) {
            pool.join();
            return pool;
        }
        // Swept each time that it has doubled: it stays within twice what is in use, and opening many
        // pools at a reload does not walk through all of them for each.
        if open.pools.len() >= open.sweep_at {
            open.pools.retain(|_, pool| pool.strong_count() > 0);
            open.sweep_at = open.pools.len().saturating_mul(2).max(64);
        }
        let pool = Arc::new(self.new_pool(policy));
        pool.join();
        open.pools.insert(key, Arc::downgrade(&pool));
        pool
    }

    fn new_pool(&self, policy: &EgressPolicy) -> Pool {
        let guard = Arc::new(AddressGuard::new(policy.addresses()));
        let resolver = GuardedResolver::new(Arc::clone(&guard), self.lookups.for_pool());
        let mut tls = self.tls.clone();
        // The clone shares the verifier and its roots, which are large. Session tickets it must not
        // share: a session is part of a connection.
        tls.resumption = Resumption::in_memory_sessions(limits::EGRESS_TLS_SESSIONS_PER_POOL);
        let mut mail_tls = tls.clone();
        mail_tls.alpn_protocols.clear();
        let mail_tls = Arc::new(mail_tls);
        Pool { guard, tls, resolver, mail_tls, shared: Mutex::default() }
    }
}

/// [`limits::EGRESS_HEADER_BYTES_MAX`] in the type of HTTP/2's setting.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
const _: () = assert!(HEADER_LIST_BYTES_MAX as usize == limits::EGRESS_HEADER_BYTES_MAX);

/// The system's root certificates and the extra ones, HTTP/2 before HTTP/1.1.
fn tls_config(extra_roots_pem: &[u8]) -> Result<ClientConfig, TlsSetupError> {
    let extra_roots = CertificateDer::pem_slice_iter(extra_roots_pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsSetupError::ExtraRoots(error.to_string()))?;
    if extra_roots.is_empty() && !extra_roots_pem.is_empty() {
        return Err(TlsSetupError::ExtraRoots(String::from("there is no PEM certificate in it")));
    }
    // Named here, not taken from the process: which cryptography runs does not depend on what else
    // is linked in.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(extra_roots, Arc::clone(&provider))?;
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}
