//! The shapes of what comes in, and of errors. They are read by hand ([`crate::api::notification`])
//! or written by hand ([`crate::api::problem`]); tests hold the two together.

use utoipa::ToSchema;

/// A notification.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "described here, read by hand")]
pub(in crate::api) struct NotificationRequest {
    /// The name of one of the tenant's channels.
    channel: String,
    /// Another name of `channel`; if both are given they must be the same.
    channel_id: Option<String>,
    /// The text.
    message: String,
    /// A title.
    title: Option<String>,
    /// Decides the order inside a channel.
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
