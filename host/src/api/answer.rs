//! Answers about one notification: delivered, on its way, or ended badly.

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

use super::{
    group_view::BranchView,
    kinds,
    notification::priority_word,
    problem::{Kind, Problem},
};
use crate::{
    clock::UnixMs,
    config::Tenant,
    envelope::Envelope,
    ids::NotificationId,
    outcomes::Ending,
    store::{Priority, State, Status},
};

/// The body of a 200 or 202.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Accepted<'a> {
    /// True, but where some of several channels have given up (`partial`). Other errors have another
    /// form.
    pub(super) success: bool,
    /// The notification's id (UUIDv7).
    #[schema(value_type = uuid::Uuid)]
    pub(super) id: NotificationId,
    /// The tenant.
    #[schema(value_type = uuid::Uuid)]
    pub(super) tenant_id: crate::ids::TenantId,
    /// What the tenant is called.
    pub(super) tenant_name: &'a str,
    /// The channel, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channel: Option<&'a str>,
    /// The message as it was sent in.
    pub(super) message: &'a str,
    /// low, normal, high or urgent.
    pub(super) priority: &'static str,
    /// When it was accepted.
    pub(super) timestamp: String,
    /// delivered or, of several channels, partial; or queued or retrying.
    pub(super) status: &'static str,
    /// The provider's id of the message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) provider_id: Option<&'a str>,
    /// How it stands with each channel, where there are several or another one may take over.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) channels: Vec<BranchView>,
}

/// What an answer repeats.
pub(super) struct About<'a> {
    pub(super) tenant: &'a Tenant,
    pub(super) id: NotificationId,
    pub(super) channel: &'a str,
    pub(super) message: &'a str,
    pub(super) priority: Priority,
    pub(super) created: UnixMs,
}

impl<'a> About<'a> {
    /// The answer for how it ended.
    pub(super) fn ended(&self, ending: &'a Ending) -> Result<Response<Body>, Problem> {
        match ending {
            Ending::Delivered { provider_id } => Ok(self.delivered(provider_id.as_deref())),
            Ending::Cancelled => Err(cancelled(self.id)),
            Ending::Dead { outcome, code, detail } => {
                Err(dead(self.id, outcome, code.as_deref(), detail.as_deref()))
            }
        }
    }

    /// 202: it is not over.
    pub(super) fn pending(&self, status: &'static str) -> Response<Body> {
        let mut response = json(StatusCode::ACCEPTED, &self.body(status, None));
        response.headers_mut().insert(header::LOCATION, location(self.id));
        response
    }

    fn delivered(&self, provider_id: Option<&'a str>) -> Response<Body> {
        json(StatusCode::OK, &self.body("delivered", provider_id))
    }

    fn body(&self, status: &'static str, provider_id: Option<&'a str>) -> Accepted<'a> {
        Accepted {
            success: true,
            id: self.id,
            tenant_id: self.tenant.id,
            tenant_name: &self.tenant.name,
            channel: Some(self.channel),
            message: self.message,
            priority: priority_word(self.priority),
            timestamp: self.created.rfc3339(),
            status,
            provider_id,
            channels: Vec::new(),
        }
    }
}

pub(super) fn cancelled(id: NotificationId) -> Problem {
    Problem::new(kinds::CANCELLED, "It was cancelled before it was sent.")
        .with("id", id.to_string())
        .with("notificationStatus", state_word(State::Cancelled))
}

/// The answer for what the store says about a notification.
pub(super) fn of_status(tenant: &Tenant, status: &Status) -> Result<Response<Body>, Problem> {
    let row = &status.row;
    let envelope = Envelope::decode(&status.payload).unwrap_or_default();
    let about = About {
        tenant,
        id: row.id,
        channel: row.lane.channel.as_str(),
        message: &envelope.message,
        priority: row.priority,
        created: row.created,
    };
    match row.state {
        State::Delivered => Ok(about.delivered(row.provider_id.as_deref())),
        State::Dead => {
            let last = status.attempts.last().map(|(_, _, attempt)| attempt);
            let outcome = last.map_or("", |attempt| &*attempt.outcome);
            let code = last.and_then(|attempt| attempt.code.as_deref());
            Err(dead(row.id, outcome, code, row.last_error.as_deref()))
        }
        State::Cancelled => Err(cancelled(row.id)),
        State::Sending if row.attempts > 1 => Ok(about.pending("retrying")),
        State::Queued | State::Sending => Ok(about.pending("queued")),
        State::Retrying => Ok(about.pending("retrying")),
    }
}

/// The kind of problem that an attempt's outcome is at the end, and what it means.
pub(super) fn kind_of_end(outcome: &str) -> (Kind, &'static str) {
    match outcome {
        "rejected" | "moved" => (kinds::REJECTED, "The provider rejected it"),
        "expired" => (kinds::EXPIRED, "It could not be delivered before it expired"),
        "misconfigured" => {
            (kinds::CHANNEL_MISCONFIGURED, "A credential or an option of the channel is wrong")
        }
        _ => (kinds::DELIVERY_FAILED, "It could not be delivered and was given up"),
    }
}

/// The problem of a notification that was given up.
fn dead(id: NotificationId, outcome: &str, code: Option<&str>, detail: Option<&str>) -> Problem {
    let (kind, what) = kind_of_end(outcome);
    let detail = match detail {
        Some(detail) => format!("{what}: {detail}"),
        None => format!("{what}."),
    };
    let problem = Problem::new(kind, detail)
        .with("id", id.to_string())
        .with("notificationStatus", state_word(State::Dead))
        .with("outcome", outcome)
        .header(header::LOCATION, location(id));
    match code {
        Some(code) => problem.with("code", code),
        None => problem,
    }
}

/// How a state is written.
pub(super) const fn state_word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Sending => "sending",
        State::Retrying => "retrying",
        State::Delivered => "delivered",
        State::Dead => "dead",
        State::Cancelled => "cancelled",
    }
}

/// Every state, for reading them.
pub(super) const STATES: &[State] = &[
    State::Queued,
    State::Sending,
    State::Retrying,
    State::Delivered,
    State::Dead,
    State::Cancelled,
];

/// Where a notification can be read.
pub(super) fn location(id: NotificationId) -> HeaderValue {
    // A path of letters, digits and dashes is a header value.
    HeaderValue::from_str(&format!("/notifications/{id}"))
        .unwrap_or_else(|_| HeaderValue::from_static("/notifications"))
}

/// An answer of JSON.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(text) => {
            let mut response = Response::new(Body::from(text));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            Problem::new(kinds::INTERNAL, "The answer could not be written.").into_response()
        }
    }
}
