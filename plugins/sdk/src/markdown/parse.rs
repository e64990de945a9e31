//! From Markdown to text with spans.

use std::ops::Range;

use super::{
    Rich, Span, Style,
    blocks::{Block, blocks},
    inline::{What, marks},
};

/// How deep quotations, emphasis and lists are read, each inside another of its kind. A message may
/// nest them as deep as it is long.
const DEPTH_MAX: usize = 8;

pub(super) fn rich(source: &str) -> Rich {
    let mut rich = Rich::default();
    document(source, 0, &mut rich);
    rich
}

fn document(source: &str, depth: usize, rich: &mut Rich) {
    let mut was_item = None;
    for block in blocks(source) {
        let is_item = matches!(block, Block::Item { .. });
        match was_item.replace(is_item) {
            None => {}
            Some(true) if is_item => rich.text.push('\n'),
            Some(_) => rich.text.push_str("\n\n"),
        }
        write(source, block, depth, rich);
    }
}

fn write(source: &str, block: Block<'_>, depth: usize, rich: &mut Rich) {
    let get = |range: Range<usize>| source.get(range).unwrap_or_default();
    match block {
        Block::Paragraph(range) => inline(&unindented(get(range)), 0, rich),
        Block::Heading(level, range) => {
            spanned(rich, Style::Heading(level), |rich| inline(get(range).trim(), 0, rich));
        }
        Block::Item { level, number, text } => {
            rich.text.push_str(&"  ".repeat(level.min(DEPTH_MAX)));
            rich.text.push_str(number.unwrap_or("•"));
            rich.text.push(' ');
            inline(&unindented(get(text)), 0, rich);
        }
        Block::Rule => rich.text.push_str("———"),
        Block::Fence(fence) => {
            let style = Style::Pre(fence.language().map(ToOwned::to_owned));
            let code = get(fence.inner);
            let code = code.strip_suffix('\n').unwrap_or(code);
            spanned(rich, style, |rich| rich.text.push_str(code));
        }
        Block::Quote(range) => {
            let inside: String = get(range)
                .split_inclusive('\n')
                .map(|line| {
                    let line = line.trim_start().strip_prefix('>').unwrap_or(line);
                    line.strip_prefix(' ').unwrap_or(line)
                })
                .collect();
            spanned(rich, Style::Quote, |rich| match depth {
                DEPTH_MAX.. => rich.text.push_str(inside.trim_end()),
                _ => document(&inside, depth + 1, rich),
            });
        }
    }
}

/// Lines without what stands around them.
fn unindented(text: &str) -> String {
    text.trim_end()
        .split('\n')
        .map(|line| {
            let line = line.trim();
            // A line break that is asked for is one all the same.
            line.strip_suffix('\\').unwrap_or(line)
        })
        .collect::<Vec<_>>()
        .join("\n")
}

fn inline(text: &str, depth: usize, rich: &mut Rich) {
    let get = |range: Range<usize>| text.get(range).unwrap_or_default();
    let mut written = 0;
    for mark in if depth < DEPTH_MAX { marks(text) } else { Vec::new() } {
        rich.text.push_str(get(written..mark.outer.start));
        written = mark.outer.end;
        let inner = get(mark.inner);
        match mark.what {
            What::Escape => rich.text.push_str(inner),
            What::Literal(style) => spanned(rich, style, |rich| rich.text.push_str(inner)),
            What::Nested(style) => {
                let address = match &style {
                    Style::Link(address) if inner.trim().is_empty() => Some(address.clone()),
                    _ => None,
                };
                spanned(rich, style, |rich| match address {
                    // A picture without a description.
                    Some(address) => rich.text.push_str(&address),
                    None => inline(inner, depth + 1, rich),
                });
            }
        }
    }
    rich.text.push_str(get(written..text.len()));
}

/// Puts a span around what `write` writes, if that is anything.
fn spanned(rich: &mut Rich, style: Style, write: impl FnOnce(&mut Rich)) {
    let start = rich.text.len();
    let place = rich.spans.len();
    rich.spans.push(Span { range: start..start, style });
    write(rich);
    let end = rich.text.len();
    if start == end {
        rich.spans.truncate(place);
    } else if let Some(span) = rich.spans.get_mut(place) {
        span.range.end = end;
    }
}
