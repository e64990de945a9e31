//! The shapes of what comes in, and of errors. They are read by hand ([`crate::api::notification`])
//! or written by hand ([`crate::api::problem`]); tests hold the two together.

use utoipa::ToSchema;

/// A notification.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) struct NotificationRequest {
    /// The name of one of the tenant's channels. Needed, unless `channels` is given.
    channel: Option<String>,
    /// Another name of `channel`; if both are given they must be the same.
    channel_id: Option<String>,
    /// Several channels, in place of `channel`: 1 to 16, all different.
    channels: Option<Vec<String>>,
    /// The channels to go on to, in this order, when `channel` has given up; in place of those of
    /// its configuration.
    #[schema(max_items = 5)]
    fallback: Option<Vec<FallbackRequest>>,
    /// Notifications of one channel with the same key are delivered one after the other. At most
    /// 128 bytes.
    ordering_key: Option<String>,
    /// Who is to be told how it went: an absolute URL of at most 2048 bytes.
    #[schema(format = "uri")]
    callback_url: Option<String>,
    /// The text.
    message: String,
    /// A title.
    title: Option<String>,
    /// Decides the order inside a channel, and which of the tenant's channels goes first.
    #[schema(default = "normal")]
    priority: Option<PriorityWord>,
    /// To whom or where; what it means depends on the channel.
    target_id: Option<String>,
    /// How the text is written.
    #[schema(default = "plain")]
    format: Option<FormatWord>,
    /// The caller's own data, for the channel.
    data: Option<std::collections::HashMap<String, serde_json::Value>>,
    /// Files.
    attachments: Option<Vec<AttachmentRequest>>,
    /// Not before this moment.
    #[schema(format = DateTime)]
    send_at: Option<String>,
    /// Not after this moment.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// The next channel: its name, or its name and how long the one before it has.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) enum FallbackRequest {
    /// When the channel before it has given up.
    Name(String),
    /// When the channel before it has given up, or after this time.
    Step(FallbackStepRequest),
}

/// The next channel, and how long the one before it has.
#[derive(serde::Serialize, ToSchema)]
pub(in crate::api) struct FallbackStepRequest {
    /// Its name.
    channel: String,
    /// How long the channel before it is tried: seconds, or an ISO 8601 duration such as `PT5M`.
    after: Option<DurationRequest>,
}

/// Seconds, or an ISO 8601 duration.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) enum DurationRequest {
    /// Seconds.
    Seconds(f64),
    /// An ISO 8601 duration of weeks, days, hours, minutes and seconds.
    Iso(String),
}

/// A notification, or the parent of several.
#[derive(serde::Serialize, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "described here, written by hand")]
pub(in crate::api) enum NotificationOrParent {
    /// A notification.
    Notification(crate::api::views::NotificationDetail),
    /// The parent of several.
    Parent(crate::api::group_view::ParentDetail),
}

/// Which dead letters to send again, or to remove.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) struct DeadLettersRequest {
    /// `dead`.
    status: String,
    /// Only of this channel.
    channel: Option<String>,
    /// Only accepted at this moment or later.
    #[schema(format = DateTime)]
    from: Option<String>,
    /// Only accepted before this moment.
    #[schema(format = DateTime)]
    to: Option<String>,
    /// At most so many, 1 to 200; otherwise 100.
    limit: Option<u32>,
    /// `nextCursor` of the answer before.
    cursor: Option<String>,
}

/// The word of a priority.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) enum PriorityWord {
    Low,
    Normal,
    High,
    Urgent,
}

/// The word of a format.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) enum FormatWord {
    Plain,
    Markdown,
}

/// A file.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) struct AttachmentRequest {
    /// Its name, without a folder.
    name: String,
    /// Its media type.
    content_type: String,
    /// Its bytes in base64, with padding.
    content: String,
}

/// An error (RFC 9457). Some kinds have members of their own: `id`, `notificationStatus`, `outcome`,
/// `code`, `knownChannels`, `limit`, `found`, `unit`, `line`, `column`, `live`, `liveMax`, `bytesMax`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by hand")]
pub(in crate::api) struct Problem {
    /// `/problems/` and a slug that never changes its meaning: what programs branch on.
    r#type: String,
    /// The same for every occurrence of the type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// About this occurrence, for people.
    detail: String,
    /// The places that are wrong.
    errors: Option<Vec<ProblemPlace>>,
}

/// One place in the request that is wrong; one of `pointer`, `parameter` and `header` is there.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described here, written by hand")]
pub(in crate::api) struct ProblemPlace {
    /// A JSON pointer into the body.
    pointer: Option<String>,
    /// A query parameter.
    parameter: Option<String>,
    /// A header.
    header: Option<String>,
    /// What was found and what was expected.
    detail: String,
}
