//! Drives one instance of the async flavour: gathers what has happened, gives it to the guest as one
//! turn, and runs what the guest has started.

use std::{collections::HashMap, time::Duration};

use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{AbortHandle, Abortable, Aborted},
    stream::FuturesUnordered,
};

use super::{
    bindings::v0_1_0_async::{Answer, Event},
    instance_async::AsyncInstance,
    operations::{Order, Pending, event_bytes},
    outcome::{Fault, FaultKind},
};
use crate::limits;

/// The number of an operation with what became of it.
type Ended = (u32, Result<Option<Event>, Aborted>);

/// An instance, its running operations and what it has not heard yet. Dropped, it takes all of them
/// with it.
pub(super) struct Reactor {
    /// None: it failed.
    pub(super) instance: Option<Box<AsyncInstance>>,
    operations: FuturesUnordered<futures_util::future::BoxFuture<'static, Ended>>,
    handles: HashMap<u32, AbortHandle>,
    events: Vec<Event>,
    event_bytes: usize,
}

impl Reactor {
    pub(super) fn new(mut instance: Box<AsyncInstance>) -> Self {
        // `initialize` may have started some.
        let orders = instance.take_orders();
        let mut reactor = Self {
            instance: Some(instance),
            operations: FuturesUnordered::new(),
            handles: HashMap::new(),
            events: Vec::new(),
            event_bytes: 0,
        };
        reactor.follow(orders);
        reactor
    }

    /// Something the guest is to hear in its next turn.
    pub(super) fn push(&mut self, event: Event) {
        self.event_bytes += event_bytes(&event);
        self.events.push(event);
    }

    /// Whether the next turn has something to hear.
    pub(super) const fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether the next turn has enough to hear.
    pub(super) const fn is_full(&self) -> bool {
        self.events.len() >= limits::TURN_EVENTS_MAX || self.event_bytes >= limits::TURN_BYTES_MAX
    }

    /// Waits for the end of an operation. Can be dropped at any time.
    pub(super) async fn ended(&mut self) {
        match self.operations.next().await {
            Some(ended) => self.note(ended),
            None => std::future::pending().await,
        }
    }

    /// Takes the operations that have ended, as far as there is room.
    pub(super) fn gather(&mut self) {
        while !self.is_full()
            && let Some(Some(ended)) = self.operations.next().now_or_never()
        {
            self.note(ended);
        }
    }

    fn note(&mut self, (number, ended): Ended) {
        self.handles.remove(&number);
        // Aborted: nobody wants to hear of it.
        if let Ok(Some(event)) = ended {
            self.push(event);
        }
    }

    /// One turn. After a fault the instance is gone.
    pub(super) async fn turn(&mut self) -> Result<Vec<Answer>, Fault> {
        let Some(instance) = self.instance.take() else {
            return Err(Fault {
                kind: FaultKind::Trap,
                detail: String::from("the instance is gone already"),
            });
        };
        let events = std::mem::take(&mut self.events);
        self.event_bytes = 0;
        let (answers, mut instance) = instance.turn(events, self.operations.len()).await?;
        let orders = instance.take_orders();
        self.instance = Some(instance);
        self.follow(orders);
        Ok(answers)
    }

    fn follow(&mut self, orders: Vec<Order>) {
        for order in orders {
            match order {
                Order::Start(number, operation) => self.start(number, operation),
                Order::Cancel(number) => {
                    if let Some(handle) = self.handles.remove(&number) {
                        handle.abort();
                    }
                }
            }
        }
    }

    fn start(&mut self, number: u32, operation: Pending) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(number, handle);
        let operation = Abortable::new(operation, registration);
        self.operations.push(Box::pin(async move { (number, operation.await) }));
    }

    /// Gives the guest `event` and goes on until `pick` finds its answer, for `wall` at most.
    pub(super) async fn ask<T>(
        &mut self,
        event: Event,
        wall: Duration,
        mut pick: impl FnMut(Answer) -> Option<T>,
    ) -> Result<T, Fault> {
        self.push(event);
        let asked = async {
            loop {
                while !self.has_events() {
                    self.ended().await;
                }
                if let Some(found) = self.turn().await?.into_iter().find_map(&mut pick) {
                    return Ok(found);
                }
            }
        };
        tokio::time::timeout(wall, asked).await.unwrap_or_else(|_| {
            Err(Fault {
                kind: FaultKind::Timeout,
                detail: format!("no answer within {} ms", wall.as_millis()),
            })
        })
    }

    /// The last turns, and the goodbyes of sockets that they have closed.
    pub(super) async fn shut_down(&mut self) -> Result<(), Fault> {
        let asked = self.ask(Event::Shutdown, limits::SHUTDOWN_WALL, |answer| {
            matches!(answer, Answer::ShutDown).then_some(())
        });
        asked.await?;
        let goodbyes = async { while self.operations.next().await.is_some() {} };
        // What is not out by then is not said.
        let _late = tokio::time::timeout(limits::SOCKET_CLOSE_TIMEOUT, goodbyes).await;
        Ok(())
    }
}
