//! One WebAssembly component instance for each tenant's channel, and every limit around it.
//!
//! [`engine`] compiles and runs, [`plugin`] is a loaded file, [`binding`] one tenant's channel with
//! its pool of workers, [`instance`] the only code that calls into a guest, [`imports`] what a
//! guest can call.

mod background;
mod binding;
mod bindings;
mod budget;
mod cache;
mod connection;
mod crash;
mod crew;
mod describe;
mod door;
mod engine;
mod imports;
mod instance;
mod instance_async;
mod kv;
mod limiter;
mod log;
mod mail;
mod manifest;
mod meter;
mod observer;
mod operations;
mod outcome;
mod plugin;
mod reactor;
mod registry;
mod room;
mod schema;
mod sockets;
mod spec;
mod state;
mod trial;
mod usage;
mod version;
mod wasi_http;
mod worker;
mod worker_async;

pub use binding::{Answer, Binding, BindingStatus, Refused, Report};
pub use bindings::SUPPORTED_VERSIONS;
pub use budget::GuestBounds;
pub use cache::CompileCache;
pub use crash::{Gate, QuarantineStatus};
pub use door::Contact;
pub use engine::Engine;
pub use instance::SendCall;
pub use manifest::{BodyLimit, LengthUnit, Manifest, Rate, SecretWant};
pub use observer::{Observer, Refusal};
pub use outcome::{Fault, FaultKind, Health, HealthStatus, Outcome, Problem, RetryScope};
pub use plugin::{Faults, LoadError, LoadedPlugin};
pub use registry::{Sandbox, Unavailable};
pub use spec::ChannelCheck;
pub use usage::{Resources, Usage};
pub use version::VersionError;
