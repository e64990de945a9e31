//! The way out for one instance: its channel's egress, with somebody who counts.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::observer::Observer;
use crate::{
    egress::{BindingEgress, Denial, DenialReason, FetchError},
    ids::PluginName,
    store::Lane,
};

/// All ways of a guest to the outside, `http.fetch`, `wasi:http` and `smtp`, lead through here.
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
        Self::new(Arc::clone(&self.egress), Arc::clone(&self.observer), self.plugin.clone())
    }

    /// One request, one answer.
    pub(super) async fn fetch(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, FetchError> {
        let host = self.host(request.uri());
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
        if let (Some(host), Some(failed)) = (host, failed) {
            self.contacted(host, failed);
        }
        self.observer.fetched(&self.plugin, told);
        answer
    }

    /// Passes on what was denied.
    pub(super) fn tell(&self) -> impl Fn(Denial) + Sync {
        |denial: Denial| self.observer.denied(&self.lane, &self.plugin, &denial)
    }

    /// A request that was no request: it did not get as far as [`Self::fetch`].
    pub(super) fn malformed(&self) {
        let reason = DenialReason::Malformed;
        let denial =
            Denial { reason, origin: None, secret: None, lacks_grant: false, enforced: true };
        self.observer.denied(&self.lane, &self.plugin, &denial);
    }

    /// Remembers whom the call has spoken to.
    pub(super) fn contacted(&self, host: Arc<str>, failed: bool) {
        let mut last = self.lock();
        last.host = Some(host);
        last.failed = Some(failed);
    }

    /// Whom the call that is over has spoken to; the next one begins with nobody.
    pub(super) fn take_contact(&self) -> Option<Contact> {
        let mut last = self.lock();
        let failed = last.failed.take()?;
        Some(Contact { host: last.host.clone()?, failed })
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
