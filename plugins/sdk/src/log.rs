//! Lines for the operator. The host adds tenant, channel, plugin and notification id, cuts what is
//! too long and drops what is too much. Never write a secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{bindings::conductor::channel::log as wit, host};

/// How important a line is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the usual ones")]
pub enum Level {
    Trace,
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl From<Level> for wit::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Trace => Self::Trace,
            Level::Debug => Self::Debug,
            Level::Info => Self::Info,
            Level::Warn => Self::Warn,
            Level::Error => Self::Error,
        }
    }
}

/// Writes one line, with fields as pairs of name and value.
pub fn write(level: Level, message: &str, fields: &[(&str, &str)]) {
    let fields: Vec<(String, String)> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    host::log::write(level.into(), message, &fields);
}

/// Writes a line at level trace; arguments as for `format!`.
#[macro_export]
macro_rules! trace {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Trace, &::std::format!($($argument)+), &[])
    };
}

/// Writes a line at level debug; arguments as for `format!`.
#[macro_export]
macro_rules! debug {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Debug, &::std::format!($($argument)+), &[])
    };
}

/// Writes a line at level info; arguments as for `format!`.
#[macro_export]
macro_rules! info {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Info, &::std::format!($($argument)+), &[])
    };
}

/// Writes a line at level warn; arguments as for `format!`.
#[macro_export]
macro_rules! warn {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Warn, &::std::format!($($argument)+), &[])
    };
}

/// Writes a line at level error; arguments as for `format!`.
#[macro_export]
macro_rules! error {
    ($($argument:tt)+) => {
        $crate::log::write($crate::log::Level::Error, &::std::format!($($argument)+), &[])
    };
}
