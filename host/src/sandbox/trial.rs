//! An instance for trial: started, asked, shut down.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    binding::Spec,
    bindings::{
        v0_1_0,
        v0_1_0_async::{Answer, Event},
    },
    engine::Engine,
    instance::{Instance, StartError},
    instance_async::AsyncInstance,
    observer::Observer,
    outcome::{Fault, Health},
    reactor::Reactor,
};
use crate::limits;

/// A call of nobody's: an instance for trial takes no sends.
const HEALTH_CALL: u32 = 0;

/// A trial's instance, of either flavour.
pub(super) enum Trial {
    Plain(Box<Instance>),
    Async(Box<Reactor>),
}

impl Trial {
    /// Starts an instance, and tells how long that took.
    pub(super) async fn start(
        engine: &Engine,
        spec: &Spec,
        observer: &Arc<dyn Observer>,
    ) -> Result<(Self, Duration), StartError> {
        let began = Instant::now();
        let trial = if spec.plugin.is_async() {
            let instance = AsyncInstance::start(engine, spec, observer).await?;
            Self::Async(Box::new(Reactor::new(instance)))
        } else {
            Self::Plain(Instance::start(engine, spec, observer).await?)
        };
        Ok((trial, began.elapsed()))
    }

    /// Asks the plugin how it is. A connection is not opened for that.
    pub(super) async fn health(self) -> Result<(Health, Self), Fault> {
        match self {
            Self::Plain(instance) => {
                let (health, instance) = instance.health().await?;
                Ok((health, Self::Plain(instance)))
            }
            Self::Async(mut reactor) => {
                let event = Event::Health(HEALTH_CALL);
                let asked = reactor.ask(event, limits::HEALTH_WALL, |answer| match answer {
                    Answer::Health((HEALTH_CALL, report)) => Some(v0_1_0::health(report)),
                    _ => None,
                });
                let health = asked.await?;
                Ok((health, Self::Async(reactor)))
            }
        }
    }

    /// The last call, and the end.
    pub(super) async fn shutdown(self) -> Result<(), Fault> {
        match self {
            Self::Plain(instance) => instance.shutdown().await,
            Self::Async(mut reactor) => reactor.shut_down().await,
        }
    }
}
