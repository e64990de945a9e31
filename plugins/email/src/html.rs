//! `CommonMark` as HTML that may come from anywhere: no HTML of the message's own, no scripts in
//! links, no pictures that tell who has read it.

use pulldown_cmark::{CowStr, Event, Parser, Tag, TagEnd, html::push_html};

/// The message as a small page.
pub(crate) fn page(markdown: &str) -> String {
    let mut body = String::with_capacity(markdown.len() * 2);
    push_html(&mut body, Parser::new(markdown).map(tame));
    format!("<!DOCTYPE html>\n<html><body>\n{body}</body></html>\n")
}

fn tame(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(text) | Event::InlineHtml(text) => Event::Text(text),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: safe(dest_url), title, id })
        }
        // Its description stays, as a link to it.
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: safe(dest_url), title, id })
        }
        Event::End(TagEnd::Image) => Event::End(TagEnd::Link),
        other => other,
    }
}

fn safe(url: CowStr<'_>) -> CowStr<'_> {
    let lower = url.trim_start().to_ascii_lowercase();
    let known = ["https://", "http://", "mailto:", "tel:"];
    if known.iter().any(|scheme| lower.starts_with(scheme)) { url } else { "#".into() }
}
