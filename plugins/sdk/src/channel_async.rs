//! The trait of a channel that sends many messages at the same time, or holds a connection.

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::{Context, Failure, HealthReport, Manifest, Message, Receipt, RunEnd, SendError};

/// A delivery channel of the async flavour: one instance has many sends in flight.
///
/// Implement the functions as `async fn`. They may wait for what this SDK offers
/// ([`http::Request::fetch_async`](crate::http::Request::fetch_async), [`crate::websocket`],
/// [`crate::task::sleep`]) and for nothing else: `std::thread::sleep` or the plain `fetch` would
/// stop all sends of the instance. The instance has one thread; between two waits nothing else of it
/// runs, so a `Cell` or a `RefCell` is enough for what the sends share. A panic ends all of them.
///
/// Make the component with [`export_async!`](crate::export_async).
#[expect(async_fn_in_trait, reason = "a guest has one thread: the futures need not be Send")]
pub trait AsyncChannel: Sized + 'static {
    /// The options, as for [`Channel::Options`](crate::Channel::Options).
    type Options: DeserializeOwned + JsonSchema;

    /// Whether it holds a connection that lives on. Then the host has exactly one instance for each
    /// channel, from the start, and [`run`](Self::run) is called.
    const CONNECTED: bool = false;

    /// What the channel is and what it asks for, as for
    /// [`Channel::manifest`](crate::Channel::manifest).
    #[must_use]
    fn manifest() -> Manifest {
        Manifest::default()
    }

    /// Makes ready. Must be quick: it runs before the first message and on every new instance.
    ///
    /// # Errors
    /// A [`Failure`] says whether somebody has to mend the configuration or time may help.
    fn initialize(context: Context<Self::Options>) -> Result<Self, Failure>;

    /// Delivers one message: one attempt, no loop, no sleep. Dropped when its time is over.
    ///
    /// # Errors
    /// A [`SendError`] says what kind of failure it was.
    async fn send(&self, message: &Message) -> Result<Receipt, SendError>;

    /// Says whether a send would work now. A connected channel is asked every few seconds.
    async fn health(&self) -> HealthReport {
        HealthReport::healthy()
    }

    /// Holds the connection, from the start of the instance on, and connects again by itself:
    /// [`connection::Connection::run`](crate::connection::Connection::run) does both. Called once;
    /// what it returns says what follows. Dropped after [`shutdown`](Self::shutdown).
    async fn run(&self) -> RunEnd {
        RunEnd::Over
    }

    /// The end, unless the instance was stopped for misbehaviour. All sends are over by then.
    async fn shutdown(&self) {}
}
