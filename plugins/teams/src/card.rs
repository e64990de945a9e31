//! The message as an Adaptive Card
//! (<https://learn.microsoft.com/microsoftteams/platform/task-modules-and-cards/cards/cards-reference#adaptive-card>,
//! <https://adaptivecards.io/explorer/RichTextBlock.html>).
//!
//! A `TextBlock` would read a part of Markdown and cannot be told not to. In the runs of a
//! `RichTextBlock` nothing is markup, so that nothing needs to be escaped.

use conductor_sdk::{
    Priority, json,
    markdown::{Rich, Style},
    serde_json::Value,
};

/// The body of the request. It is what the template "Post to a channel when a webhook request is
/// received" expects.
pub(crate) fn envelope(part: &Rich, priority: Priority) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": card(part, priority),
        }],
    })
}

/// The length of the whole request. What is much too long is only estimated, and not built.
pub(crate) fn bytes(part: &Rich) -> usize {
    const LINE_BYTES: usize = 60;
    const SPAN_BYTES: usize = 30;
    let lines = part.text.bytes().filter(|byte| *byte == b'\n').count();
    let at_least = part.text.len() + SPAN_BYTES * part.spans.len();
    if at_least + LINE_BYTES * lines > 2 * crate::PAYLOAD_BYTES_MAX {
        return at_least + LINE_BYTES * lines;
    }
    // The priority whose word is the longest.
    envelope(part, Priority::Urgent).to_string().len()
}

fn card(part: &Rich, priority: Priority) -> Value {
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        // What Teams shows on all its devices.
        "version": "1.4",
        "msteams": { "width": "Full" },
        "body": [{
            "type": "Container",
            "style": style(priority),
            "bleed": true,
            "items": lines(part),
        }],
    })
}

/// How a container stands out.
fn style(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "emphasis",
        Priority::Normal => "default",
        Priority::High => "warning",
        Priority::Urgent => "attention",
    }
}

/// One block for each line: a run has no line breaks of its own.
fn lines(part: &Rich) -> Vec<Value> {
    let mut items = Vec::new();
    let mut start = 0;
    let mut gap = false;
    for line in part.text.split('\n') {
        let end = start + line.len();
        if line.is_empty() {
            gap = true;
        } else {
            items.push(json!({
                "type": "RichTextBlock",
                "spacing": if std::mem::take(&mut gap) { "Medium" } else { "None" },
                "inlines": runs(&part.cut(start..end, false)),
            }));
        }
        start = end + 1;
    }
    items
}

/// Pieces of a line that look the same all through.
fn runs(line: &Rich) -> Vec<Value> {
    let mut places: Vec<usize> = line
        .spans
        .iter()
        .flat_map(|span| [span.range.start, span.range.end])
        .chain([0, line.text.len()])
        .collect();
    places.sort_unstable();
    places.dedup();
    places
        .windows(2)
        .filter_map(|pair| {
            let (start, end) = (*pair.first()?, *pair.last()?);
            let mut run = json!({ "type": "TextRun", "text": line.text.get(start..end)? });
            for span in &line.spans {
                if span.range.start <= start && end <= span.range.end {
                    dress(&mut run, &span.style);
                }
            }
            Some(run)
        })
        .collect()
}

fn dress(run: &mut Value, style: &Style) {
    let Some(fields) = run.as_object_mut() else { return };
    let mut set = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    match style {
        Style::Bold => set("weight", "Bolder".into()),
        Style::Heading(level) => {
            set("weight", "Bolder".into());
            set("size", if *level < 3 { "Large" } else { "Medium" }.into());
        }
        Style::Italic => set("italic", true.into()),
        Style::Strike => set("strikethrough", true.into()),
        Style::Code | Style::Pre(_) => set("fontType", "Monospace".into()),
        Style::Quote => set("isSubtle", true.into()),
        Style::Link(address) => {
            set("selectAction", json!({ "type": "Action.OpenUrl", "url": address }));
        }
    }
}
