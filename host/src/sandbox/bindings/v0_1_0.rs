//! `conductor:channel@0.1.0`, and its values in the host's own types.
//!
//! `async` is said only of what may wait: `fetch`, and what `smtp` does. Everything else answers at once, and every
//! import may trap, which is how a limit ends the guest.

use std::time::Duration;

use crate::{
    envelope::Format,
    sandbox::{
        manifest::{BodyLimit, LengthUnit, Manifest, Rate, SecretWant},
        outcome::{Health, HealthStatus, Outcome, Problem, RetryScope},
    },
    store::Priority,
};

wasmtime::component::bindgen!({
    path: "../wit/channel-0.1.0",
    world: "plugin",
    imports: {
        "conductor:channel/http.fetch": async | trappable,
        "conductor:channel/smtp.submit": async | trappable,
        "conductor:channel/smtp.check": async | trappable,
        default: trappable,
    },
    exports: { default: async },
});

pub(crate) use self::conductor::channel::{channel_types, http, log, secrets, smtp, state};
pub(crate) use self::exports::conductor::channel::metadata;

pub(crate) fn priority(priority: Priority) -> channel_types::Priority {
    match priority {
        Priority::Low => channel_types::Priority::Low,
        Priority::Normal => channel_types::Priority::Normal,
        Priority::High => channel_types::Priority::High,
        Priority::Urgent => channel_types::Priority::Urgent,
    }
}

pub(crate) fn format(format: Format) -> channel_types::Format {
    match format {
        Format::Plain => channel_types::Format::Plain,
        Format::Markdown => channel_types::Format::Markdown,
    }
}

pub(super) fn problem(problem: channel_types::Problem) -> Problem {
    Problem { code: problem.code, detail: problem.detail }
}

pub(crate) fn outcome(result: Result<channel_types::Receipt, channel_types::SendError>) -> Outcome {
    use channel_types::{ReceiptStatus, SendError};
    match result {
        Ok(receipt) => Outcome::Delivered {
            accepted_only: matches!(receipt.status, ReceiptStatus::Accepted),
            provider_id: receipt.provider_id,
            details: receipt.details,
        },
        Err(SendError::Rejected(why)) => Outcome::Rejected(problem(why)),
        Err(SendError::Misconfigured(why)) => Outcome::Misconfigured(problem(why)),
        Err(SendError::Unknown(why)) => Outcome::Unknown(problem(why)),
        Err(SendError::Moved(moved)) => {
            Outcome::Moved { problem: problem(moved.problem), target: moved.target }
        }
        Err(SendError::Retry(retry)) => Outcome::Retry {
            problem: problem(retry.problem),
            after: retry.after_ms.map(|ms| Duration::from_millis(ms.into())),
            scope: match retry.scope {
                channel_types::RetryScope::Message => RetryScope::Message,
                channel_types::RetryScope::Destination => RetryScope::Destination,
                channel_types::RetryScope::Credential => RetryScope::Credential,
                channel_types::RetryScope::Provider => RetryScope::Provider,
            },
        },
    }
}

pub(crate) fn failure(failure: channel_types::Failure) -> (Problem, bool) {
    (problem(failure.problem), failure.temporary)
}

pub(crate) fn health(report: channel_types::HealthReport) -> Health {
    Health {
        status: match report.status {
            channel_types::HealthStatus::Healthy => HealthStatus::Healthy,
            channel_types::HealthStatus::Degraded => HealthStatus::Degraded,
            channel_types::HealthStatus::Unhealthy => HealthStatus::Unhealthy,
        },
        detail: report.detail,
    }
}

/// The manifest, or what is wrong with it.
pub(crate) fn manifest(manifest: metadata::Manifest) -> Result<Manifest, String> {
    let version = manifest.version.parse().map_err(|error| {
        let found = crate::sandbox::log::cut(&manifest.version, 64);
        format!("its manifest's version {found:?} is no semantic version: {error}")
    })?;
    let options_schema: serde_json::Value = serde_json::from_str(&manifest.options_schema)
        .map_err(|error| format!("its manifest's options-schema is not JSON: {error}"))?;
    Ok(Manifest {
        name: manifest.name,
        version,
        summary: manifest.summary,
        options_schema,
        secrets: manifest
            .secrets
            .into_iter()
            .map(|want| SecretWant {
                name: want.name,
                summary: want.summary,
                required: want.required,
            })
            .collect(),
        hosts: manifest.hosts,
        body_max: manifest.body_max.map(|limit| BodyLimit {
            length: limit.length,
            unit: match limit.unit {
                metadata::LengthUnit::Characters => LengthUnit::Characters,
                metadata::LengthUnit::Utf16Units => LengthUnit::Utf16Units,
                metadata::LengthUnit::Bytes => LengthUnit::Bytes,
            },
        }),
        formats: manifest
            .formats
            .into_iter()
            .map(|format| match format {
                channel_types::Format::Plain => Format::Plain,
                channel_types::Format::Markdown => Format::Markdown,
            })
            .collect(),
        attachments_max: manifest.attachments_max,
        deduplication_key_max: match manifest.deduplication {
            metadata::Deduplication::None => None,
            metadata::Deduplication::Key(max) => Some(max),
        },
        rates: manifest
            .rates
            .into_iter()
            .map(|rate| Rate {
                per_destination: matches!(rate.scope, metadata::RateScope::Destination),
                count: rate.count,
                per_ms: rate.per_ms,
            })
            .collect(),
    })
}
