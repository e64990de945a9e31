//! The door against small providers on this machine.

mod denials;
mod kit;
#[path = "../../../../tests/kit/smtp.rs"]
mod mail_server;
mod policy;
mod pools;
mod rebinding;
mod secrets;
mod smtp;
mod tls;
mod tokens;
mod vault;
mod wire;
