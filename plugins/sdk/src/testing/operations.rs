//! Operations of the fake host. Time stands still while anything can go on, and then leaps to the
//! next timer: a test of a heartbeat takes no time.

use std::{
    cell::RefCell,
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::backend;
use crate::{
    bindings_async::conductor::channel::websocket::{CloseReason, Frame, WebsocketError},
    task::{Outcome, complete},
};

/// What a channel does with a websocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// It connects to this URL.
    Connects(String),
    /// It sends a text.
    Text(String),
    /// It closes with this code.
    Closes(u16),
}

/// What the other side of a websocket does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Sends a text.
    Text(String),
    /// Closes with this code; 0: cuts the connection.
    Closes(u16),
}

type Peer = Box<dyn FnMut(Said) -> Vec<Heard>>;

#[derive(Default)]
struct Operations {
    next: u32,
    now_ms: u64,
    /// When which timer is over; the second number keeps their order.
    timers: BTreeMap<(u64, u32), u32>,
    over: VecDeque<(u32, Outcome)>,
    peer: Option<Peer>,
    sockets: BTreeMap<u32, Socket>,
}

#[derive(Default)]
struct Socket {
    heard: VecDeque<Heard>,
    /// A `receive` that waits.
    receiving: Option<u32>,
    is_closed: bool,
}

thread_local! {
    static OPERATIONS: RefCell<Operations> = RefCell::default();
}

pub(super) fn reset() {
    OPERATIONS.set(Operations::default());
}

pub(super) fn set_peer(peer: impl FnMut(Said) -> Vec<Heard> + 'static) {
    OPERATIONS.with_borrow_mut(|operations| operations.peer = Some(Box::new(peer)));
}

/// How much time has passed.
pub(super) fn elapsed() -> Duration {
    Duration::from_millis(OPERATIONS.with_borrow(|operations| operations.now_ms))
}

fn change<T>(action: impl FnOnce(&mut Operations) -> T) -> T {
    OPERATIONS.with_borrow_mut(action)
}

impl Operations {
    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn is_over(&mut self, outcome: Outcome) -> u32 {
        let number = self.number();
        self.over.push_back((number, outcome));
        number
    }

    /// Gives a `receive` that waits what there is.
    fn hand_over(&mut self, socket: u32) {
        let Some(state) = self.sockets.get_mut(&socket) else { return };
        let Some(number) = state.receiving else { return };
        let outcome = match state.heard.pop_front() {
            Some(Heard::Text(text)) => Ok(Frame::Text(text)),
            Some(Heard::Closes(code)) => {
                state.is_closed = true;
                let reason = (code > 0).then(|| CloseReason { code, reason: String::new() });
                Err(WebsocketError::Closed(reason))
            }
            None if state.is_closed => Err(WebsocketError::Closed(None)),
            None => return,
        };
        state.receiving = None;
        self.over.push_back((number, Outcome::Received(outcome)));
    }
}

/// Tells the other side, and takes what it says to that. Not inside of `change`: it is the test's own
/// code.
fn tell(socket: u32, said: Said) {
    let Some(mut peer) = change(|operations| operations.peer.take()) else { return };
    let heard = peer(said);
    change(|operations| {
        operations.peer = Some(peer);
        if let Some(state) = operations.sockets.get_mut(&socket) {
            state.heard.extend(heard);
        }
        operations.hand_over(socket);
    });
}

/// Lets the next thing happen. False: nothing will ever.
fn go_on() -> bool {
    let over = change(|operations| {
        if let Some(over) = operations.over.pop_front() {
            return Some(over);
        }
        let ((due_ms, _), number) = operations.timers.pop_first()?;
        let passed = due_ms.saturating_sub(operations.now_ms);
        operations.now_ms = operations.now_ms.max(due_ms);
        backend::pass(Duration::from_millis(passed));
        Some((number, Outcome::Elapsed))
    });
    match over {
        Some((number, outcome)) => {
            complete(number, outcome);
            true
        }
        None => false,
    }
}

struct Nobody;

impl Wake for Nobody {
    fn wake(self: Arc<Self>) {}
}

/// Runs a future to its end; see [`block_on`](super::block_on).
#[expect(clippy::panic, reason = "a test that waits for nothing must hear of it")]
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Nobody));
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        if !go_on() {
            panic!("this waits for something that will not happen: no timer, request or message");
        }
    }
}

#[expect(clippy::module_inception, reason = "named as the interface that it stands for")]
pub(crate) mod operations {
    use super::change;

    pub(crate) fn sleep(ms: u32) -> u32 {
        change(|operations| {
            let number = operations.number();
            operations.timers.insert((operations.now_ms + u64::from(ms), number), number);
            number
        })
    }

    pub(crate) fn cancel(number: u32) {
        change(|operations| {
            operations.timers.retain(|_, timer| *timer != number);
            operations.over.retain(|(over, _)| *over != number);
            for socket in operations.sockets.values_mut() {
                if socket.receiving == Some(number) {
                    socket.receiving = None;
                }
            }
        });
    }

    pub(crate) fn on_behalf_of(_call: Option<u32>) {}
}

pub(crate) mod http_async {
    use super::{Outcome, backend, change};
    use crate::bindings::conductor::channel::http::Request;

    pub(crate) fn fetch(request: &Request) -> u32 {
        let answer = backend::http::fetch(request);
        change(|operations| operations.is_over(Outcome::Fetched(answer)))
    }
}

pub(crate) mod websocket {
    use super::{Frame, Outcome, Said, Socket, WebsocketError, change, tell};

    pub(crate) fn connect(url: &str, _headers: &[(String, String)]) -> u32 {
        let (number, socket) = change(|operations| {
            if operations.peer.is_none() {
                let why = String::from("no websocket is scripted");
                let answer = Err(WebsocketError::Unreachable(why));
                return (operations.is_over(Outcome::Connected(answer)), None);
            }
            let socket = operations.number();
            operations.sockets.insert(socket, Socket::default());
            (operations.is_over(Outcome::Connected(Ok(socket))), Some(socket))
        });
        if let Some(socket) = socket {
            tell(socket, Said::Connects(url.to_owned()));
        }
        number
    }

    pub(crate) fn send(socket: u32, frame: &Frame) -> u32 {
        let is_open = change(|operations| {
            operations.sockets.get(&socket).is_some_and(|socket| !socket.is_closed)
        });
        if is_open && let Frame::Text(text) = frame {
            tell(socket, Said::Text(text.clone()));
        }
        let answer = if is_open { Ok(()) } else { Err(WebsocketError::Closed(None)) };
        change(|operations| operations.is_over(Outcome::Sent(answer)))
    }

    pub(crate) fn receive(socket: u32) -> u32 {
        change(|operations| {
            let number = operations.number();
            match operations.sockets.get_mut(&socket) {
                Some(state) => {
                    state.receiving = Some(number);
                    operations.hand_over(socket);
                }
                None => {
                    let answer = Err(WebsocketError::Closed(None));
                    operations.over.push_back((number, Outcome::Received(answer)));
                }
            }
            number
        })
    }

    pub(crate) fn close(socket: u32, code: u16, _reason: &str) {
        let known = change(|operations| operations.sockets.contains_key(&socket));
        if known {
            tell(socket, Said::Closes(code));
            change(|operations| operations.sockets.remove(&socket));
        }
    }
}
