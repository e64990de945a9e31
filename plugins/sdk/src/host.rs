//! Where the host's functions are: imports in a component, the test double everywhere else.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::conductor::channel::{http, log, secrets, smtp, state};
#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings_async::conductor::channel::{http_async, operations, websocket};

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::{
    backend::{http, log, secrets, smtp, state},
    operations::{http_async, operations, websocket},
};
