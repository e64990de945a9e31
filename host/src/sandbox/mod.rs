//! One WebAssembly component instance for each tenant's channel, and every limit around it.

mod manifest;

pub use manifest::{BodyLimit, LengthUnit, Manifest, Rate, SecretWant};
use crate::ids::{Digest, PluginName};

/// placeholder until the sandbox is merged
#[derive(Debug)]
pub struct LoadedPlugin { pub name: PluginName, pub digest: Digest, pub manifest: Manifest }
