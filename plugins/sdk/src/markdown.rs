//! Markdown, for providers that read it and for providers that have a markup of their own.
//!
//! | the provider takes | use |
//! |---|---|
//! | Markdown | [`Source`]: the message as it is, plain text escaped |
//! | another markup, HTML, or text with marked ranges | [`Rich`] and a [`Dialect`] |
//!
//! Both can be given to [`Overflow`](crate::Overflow), which then does not cut inside a piece of
//! markup.
//!
//! What is read is the part of CommonMark that people write in messages, with `~~struck~~` text:
//! emphasis, code, links, headings, quotations, lists, rules and fenced blocks of code. Reference
//! links, character references and blocks of code by indentation stay as they are written. With a
//! reader of all of CommonMark (pulldown-cmark) a component is 165 KiB larger than with this one.

mod blocks;
mod escape;
mod inline;
mod parse;
mod render;
mod rich;
mod source;

pub use escape::escape;
pub use render::{ChatMarks, Dialect, Html, escape_html};
pub use rich::{InDialect, Measured, Rich, Span, Style};
pub use source::Source;

#[cfg(test)]
mod tests;
