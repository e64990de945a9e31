//! What a notification carries, in the form in which the queue keeps it: the payload that `api`
//! writes and `dispatch` reads.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
