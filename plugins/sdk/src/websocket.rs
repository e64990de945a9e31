//! Connections over which both sides speak, for [`AsyncChannel`](crate::AsyncChannel)s.
//!
//! The manifest asks for `wss://…` as it does for other origins, and the operator grants it. A
//! secret's placeholder may stand in the URL, in headers and in text messages; there the host escapes
//! the value as inside a JSON string.

use std::cell::RefCell;

use crate::{bindings_async::conductor::channel::websocket as wit, host, task};

pub use wit::{CloseReason, Frame, WebsocketError as Error};

/// An open connection. Closed with 1000 when it is dropped.
#[derive(Debug)]
pub struct Socket {
    number: u32,
    /// A `receive` that was given up before its message came: the next one takes it.
    receiving: RefCell<Option<task::Operation>>,
}

/// Opens a connection to `wss://…`.
///
/// # Errors
/// When the policy refuses it, or nobody answers there.
pub async fn connect(url: &str, headers: &[(String, String)]) -> Result<Socket, Error> {
    match task::Operation::new(host::websocket::connect(url, headers)).await {
        task::Outcome::Connected(answer) => {
            answer.map(|number| Socket { number, receiving: RefCell::default() })
        }
        _ => Err(unexpected()),
    }
}

impl Socket {
    /// Sends a text message.
    ///
    /// # Errors
    /// When the connection is over, or the host does not send this.
    pub async fn send(&self, text: impl Into<String>) -> Result<(), Error> {
        self.send_frame(Frame::Text(text.into())).await
    }

    /// Sends a message.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub async fn send_frame(&self, frame: Frame) -> Result<(), Error> {
        match task::Operation::new(host::websocket::send(self.number, &frame)).await {
            task::Outcome::Sent(answer) => answer,
            _ => Err(unexpected()),
        }
    }

    /// The next message. Dropped before it came, it is not lost: the next call gets it.
    ///
    /// # Errors
    /// When the connection is over.
    pub async fn receive(&self) -> Result<Frame, Error> {
        let begun = self.receiving.take();
        let begun =
            begun.unwrap_or_else(|| task::Operation::new(host::websocket::receive(self.number)));
        let mut waiting = Waiting { socket: self, operation: Some(begun) };
        let outcome = std::future::poll_fn(|context| waiting.poll(context)).await;
        match outcome {
            task::Outcome::Received(answer) => answer,
            _ => Err(unexpected()),
        }
    }

    /// Says goodbye with a code of 1000 or from 3000 to 4999. What is done with it after that fails
    /// as closed.
    pub fn close(&self, code: u16, reason: &str) {
        host::websocket::close(self.number, code, reason);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Closing what is closed is no error.
        host::websocket::close(self.number, 1000, "");
    }
}

/// Puts the operation back when it is dropped.
struct Waiting<'a> {
    socket: &'a Socket,
    operation: Option<task::Operation>,
}

impl Waiting<'_> {
    fn poll(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<task::Outcome> {
        let Some(operation) = &mut self.operation else { return std::task::Poll::Pending };
        let polled = std::pin::Pin::new(operation).poll(context);
        if polled.is_ready() {
            self.operation = None;
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            self.socket.receiving.replace(Some(operation));
        }
    }
}

impl Error {
    /// What happened, in a sentence.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::Invalid(why)
            | Self::Denied(why)
            | Self::Unreachable(why)
            | Self::TooLarge(why) => why.clone(),
            Self::Closed(Some(CloseReason { code, reason })) if reason.is_empty() => {
                format!("the other side closed the connection with {code}")
            }
            Self::Closed(Some(CloseReason { code, reason })) => {
                format!("the other side closed the connection with {code}: {reason}")
            }
            Self::Closed(None) => String::from("the connection was cut"),
        }
    }
}

fn unexpected() -> Error {
    Error::Invalid(String::from("the host answered something else"))
}
