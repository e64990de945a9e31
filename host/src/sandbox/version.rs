//! Which interface and which of its flavours a component was built for, read from its import and export names before a
//! single function is compiled, so that the wrong file gets a sentence and not a linker error.

use wasmparser::{Encoding, Parser, Payload};

use super::bindings::SUPPORTED_VERSIONS;

/// What every WebAssembly file begins with.
const MAGIC: &[u8] = b"\0asm";
const PACKAGE: &str = "conductor:channel/";

/// How a plugin is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flavour {
    /// `channel`: one call at a time in one instance.
    Plain,
    /// `channel-async`: many.
    Async,
}

impl Flavour {
    fn of(interface: &str) -> Option<Self> {
        match interface {
            "channel" => Some(Self::Plain),
            "channel-async" => Some(Self::Async),
            _ => None,
        }
    }

    const fn interface(self) -> &'static str {
        match self {
            Self::Plain => "channel",
            Self::Async => "channel-async",
        }
    }
}

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
        "it is a component that exports no {PACKAGE}channel or {PACKAGE}channel-async interface (it \
         exports {found}): export the world `plugin` or `plugin-async` of {PACKAGE}, with the SDK's \
         `export!` or `export_async!` for example"
    )]
    NotAPlugin {
        /// What it exports.
        found: String,
    },
    /// It cannot be called in two ways.
    #[error(
        "it exports both {PACKAGE}channel and {PACKAGE}channel-async: export one of the worlds \
         `plugin` and `plugin-async`, with one `export!` or `export_async!`"
    )]
    BothFlavours,
    /// Built for an interface that this host does not have.
    #[error(
        "it was built for {PACKAGE}{interface}@{found}, and this host supports {supported}: rebuild \
         it with an SDK for one of these"
    )]
    Unsupported {
        /// Which interface: the flavour's.
        interface: &'static str,
        /// Which version.
        found: String,
        /// What there is.
        supported: String,
    },
}

/// Checks the file and tells the version of the interface it was built for, and the flavour.
///
/// # Errors
/// Says what the file is instead.
pub(super) fn check(bytes: &[u8]) -> Result<(String, Flavour), VersionError> {
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
    judge(&exports)
}

fn judge(exports: &[String]) -> Result<(String, Flavour), VersionError> {
    let mut built_for = exports.iter().filter_map(|name| {
        let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
        Some((version.to_owned(), Flavour::of(interface)?))
    });
    match (built_for.next(), built_for.next()) {
        (None, _) => Err(VersionError::NotAPlugin { found: listing(exports) }),
        (Some(_), Some(_)) => Err(VersionError::BothFlavours),
        (Some((version, flavour)), None) if SUPPORTED_VERSIONS.contains(&version.as_str()) => {
            Ok((version, flavour))
        }
        (Some((found, flavour)), None) => Err(VersionError::Unsupported {
            interface: flavour.interface(),
            found,
            supported: SUPPORTED_VERSIONS.join(", "),
        }),
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
    fn the_flavour_is_read_from_the_exports() {
        let judged = |names: &[&str]| {
            judge(&names.iter().map(|name| format!("{PACKAGE}{name}")).collect::<Vec<_>>())
        };
        let version = || String::from("0.1.0");
        assert_eq!(judged(&["channel@0.1.0", "metadata@0.1.0"]), Ok((version(), Flavour::Plain)));
        assert_eq!(
            judged(&["metadata@0.1.0", "channel-async@0.1.0"]),
            Ok((version(), Flavour::Async))
        );
        assert_eq!(
            judged(&["channel@0.1.0", "channel-async@0.1.0"]),
            Err(VersionError::BothFlavours)
        );
        let newer = judged(&["channel-async@9.0.0"]).unwrap_err().to_string();
        assert!(newer.contains("channel-async@9.0.0, and this host supports 0.1.0"), "{newer}");
        let neither = judged(&["metadata@0.1.0"]).unwrap_err().to_string();
        assert!(neither.contains("`plugin` or `plugin-async`"), "{neither}");
    }

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
