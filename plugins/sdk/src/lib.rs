//! Write a Conductor channel in Rust.
//!
//! A channel is a type that implements [`Channel`], handed to [`export!`]:
//!
//! ```
//! use conductor_sdk::{Channel, Context, Failure, Message, Receipt, SendError};
//!
//! #[derive(serde::Deserialize, schemars::JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Options {}
//!
//! struct Nowhere;
//!
//! impl Channel for Nowhere {
//!     type Options = Options;
//!
//!     fn initialize(_context: Context<Options>) -> Result<Self, Failure> {
//!         Ok(Self)
//!     }
//!
//!     fn send(&self, message: &Message) -> Result<Receipt, SendError> {
//!         Ok(Receipt::delivered().provider_id(&message.id))
//!     }
//! }
//!
//! conductor_sdk::export!(Nowhere);
//! # fn main() {}
//! ```
//!
//! What nearly every channel names is in [`prelude`].
//!
//! The plugin says *what kind* of failure it met ([`SendError`]); when to try again, how often and
//! by what other way is the host's business. A channel never sleeps and never loops.
//!
//! On any target but WebAssembly the host's functions go to [`testing::FakeHost`], so that a
//! channel is tested with plain `cargo test`.

mod attachment;
#[doc(hidden)]
pub mod bindings;
#[doc(hidden)]
pub mod bindings_async;
mod channel;
mod channel_async;
pub mod connection;
mod delivery_key;
#[doc(hidden)]
pub mod guest;
#[doc(hidden)]
pub mod guest_async;
mod host;
pub mod http;
pub mod log;
mod manifest;
pub mod markdown;
mod message;
mod nulls;
pub mod options;
mod outcome;
pub mod overflow;
pub mod prelude;
mod priority;
pub mod secrets;
pub mod smtp;
pub mod state;
pub mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod text;
pub mod time;
pub mod websocket;

pub use bindings::{
    conductor::channel::channel_types::{
        Attachment, Failure, Format, HealthReport, HealthStatus, Message, Moved, Priority, Problem,
        Receipt, ReceiptStatus, Retry, RetryScope, SendError,
    },
    described::metadata::{LengthUnit, RateScope},
};
pub use bindings_async::exports::conductor::channel::channel_async::{Interruption, RunEnd};
pub use channel::{Channel, Context};
pub use channel_async::AsyncChannel;
pub use http::Meaning;
pub use manifest::Manifest;
pub use nulls::{with_members, without_nulls};
pub use overflow::Overflow;
pub use schemars;
pub use serde;
pub use serde_json::{self, json};

/// The code on the page for authors compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/WRITING_PLUGINS.md")]
struct WritingPlugins;
