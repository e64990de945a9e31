//! The websocket imports of the async flavour.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use wasmtime::Result;

use super::{
    bindings::v0_1_0_async::{
        Event,
        websocket::{self, CloseReason, Frame, WebsocketError},
    },
    state::InstanceState,
};
use crate::{
    egress::{FetchError, Socket, SocketError, SocketMessage},
    limits,
};

/// The sockets of one instance: opened outside of its turns, used in them.
pub(super) struct Sockets {
    open: Mutex<HashMap<u32, Arc<Held>>>,
    next: AtomicU32,
    free: Arc<Semaphore>,
}

/// A socket with its place among the instance's.
struct Held {
    socket: Socket,
    _place: OwnedSemaphorePermit,
}

impl Default for Sockets {
    fn default() -> Self {
        Self {
            open: Mutex::default(),
            next: AtomicU32::new(1),
            free: Arc::new(Semaphore::new(limits::SOCKETS_PER_INSTANCE_MAX)),
        }
    }
}

impl Sockets {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Held>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, socket: u32) -> std::result::Result<Arc<Held>, WebsocketError> {
        self.lock()
            .get(&socket)
            .map(Arc::clone)
            .ok_or_else(|| WebsocketError::Invalid(format!("there is no open socket {socket}")))
    }
}

/// The bytes of a message.
pub(super) fn frame_bytes(frame: &Frame) -> usize {
    match frame {
        Frame::Text(text) => text.len(),
        Frame::Binary(bytes) => bytes.len(),
    }
}

fn not_opened(error: FetchError) -> WebsocketError {
    match error {
        FetchError::Invalid(why) => WebsocketError::Invalid(why),
        FetchError::Denied(why) | FetchError::SecretDenied(why) => WebsocketError::Denied(why),
        FetchError::Unreachable(why) | FetchError::NoAnswer(why) | FetchError::TooLarge(why) => {
            WebsocketError::Unreachable(why)
        }
    }
}

fn failed(error: SocketError) -> WebsocketError {
    match error {
        SocketError::Invalid(why) => WebsocketError::Invalid(why),
        SocketError::Denied(why) => WebsocketError::Denied(why),
        SocketError::TooLarge(why) => WebsocketError::TooLarge(why),
        SocketError::Closed(reason) => {
            WebsocketError::Closed(reason.map(|(code, reason)| CloseReason { code, reason }))
        }
    }
}

impl InstanceState {
    /// None: this is no turn of the async flavour, and `operate` says so.
    fn sockets(&self) -> Option<Arc<Sockets>> {
        self.operations.as_ref().map(|operations| Arc::clone(&operations.sockets))
    }
}

impl websocket::Host for InstanceState {
    fn connect(&mut self, url: String, headers: Vec<(String, String)>) -> Result<u32> {
        let sockets = self.sockets().unwrap_or_default();
        self.operate(|number, door, deadline| {
            Box::pin(async move {
                let Ok(place) = Arc::clone(&sockets.free).try_acquire_owned() else {
                    let why = format!(
                        "this instance has {} websockets already",
                        limits::SOCKETS_PER_INSTANCE_MAX
                    );
                    return Some(Event::Connected((number, Err(WebsocketError::Invalid(why)))));
                };
                let timeout = deadline.saturating_duration_since(Instant::now());
                let opened = door.connect(&url, &headers, timeout).await;
                let opened = opened.map_err(not_opened).map(|socket| {
                    let id = sockets.next.fetch_add(1, Ordering::Relaxed);
                    sockets.lock().insert(id, Arc::new(Held { socket, _place: place }));
                    id
                });
                Some(Event::Connected((number, opened)))
            })
        })
    }

    fn send(&mut self, socket: u32, frame: Frame) -> Result<u32> {
        let sockets = self.sockets().unwrap_or_default();
        self.operate(|number, door, _deadline| {
            Box::pin(async move {
                let message = match frame {
                    Frame::Text(text) => SocketMessage::Text(text),
                    Frame::Binary(bytes) => SocketMessage::Binary(bytes),
                };
                let sent = match sockets.get(socket) {
                    Ok(held) => held.socket.send(message, &door.tell()).await.map_err(failed),
                    Err(error) => Err(error),
                };
                Some(Event::Sent((number, sent)))
            })
        })
    }

    fn receive(&mut self, socket: u32) -> Result<u32> {
        let sockets = self.sockets().unwrap_or_default();
        self.operate(|number, _door, _deadline| {
            Box::pin(async move {
                let received = match sockets.get(socket) {
                    Ok(held) => held.socket.receive().await.map_err(failed),
                    Err(error) => Err(error),
                };
                let received = received.map(|message| match message {
                    SocketMessage::Text(text) => Frame::Text(text),
                    SocketMessage::Binary(bytes) => Frame::Binary(bytes),
                });
                Some(Event::Received((number, received)))
            })
        })
    }

    fn close(&mut self, socket: u32, code: u16, reason: String) -> Result<()> {
        let Some(sockets) = self.sockets() else { return Ok(()) };
        let Some(held) = sockets.lock().remove(&socket) else { return Ok(()) };
        self.operate(|_number, _door, _deadline| {
            Box::pin(async move {
                held.socket.close(code, &reason).await;
                None
            })
        })?;
        Ok(())
    }
}
