//! The way out for one instance: its channel's egress, with somebody who counts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::observer::Observer;
use crate::{
    egress::{BindingEgress, Denial, DenialReason, FetchError, Socket},
    ids::PluginName,
    store::Lane,
};

/// The status of a handshake that worked.
const SWITCHING_PROTOCOLS: u16 = 101;

/// All ways of a guest to the outside, `http.fetch`, `wasi:http`, `smtp` and `websocket`, lead
/// through here.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) egress: Arc<BindingEgress>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) plugin: PluginName,
    pub(super) lane: Lane,
    contact: Arc<Mutex<LastContact>>,
}

/// Whom a call has spoken to last, and how that went: what the host saw, whatever the plugin makes
/// of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contact {
    /// The provider's host, with its port if the URL names one.
    pub host: Arc<str>,
    /// Whether the host is not there or in trouble: unreachable, without an answer, or 5xx.
    pub failed: bool,
}

/// The name is kept over calls: an instance talks to the same host all its life.
#[derive(Default)]
struct LastContact {
    host: Option<Arc<str>>,
    failed: Option<bool>,
    traffic: Traffic,
}

/// What went through a door since this was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Traffic {
    /// Requests, those that were refused included.
    pub(super) requests: u64,
    /// Headers and bodies of requests that left.
    pub(super) bytes_out: u64,
    /// Headers and bodies of answers.
    pub(super) bytes_in: u64,
}

fn size(headers: &http::HeaderMap, body: &Bytes) -> u64 {
    let headers = headers.iter().map(|(name, value)| name.as_str().len() + value.len());
    u64::try_from(headers.sum::<usize>().saturating_add(body.len())).unwrap_or(u64::MAX)
}

impl Door {
    pub(super) fn new(
        egress: Arc<BindingEgress>,
        observer: Arc<dyn Observer>,
        plugin: PluginName,
        lane: Lane,
    ) -> Self {
        Self { egress, observer, plugin, lane, contact: Arc::default() }
    }

    /// The same way out for one of several calls at the same time: what it speaks to is its own.
    pub(super) fn of_call(&self) -> Self {
        Self::new(
            Arc::clone(&self.egress),
            Arc::clone(&self.observer),
            self.plugin.clone(),
            self.lane.clone(),
        )
    }

    /// One request, one answer.
    pub(super) async fn fetch(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, FetchError> {
        let host = self.host(request.uri());
        let out = size(request.headers(), request.body());
        let answer = self.egress.fetch_told(request, timeout, &self.tell()).await;
        let told = answer.as_ref().map(|response| response.status().as_u16());
        let failed = match &told {
            Ok(status) => Some(*status >= 500),
            Err(FetchError::Unreachable(_) | FetchError::NoAnswer(_)) => Some(true),
            // It did not leave, or what came back is a matter of this message.
            Err(
                FetchError::Denied(_)
                | FetchError::SecretDenied(_)
                | FetchError::Invalid(_)
                | FetchError::TooLarge(_),
            ) => None,
        };
        let mut last = self.lock();
        last.traffic.requests += 1;
        // What was too large has left as well.
        if failed.is_some() || matches!(answer, Err(FetchError::TooLarge(_))) {
            last.traffic.bytes_out += out;
        }
        if let Ok(response) = &answer {
            last.traffic.bytes_in += size(response.headers(), response.body());
        }
        if let Some(host) = host
            && failed.is_some()
        {
            last.host = Some(host);
            last.failed = failed;
        }
        drop(last);
        self.observer.fetched(&self.plugin, told);
        answer
    }

    /// Passes on what was denied.
    pub(super) fn tell(&self) -> impl Fn(Denial) + Sync {
        |denial: Denial| self.observer.denied(&self.lane, &self.plugin, &denial)
    }

    /// A request that was no request: it did not get as far as [`Self::fetch`].
    pub(super) fn malformed(&self, error: &FetchError) {
        let reason = DenialReason::Malformed;
        let denial =
            Denial { reason, origin: None, secret: None, lacks_grant: false, enforced: true };
        self.observer.denied(&self.lane, &self.plugin, &denial);
        self.observer.fetched(&self.plugin, Err(error));
    }

    /// Remembers whom the call has spoken to.
    pub(super) fn contacted(&self, host: Arc<str>, failed: bool) {
        let mut last = self.lock();
        last.host = Some(host);
        last.failed = Some(failed);
    }

    /// Opens a websocket; counted like a request, with the status of its handshake.
    pub(super) async fn connect(
        &self,
        url: &str,
        headers: &[(String, String)],
        timeout: Duration,
    ) -> Result<Socket, FetchError> {
        let opened = self.egress.connect(url, headers, timeout, &self.tell()).await;
        self.observer.fetched(&self.plugin, opened.as_ref().map(|_| SWITCHING_PROTOCOLS));
        opened
    }

    /// Whom the call that is over has spoken to; the next one begins with nobody.
    pub(super) fn take_contact(&self) -> Option<Contact> {
        let mut last = self.lock();
        let failed = last.failed.take()?;
        Some(Contact { host: last.host.clone()?, failed })
    }

    /// What went through since this was last asked.
    pub(super) fn take_traffic(&self) -> Traffic {
        std::mem::take(&mut self.lock().traffic)
    }

    fn host(&self, uri: &http::Uri) -> Option<Arc<str>> {
        let authority = uri.authority()?.as_str();
        // Without the user and password that some URLs have.
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let last = self.lock();
        match &last.host {
            Some(known) if **known == *host => Some(Arc::clone(known)),
            // A plugin that may read a secret has made a name of it: that is in no report.
            _ if self.egress.vault().is_in_host(host) => None,
            _ => Some(Arc::from(host.to_ascii_lowercase())),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, LastContact> {
        self.contact.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
