//! What a notification carries, in the form in which the queue keeps it: the payload that `api`
//! writes and `dispatch` reads.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::ChannelName;

/// How the message is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Format {
    #[default]
    Plain,
    Markdown,
}

/// A file that goes with the message.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Attachment {
    /// The file's name.
    pub name: String,
    /// Its media type.
    pub content_type: String,
    /// Its bytes in base64 (RFC 4648, section 4).
    pub content: String,
}

/// What the caller wants delivered. Stored as JSON: people read it in listings and exports, and a
/// later version of the host can read what an earlier one accepted.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// The text.
    pub message: String,
    /// A title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// To whom or where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_id: Option<String>,
    /// How the text is written.
    #[serde(default)]
    pub format: Format,
    /// The caller's own data.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// Not to be sent before this moment (`sendAt`, RFC 3339): from then on its retries are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_at: Option<String>,
    /// Where to go on when this channel has given up. Empty: as the channel's configuration says,
    /// unless the notification has taken over from another channel itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<FallbackStep>,
    /// The channels that have given up before this one, the first one first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub took_over_from: Vec<ChannelName>,
    /// Who is to be told how it went (`callbackUrl`), besides the tenant's own endpoints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback_url: Option<String>,
    /// It is itself such a message: `message` is the body to post.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackTo>,
}

/// Another channel to try.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FallbackStep {
    /// Which one.
    pub channel: ChannelName,
    /// Milliseconds for the channel before it, from the acceptance on (or from when that one took
    /// over): then this one is tried, though the other may still have attempts. None: only when the
    /// other has given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ms: Option<u64>,
}

/// Where a callback goes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackTo {
    /// The endpoint.
    pub url: String,
    /// Whether a request named it, and not the tenant's configuration.
    #[serde(default)]
    pub requested: bool,
}

impl Envelope {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        // Strings, numbers and maps with string keys: serde_json has nothing to refuse here.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// When the payload is not what [`Self::encode`] writes.
    pub fn decode(payload: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(payload)
    }
}
