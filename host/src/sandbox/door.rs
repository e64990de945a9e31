//! The way out for one instance: its channel's egress, with somebody who counts.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::observer::Observer;
use crate::{
    egress::{BindingEgress, FetchError},
    ids::PluginName,
};

/// Both ways of a guest to send a request, `http.fetch` and `wasi:http`, lead through here.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) egress: Arc<BindingEgress>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) plugin: PluginName,
}

impl Door {
    /// One request, one answer.
    pub(super) async fn fetch(
        &self,
        request: http::Request<Bytes>,
        timeout: Duration,
    ) -> Result<http::Response<Bytes>, FetchError> {
        let answer = self.egress.fetch(request, timeout).await;
        let told = answer.as_ref().map(|response| response.status().as_u16());
        self.observer.fetched(&self.plugin, told);
        answer
    }
}
