//! What a provider may be told of an attachment: it comes from anywhere.

use crate::Attachment;

impl Attachment {
    /// Type and subtype alone, in lower case, and none whose content is parts or messages: these may
    /// not be encoded (RFC 2046, sections 5.1 and 5.2). What is no media type is
    /// `application/octet-stream`.
    #[must_use]
    pub fn media_type(&self) -> String {
        let essence = self.content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        let is_token = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&b))
        };
        match essence.split_once('/') {
            Some((kind, subtype))
                if is_token(kind)
                    && is_token(subtype)
                    && !["multipart", "message"].contains(&kind) =>
            {
                essence
            }
            _ => "application/octet-stream".to_owned(),
        }
    }

    /// The name without control characters, for a header.
    #[must_use]
    pub fn clean_name(&self) -> String {
        self.name.chars().filter(|char| !char.is_control()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attachment(name: &str, content_type: &str) -> Attachment {
        Attachment { name: name.into(), content_type: content_type.into(), content: Vec::new() }
    }

    #[test]
    fn a_media_type_is_one_or_none() {
        for (given, found) in [
            ("text/plain", "text/plain"),
            ("Text/HTML; charset=utf-8", "text/html"),
            ("image/svg+xml", "image/svg+xml"),
            ("message/rfc822", "application/octet-stream"),
            ("multipart/mixed", "application/octet-stream"),
            ("text", "application/octet-stream"),
            ("text/", "application/octet-stream"),
            ("a b/c", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(attachment("a", given).media_type(), found, "{given}");
        }
        assert_eq!(attachment("a\r\nb\u{7}.txt", "").clean_name(), "ab.txt");
    }
}
