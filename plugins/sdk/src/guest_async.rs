//! Between the generated bindings of the async flavour and an [`AsyncChannel`]: the one instance and
//! its futures.

use std::{cell::RefCell, future::Future, pin::Pin, rc::Rc};

use crate::{
    AsyncChannel, Context, Failure,
    bindings::{conductor::channel::channel_types, described::metadata},
    bindings_async::exports::conductor::channel::channel_async::{self, Answer, Event},
    guest::{Package, log_panics},
    task::{Executor, Outcome, complete},
};

/// What a task of the instance ends with. `None`: the host need not know.
type Task = Pin<Box<dyn Future<Output = Option<Answer>>>>;

/// A channel without its type, so that it can be kept in one place.
trait Running {
    /// The task that answers this event, if it needs one.
    fn task(self: Rc<Self>, event: Event) -> Option<Task>;
}

impl<C: AsyncChannel> Running for C {
    fn task(self: Rc<Self>, event: Event) -> Option<Task> {
        Some(match event {
            Event::Send((call, message)) => Box::pin(async move {
                let sent = AsyncChannel::send(&*self, &message).await;
                Some(Answer::Sent((call, sent)))
            }),
            Event::Health(call) => {
                Box::pin(
                    async move { Some(Answer::Health((call, AsyncChannel::health(&*self).await))) },
                )
            }
            Event::Run => {
                Box::pin(async move { Some(Answer::RunEnded(AsyncChannel::run(&*self).await)) })
            }
            Event::Shutdown => Box::pin(async move {
                AsyncChannel::shutdown(&*self).await;
                Some(Answer::ShutDown)
            }),
            _ => return None,
        })
    }
}

#[derive(Default)]
struct Instance {
    channel: Option<Rc<dyn Running>>,
    executor: Executor<Option<Answer>>,
}

thread_local! {
    // A component has one thread, and the host makes one turn at a time.
    static INSTANCE: RefCell<Instance> = RefCell::default();
}

/// The exports, for the channel `C`.
#[derive(Debug)]
pub struct AsyncAdapter<C>(std::marker::PhantomData<C>);

impl<C: AsyncChannel> channel_async::Guest for AsyncAdapter<C> {
    fn is_connected() -> bool {
        C::CONNECTED
    }

    fn initialize(context: channel_types::Context) -> Result<(), Failure> {
        log_panics();
        let channel = C::initialize(Context::parse(context)?)?;
        INSTANCE.with_borrow_mut(|instance| instance.channel = Some(Rc::new(channel)));
        Ok(())
    }

    fn turn(events: Vec<Event>) -> Vec<Answer> {
        INSTANCE.with_borrow_mut(|instance| instance.turn(events))
    }
}

impl Instance {
    fn turn(&mut self, events: Vec<Event>) -> Vec<Answer> {
        for event in events {
            self.hear(event);
        }
        let mut answers = Vec::new();
        self.executor.run(|answer| answers.extend(answer));
        if answers.contains(&Answer::ShutDown) {
            // The host lets go now.
            self.executor = Executor::default();
        }
        answers
    }

    fn hear(&mut self, event: Event) {
        match event {
            Event::Elapsed(number) => complete(number, Outcome::Elapsed),
            Event::Fetched((number, answer)) => complete(number, Outcome::Fetched(answer)),
            Event::Connected((number, answer)) => complete(number, Outcome::Connected(answer)),
            Event::Sent((number, answer)) => complete(number, Outcome::Sent(answer)),
            Event::Received((number, answer)) => complete(number, Outcome::Received(answer)),
            Event::Abandoned(call) => self.executor.abandon(Some(call)),
            other => {
                let call = match &other {
                    Event::Send((call, _)) => Some(*call),
                    _ => None,
                };
                // Without a channel there was no `initialize`, and nobody waits for an answer.
                let task = self.channel.clone().and_then(|channel| channel.task(other));
                if let Some(task) = task {
                    self.executor.spawn(call, task);
                }
            }
        }
    }
}

impl<C: AsyncChannel + Package> metadata::Guest for AsyncAdapter<C> {
    fn describe() -> metadata::Manifest {
        log_panics();
        manifest::<C>()
    }
}

/// What `describe` answers for the channel `C`.
pub(crate) fn manifest<C: AsyncChannel + Package>() -> metadata::Manifest {
    C::manifest().complete::<C::Options>(C::NAME, C::VERSION, C::DESCRIPTION)
}

/// Makes the component of an [`AsyncChannel`](crate::AsyncChannel):
/// `conductor_sdk::export_async!(MyChannel);`, once in a plugin and in place of
/// [`export!`](crate::export).
#[macro_export]
macro_rules! export_async {
    ($channel:ty) => {
        impl $crate::guest::Package for $channel {
            const NAME: &'static str = env!("CARGO_PKG_NAME");
            const VERSION: &'static str = env!("CARGO_PKG_VERSION");
            const DESCRIPTION: &'static str = env!("CARGO_PKG_DESCRIPTION");
        }

        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the calling convention of components")]
        const _: () = {
            type Plugin = $crate::guest_async::AsyncAdapter<$channel>;
            $crate::bindings_async::__export_channel_async!(
                Plugin with_types_in $crate::bindings_async
            );
            $crate::bindings::described::__export_metadata!(
                Plugin with_types_in $crate::bindings::described
            );
        };
    };
}

#[cfg(test)]
mod tests;
