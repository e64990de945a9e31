//! What every engine must do: one suite, run against each of them, and a random walk on which they
//! must agree at every step.

mod clock;
mod discard;
mod events;
mod follow;
mod groups;
pub(super) mod kit;
mod model;
mod operator;
mod ordering;
mod purge;
mod queue;
mod reading;
mod turns;

/// Makes a test for each engine out of each function.
macro_rules! for_each_engine {
    ($($name:ident),+ $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::conformance::kit::Engine::memory()).await;
            })+
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name($crate::store::conformance::kit::Engine::sqlite()).await;
            })+
        }
    };
}
use for_each_engine;
