//! Markdown, for providers that read it and for providers that have a markup of their own.
//!
//! | the provider takes | use |
//! |---|---|
//! | Markdown | [`Source`]: the message as it is, plain text escaped |
//! | another markup, HTML, or text with marked ranges | [`Rich`] and a [`Dialect`] |
//!
//! Both need the feature `markdown` of this crate and can be given to
//! [`Overflow`](crate::Overflow), which then never cuts inside a piece of markup; [`escape`] is
//! always there.

mod escape;
#[cfg(feature = "markdown")]
mod parse;
#[cfg(feature = "markdown")]
mod render;
#[cfg(feature = "markdown")]
mod rich;
#[cfg(feature = "markdown")]
mod source;

pub use escape::escape;
#[cfg(feature = "markdown")]
pub use render::{Dialect, Html, escape_html};
#[cfg(feature = "markdown")]
pub use rich::{Measured, Rich, Span, Style};
#[cfg(feature = "markdown")]
pub use source::Source;

#[cfg(all(test, feature = "markdown"))]
mod tests;
