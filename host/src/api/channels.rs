//! `GET /channels`: what the tenant can send to, and what each channel takes.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::{Response, StatusCode},
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Shared,
    answer::json,
    auth::Caller,
    fits::{manifest_of, unit_word},
};
use crate::{
    config::Channel, envelope::Format, generation::Generation, observe::BindingReport,
    sandbox::Manifest,
};

/// The tenant's channels.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct ChannelList {
    /// In the order of their names.
    items: Vec<ChannelView>,
}

/// A channel. Its options and secrets stay with the operator.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelView {
    /// Its name.
    name: String,
    /// Its plugin.
    plugin: String,
    /// idle, running, degraded, unhealthy, misconfigured, backoff, quarantined; or not-loaded, failed.
    state: &'static str,
    /// What the plugin is, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    /// The plugin's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// The JSON Schema of the channel's options.
    #[serde(skip_serializing_if = "Option::is_none")]
    options_schema: Option<Value>,
    /// What it takes; not known while the plugin is not loaded.
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<ChannelLimits>,
    /// Channels to try when this one has given up.
    fallback: Vec<String>,
}

/// What a channel takes.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChannelLimits {
    /// The longest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_max: Option<u32>,
    /// In what it is counted: characters, utf16-units or bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_unit: Option<&'static str>,
    /// plain, markdown.
    formats: Vec<&'static str>,
    /// How many attachments.
    attachments_max: u32,
}

/// Lists the tenant's channels.
pub(super) async fn list(State(shared): State<Arc<Shared>>, caller: Caller) -> Response<Body> {
    let reports = (shared.api.bindings)();
    let items = caller
        .tenant
        .channels
        .values()
        .map(|channel| {
            let report = reports
                .iter()
                .find(|report| report.tenant == caller.tenant.id && report.channel == channel.name);
            view(&caller.generation, channel, report)
        })
        .collect();
    json(StatusCode::OK, &ChannelList { items })
}

fn view(generation: &Generation, channel: &Channel, report: Option<&BindingReport>) -> ChannelView {
    let manifest = generation.plugins.get(&channel.plugin).map(|plugin| manifest_of(plugin));
    let failed = generation.plugin_failures.contains_key(&channel.plugin);
    let state = match (report, manifest) {
        (Some(report), _) => report.state,
        (None, Some(_)) => "idle",
        (None, None) if failed => "failed",
        (None, None) => "not-loaded",
    };
    ChannelView {
        name: channel.name.to_string(),
        plugin: channel.plugin.to_string(),
        state,
        summary: manifest.map(|manifest| manifest.summary.clone()),
        version: manifest.map(|manifest| manifest.version.to_string()),
        options_schema: manifest.map(|manifest| manifest.options_schema.clone()),
        limits: manifest.map(limits),
        fallback: channel.fallback.iter().map(ToString::to_string).collect(),
    }
}

fn limits(manifest: &Manifest) -> ChannelLimits {
    let mut formats = vec!["plain"];
    if manifest.formats.contains(&Format::Markdown) {
        formats.push("markdown");
    }
    ChannelLimits {
        message_max: manifest.body_max.map(|limit| limit.length),
        message_unit: manifest.body_max.map(|limit| unit_word(limit.unit)),
        formats,
        attachments_max: manifest.attachments_max,
    }
}
