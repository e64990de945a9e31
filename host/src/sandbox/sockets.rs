//! The websocket imports of the async flavour.

use wasmtime::Result;

use super::{
    bindings::v0_1_0_async::{
        Event,
        websocket::{self, Frame, WebsocketError},
    },
    state::InstanceState,
};

/// The bytes of a message.
pub(super) fn frame_bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) => bytes.len(),
    }
}

fn not_there() -> WebsocketError {
    WebsocketError::Invalid(String::from("there is no such socket"))
}

impl websocket::Host for InstanceState {
    fn connect(&mut self, _url: String, _headers: Vec<(String, String)>) -> Result<u32> {
        self.operate(|number, _door, _deadline| {
            Box::pin(async move { Some(Event::Connected((number, Err(not_there())))) })
        })
    }

    fn send(&mut self, _socket: u32, _frame: Frame) -> Result<u32> {
        self.operate(|number, _door, _deadline| {
            Box::pin(async move { Some(Event::Sent((number, Err(not_there())))) })
        })
    }

    fn receive(&mut self, _socket: u32) -> Result<u32> {
        self.operate(|number, _door, _deadline| {
            Box::pin(async move { Some(Event::Received((number, Err(not_there())))) })
        })
    }

    fn close(&mut self, _socket: u32, _code: u16, _reason: String) -> Result<()> {
        Ok(())
    }
}
