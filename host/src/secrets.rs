//! A text that must not be seen. It has no `Display`, its `Debug` hides it, and its memory is
//! wiped when it goes.

use std::fmt;

use zeroize::Zeroizing;

/// A credential's value.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the value in.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value. Call this only where it leaves for a place that may have it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// A fingerprint to compare secrets by (has it changed?) without keeping them.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        crate::ids::Digest::of(self.0.as_bytes()).0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_in_debug_output() {
        let secret = Secret::new(String::from("hunter2"));
        assert!(!format!("{secret:?} {:?}", Some(&secret)).contains("hunter2"));
        assert_eq!(secret.expose(), "hunter2");
    }
}
