//! Marked ranges, counted in UTF-16 (<https://core.telegram.org/bots/api#messageentity>). With these
//! nothing in a message needs to be escaped.

use conductor_sdk::{
    LengthUnit, json,
    markdown::{Rich, Span, Style},
    serde_json::Value,
    text::length,
    without_nulls,
};

/// Telegram heeds the first hundred.
const ENTITIES_MAX: usize = 100;

pub(crate) fn of(rich: &Rich) -> Vec<Value> {
    rich.spans.iter().take(ENTITIES_MAX).map(|span| entity(&rich.text, span)).collect()
}

fn entity(text: &str, span: &Span) -> Value {
    let units = |range| length(text.get(range).unwrap_or_default(), LengthUnit::Utf16Units);
    let kind = match &span.style {
        Style::Bold | Style::Heading(_) => "bold",
        Style::Italic => "italic",
        Style::Strike => "strikethrough",
        Style::Code => "code",
        Style::Pre(_) => "pre",
        Style::Link(_) => "text_link",
        Style::Quote => "blockquote",
    };
    let (language, url) = match &span.style {
        Style::Pre(language) => (language.as_deref(), None),
        Style::Link(address) => (None, Some(address)),
        _ => (None, None),
    };
    without_nulls(json!({
        "type": kind,
        "offset": units(0..span.range.start),
        "length": units(span.range.clone()),
        "language": language,
        "url": url,
    }))
}
