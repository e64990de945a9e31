//! Which interface a component was built for, read from its import and export names before a
//! single function is compiled, so that the wrong file gets a sentence and not a linker error.

use wasmparser::{Encoding, Parser, Payload};

use super::bindings::SUPPORTED_VERSIONS;

/// What every WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";
const PACKAGE: &str = "conductor:channel/";

/// Why a file is not a plugin for this host.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VersionError {
    /// Not WebAssembly at all, or cut off.
    #[error("it is not a complete WebAssembly file: {0}")]
    Broken(String),
    /// A core module.
    #[error(
        "it is a core WebAssembly module, not a component: build it for the target wasm32-wasip2"
    )]
    CoreModule,
    /// A component of another kind.
    #[error(
        "it is a component that exports no {PACKAGE}channel interface (it exports {found}): export \
         the world `plugin` of {PACKAGE}, with the SDK's `export!` for example"
    )]
    NotAPlugin {
        /// What it exports.
        found: String,
    },
    /// Built for an interface that this host does not have.
    #[error(
        "it was built for {PACKAGE}channel@{found}, and this host supports {supported}: rebuild it \
         with an SDK for one of these"
    )]
    Unsupported {
        /// Which version.
        found: String,
        /// What there is.
        supported: String,
    },
}

/// Checks the file and tells the version of the interface it was built for.
///
/// # Errors
/// Says what the file is instead.
pub(super) fn check(bytes: &[u8]) -> Result<String, VersionError> {
    if !bytes.starts_with(MAGIC) {
        return Err(VersionError::Broken(String::from("it does not begin like one")));
    }
    let broken = |error: wasmparser::BinaryReaderError| VersionError::Broken(error.to_string());
    let mut exports: Vec<String> = Vec::new();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(broken)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(VersionError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(broken)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let built_for = exports.iter().find_map(|name| {
        let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
        (interface == "channel").then(|| version.to_owned())
    });
    match built_for {
        Some(version) if SUPPORTED_VERSIONS.contains(&version.as_str()) => Ok(version),
        Some(found) => {
            Err(VersionError::Unsupported { found, supported: SUPPORTED_VERSIONS.join(", ") })
        }
        None => Err(VersionError::NotAPlugin { found: listing(&exports) }),
    }
}

fn listing(names: &[String]) -> String {
    const SHOWN: usize = 5;
    if names.is_empty() {
        return String::from("nothing");
    }
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPONENT_HEAD: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_is_no_plugin_is_told_apart() {
        assert!(matches!(check(b""), Err(VersionError::Broken(_))));
        assert!(matches!(check(b"hello, world"), Err(VersionError::Broken(_))));
        assert_eq!(check(b"\0asm\x01\0\0\0"), Err(VersionError::CoreModule));
        assert_eq!(
            check(COMPONENT_HEAD),
            Err(VersionError::NotAPlugin { found: String::from("nothing") })
        );
        assert!(matches!(
            check(&[COMPONENT_HEAD, &[0x0b, 0x7f]].concat()),
            Err(VersionError::Broken(_))
        ));
    }
}
