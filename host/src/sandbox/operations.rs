//! What a guest of the async flavour starts in one turn and hears of in a later one: requests, timers
//! and the like. An import puts a future here; the instance's worker polls it.

use std::{collections::HashMap, time::Duration};

use futures_util::future::BoxFuture;
use tokio::time::Instant;
use wasmtime::{Error, Result};

use super::{
    bindings::{
        v0_1_0::http,
        v0_1_0_async::{Event, http_async, operations},
    },
    door::{Contact, Door},
    imports::{inbound, outbound, unanswered},
    state::InstanceState,
};
use crate::{config::PluginLimits, limits};

/// What an error says, and by what it is told apart from a trap of the guest's own.
pub(super) const TOO_MANY: &str = "too many operations at the same time";

/// An operation on its way: its event, if anybody wants to hear of it.
pub(super) type Pending = BoxFuture<'static, Option<Event>>;

/// Something that a turn has asked for.
pub(super) enum Order {
    /// Run this.
    Start(u32, Pending),
    /// Forget this.
    Cancel(u32),
}

/// The operations of one instance, as far as its imports are concerned.
pub(super) struct Operations {
    /// How long an operation without a call may take.
    wall: Duration,
    next: u32,
    /// Running when the turn began.
    running: usize,
    orders: Vec<Order>,
    calls: HashMap<u32, Call>,
    /// For which call the guest is working now.
    current: Option<u32>,
}

/// A call that an instance is working on.
struct Call {
    door: Door,
    deadline: Instant,
    notification: String,
}

impl Operations {
    pub(super) fn new(limits: &PluginLimits) -> Self {
        Self {
            wall: limits.wall,
            next: 0,
            running: 0,
            orders: Vec::new(),
            calls: HashMap::new(),
            current: None,
        }
    }

    /// A turn begins, with so many operations running.
    pub(super) fn begin_turn(&mut self, running: usize) {
        self.running = running;
        self.current = None;
    }

    /// What the turn asked for.
    pub(super) fn take_orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.orders)
    }

    /// A number for something that the guest will hear of.
    fn number(&mut self) -> u32 {
        // After four thousand million of them the oldest are long over.
        self.next = self.next.wrapping_add(1);
        self.next
    }

    fn end_call(&mut self, call: u32) -> Option<Call> {
        if self.current == Some(call) {
            self.current = None;
        }
        self.calls.remove(&call)
    }
}

impl InstanceState {
    /// A call begins: its requests and log lines will be known by it.
    pub(super) fn begin_call(&mut self, call: u32, deadline: Instant, notification: String) {
        let Some(door) = self.door.as_ref().map(Door::of_call) else { return };
        if let Some(operations) = &mut self.operations {
            operations.calls.insert(call, Call { door, deadline, notification });
        }
    }

    /// A call is over: whom it has spoken to last.
    pub(super) fn end_call(&mut self, call: u32) -> Option<Contact> {
        self.operations.as_mut()?.end_call(call)?.door.take_contact()
    }

    /// Starts an operation, for the call that the guest is working on.
    ///
    /// # Errors
    /// Ends the guest when it has too many, or when this is no turn of the async flavour.
    pub(super) fn operate(
        &mut self,
        make: impl FnOnce(u32, Door, Instant) -> Pending,
    ) -> Result<u32> {
        let (Some(operations), Some(door)) = (&mut self.operations, &self.door) else {
            return Err(Error::msg(
                "operations can be started by an instance of the async flavour only",
            ));
        };
        if operations.running + operations.orders.len() >= limits::OPERATIONS_PER_INSTANCE_MAX {
            return Err(Error::msg(TOO_MANY));
        }
        let number = operations.number();
        let call = operations.current.and_then(|call| operations.calls.get(&call));
        let (door, deadline) = match call {
            Some(call) => (call.door.clone(), call.deadline),
            None => (door.clone(), Instant::now() + operations.wall),
        };
        operations.orders.push(Order::Start(number, make(number, door, deadline)));
        Ok(number)
    }
}

impl operations::Host for InstanceState {
    fn sleep(&mut self, ms: u32) -> Result<u32> {
        let wait = Duration::from_millis(ms.into()).min(limits::GUEST_SLEEP_MAX);
        self.operate(|number, _door, _deadline| {
            Box::pin(async move {
                tokio::time::sleep(wait).await;
                Some(Event::Elapsed(number))
            })
        })
    }

    fn on_behalf_of(&mut self, call: Option<u32>) -> Result<()> {
        let Some(operations) = &mut self.operations else { return Ok(()) };
        let known = call.and_then(|call| Some((call, operations.calls.get(&call)?)));
        self.log.speak_of(known.map_or("", |(_, call)| &call.notification));
        operations.current = known.map(|(call, _)| call);
        Ok(())
    }

    fn cancel(&mut self, operation: u32) -> Result<()> {
        if let Some(operations) = &mut self.operations {
            let orders = &mut operations.orders;
            let just_started = orders
                .iter()
                .rposition(|order| matches!(order, Order::Start(n, _) if *n == operation));
            match just_started {
                Some(at) => drop(orders.swap_remove(at)),
                // As many as are running are enough; the guest could go on for ever.
                None if orders.len() >= 2 * limits::OPERATIONS_PER_INSTANCE_MAX => {
                    return Err(Error::msg(TOO_MANY));
                }
                None => orders.push(Order::Cancel(operation)),
            }
        }
        Ok(())
    }
}

impl http_async::Host for InstanceState {
    fn fetch(&mut self, request: http::Request) -> Result<u32> {
        self.operate(|number, door, deadline| {
            Box::pin(async move {
                let left = deadline.saturating_duration_since(Instant::now());
                let timeout = match request.timeout_ms {
                    Some(ms) => left.min(Duration::from_millis(ms.into())),
                    None => left,
                };
                let answer = match outbound(request) {
                    Ok(outbound) => door.fetch(outbound, timeout).await,
                    Err(error) => Err(error),
                };
                Some(Event::Fetched((number, answer.map(inbound).map_err(unanswered))))
            })
        })
    }
}

/// About how many bytes an event copies into the guest.
pub(super) fn event_bytes(event: &Event) -> usize {
    match event {
        Event::Send((_, message)) => {
            let attached: usize =
                message.attachments.iter().map(|attached| attached.content.len()).sum();
            message.body.len() + message.data.len() + attached
        }
        Event::Fetched((_, Ok(response))) => response.body.len(),
        Event::Received((_, Ok(frame))) => super::sockets::frame_bytes(frame),
        _ => 0,
    }
}
