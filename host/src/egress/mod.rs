//! The only way out of the sandbox. A byte leaves when the plugin asks for the origin, the operator
//! grants it, and the address that the name resolves to at the moment of connecting is allowed.

mod address;
mod pattern;

pub use address::{AddressRange, AddressRangeError};
pub use pattern::{HostPattern, HostPatternError};
