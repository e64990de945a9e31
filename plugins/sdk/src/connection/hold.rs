//! Drives a link: connects, does what the rules say, and connects again.

use std::{cell::RefCell, pin::pin, rc::Rc, time::Duration};

use super::{End, Event, Link, Protocol, Session, Step, link::GREETING_PATIENCE};
use crate::{
    HealthReport, Problem, RunEnd, info, task, time,
    websocket::{self, Frame, Socket},
};

/// A connection that is made again whenever it is lost. Its session is kept for the next instance.
#[derive(Debug)]
pub struct Connection<P> {
    link: RefCell<Link<P>>,
    socket: RefCell<Option<Rc<Socket>>>,
}

impl<P: Protocol> Connection<P> {
    /// Not connected yet: that is for [`run`](Self::run).
    #[must_use]
    pub fn new(protocol: P) -> Self {
        Self { link: RefCell::new(Link::new(protocol, time::now())), socket: RefCell::default() }
    }

    /// How it is, in words and since when; healthy when it is ready, otherwise degraded: right where
    /// messages go another way.
    #[must_use]
    pub fn health(&self) -> HealthReport {
        self.link.borrow().health(time::now())
    }

    /// What only the operator can mend, if it has come to that.
    #[must_use]
    pub fn misconfigured(&self) -> Option<Problem> {
        self.link.borrow().misconfigured().cloned()
    }

    /// Holds the connection, for ever or until only the operator can mend it: for
    /// [`AsyncChannel::run`](crate::AsyncChannel::run). `connect` opens it, to go on with this session
    /// if there is one; `?` makes an [`End`] of what comes of asking and connecting.
    pub async fn run(
        &self,
        connect: impl AsyncFn(Option<Session>) -> Result<Socket, End>,
    ) -> RunEnd {
        self.link.borrow_mut().resume(Session::left());
        loop {
            let session = self.link.borrow().session().cloned();
            let next = match connect(session).await {
                Ok(socket) => self.hold(socket).await,
                Err(end) => self.change(|link| link.ended(end, time::now())),
            };
            let Some(pause) = next else { break };
            let detail = self.health().detail.unwrap_or_default();
            info!("{detail}; the next connection in {} ms", pause.as_millis());
            task::sleep(pause).await;
        }
        self.misconfigured().map_or(RunEnd::Over, RunEnd::Misconfigured)
    }

    /// Closes the connection, if there is one, so that the next instance can go on with the session.
    pub fn hang_up(&self) {
        if let Some(socket) = self.socket.take() {
            socket.close(P::CLOSE_CODE, "");
        }
    }

    /// One connection, to its end: how long to wait before the next, if there is to be one.
    async fn hold(&self, socket: Socket) -> Option<Duration> {
        let socket = Rc::new(socket);
        self.socket.replace(Some(Rc::clone(&socket)));
        let mut timer = pin!(task::sleep(GREETING_PATIENCE));
        loop {
            let event = match task::race(socket.receive(), timer.as_mut()).await {
                task::First::Left(Ok(Frame::Text(text))) => Event::Text(text),
                // No protocol here speaks in bytes.
                task::First::Left(Ok(Frame::Binary(_))) => continue,
                task::First::Left(Err(websocket::Error::Closed(reason))) => {
                    Event::Closed(reason.map(|reason| reason.code))
                }
                task::First::Left(Err(_)) => Event::Closed(None),
                task::First::Right(()) => Event::Due,
            };
            for step in self.change(|link| link.hear(event, time::now())) {
                match step {
                    // If it does not go out, the next `receive` says that the connection is over.
                    Step::Send(text) => drop(socket.send(text).await),
                    Step::WakeIn(pause) => timer.set(task::sleep(pause)),
                    Step::Leave(next) => {
                        self.hang_up();
                        return next;
                    }
                }
            }
        }
    }

    /// Does something to the link, and keeps the session if that has changed.
    fn change<T>(&self, action: impl FnOnce(&mut Link<P>) -> T) -> T {
        let mut link = self.link.borrow_mut();
        let before = link.session().cloned();
        let result = action(&mut link);
        if link.session() != before.as_ref() {
            Session::keep(link.session());
        }
        result
    }
}
