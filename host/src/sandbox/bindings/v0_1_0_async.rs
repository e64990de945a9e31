//! The second flavour of `conductor:channel@0.1.0`, for many sends at the same time in one instance.
//! What both flavours share has one type: the plain flavour's.
//!
//! Every import answers at once, and may trap, which is how a limit ends the guest.

use std::time::Duration;

use super::v0_1_0::problem;
use crate::sandbox::outcome::RunEnd;

wasmtime::component::bindgen!({
    path: "../wit/channel-0.1.0",
    world: "plugin-async",
    with: {
        "conductor:channel/channel-types": super::v0_1_0::conductor::channel::channel_types,
        "conductor:channel/http": super::v0_1_0::conductor::channel::http,
        "conductor:channel/log": super::v0_1_0::conductor::channel::log,
        "conductor:channel/secrets": super::v0_1_0::conductor::channel::secrets,
        "conductor:channel/state": super::v0_1_0::conductor::channel::state,
    },
    imports: { default: trappable },
    exports: { default: async },
});

pub(crate) use self::conductor::channel::{http_async, operations, websocket};
use self::exports::conductor::channel::channel_async;
pub(crate) use self::exports::conductor::channel::channel_async::{Answer, Event};

pub(in crate::sandbox) fn run_end(end: channel_async::RunEnd) -> RunEnd {
    match end {
        channel_async::RunEnd::Over => RunEnd::Over,
        channel_async::RunEnd::Temporary(interruption) => RunEnd::Temporary {
            problem: problem(interruption.problem),
            after: interruption.after_ms.map(|ms| Duration::from_millis(ms.into())),
        },
        channel_async::RunEnd::Misconfigured(why) => RunEnd::Misconfigured(problem(why)),
    }
}
