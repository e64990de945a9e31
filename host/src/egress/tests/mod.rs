//! The door against small providers on this machine.

mod kit;
mod policy;
mod pools;
mod secrets;
mod tls;
mod vault;
mod wire;
