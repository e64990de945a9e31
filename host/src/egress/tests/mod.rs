//! The door against small providers on this machine.

mod kit;
mod policy;
mod pools;
mod rebinding;
mod refusals;
mod secrets;
mod tls;
mod tokens;
mod vault;
mod wire;
