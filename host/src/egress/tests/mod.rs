//! The door against small providers on this machine.

mod kit;
mod policy;
