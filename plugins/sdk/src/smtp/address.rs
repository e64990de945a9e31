//! Addresses of mail, as options and targets have them.

/// An address with a name in front of it, `Alerts <alerts@example.com>`, or without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The name.
    pub name: Option<String>,
    /// The address alone.
    pub address: String,
}

impl Mailbox {
    /// From an address alone, or `Name <address>`.
    ///
    /// # Errors
    /// What is wrong with it, for a person.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"'), address),
            None => ("", text),
        };
        if name.chars().any(char::is_control) {
            return Err("a name has no control characters".to_owned());
        }
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(Self { name, address: check_address(address)?.to_owned() })
    }
}

/// The address if it may stand in a header as it is. The host looks closer before it says one to a
/// server.
///
/// # Errors
/// What is wrong with it, for a person.
pub fn check_address(address: &str) -> Result<&str, String> {
    const BYTES_MAX: usize = 254;
    let fits = |text: &str| {
        !text.is_empty()
            && !text.chars().any(|char| {
                char.is_control() || char.is_whitespace() || "<>()[]\\,;:\"@".contains(char)
            })
    };
    match address.split_once('@') {
        Some((local, domain)) if fits(local) && fits(domain) && address.len() <= BYTES_MAX => {
            Ok(address)
        }
        _ => {
            let shown: String =
                address.chars().filter(|char| !char.is_control()).take(100).collect();
            Err(format!(
                "\"{shown}\" is not an address like ops@example.com; write several with commas \
                 between them"
            ))
        }
    }
}

/// Addresses that are separated by commas, each of them once, `count_max` at most.
///
/// # Errors
/// What is wrong with them, for a person.
pub fn parse_addresses(text: &str, count_max: usize) -> Result<Vec<String>, String> {
    let mut found: Vec<String> = Vec::new();
    for part in text.split(',') {
        let address = check_address(part.trim())?;
        if !found.iter().any(|known| known == address) {
            found.push(address.to_owned());
        }
    }
    if found.len() > count_max {
        return Err(format!("{} recipients are more than {count_max}", found.len()));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mailbox_is_an_address_with_a_name_or_without() {
        let read = |text: &str| Mailbox::parse(text).map(|read| (read.name, read.address));
        let address = "me@a.example".to_owned();
        assert_eq!(read(" me@a.example "), Ok((None, address.clone())));
        let name = Some("The Alerts".to_owned());
        assert_eq!(read("\"The Alerts\" <me@a.example>"), Ok((name, address.clone())));
        assert_eq!(read("<me@a.example>"), Ok((None, address)));
        for wrong in
            ["", "me", "me@", "@a", "a\u{7}b <me@a>", "me@a b", "me@a, you@a", "a <b> <c@d>"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(check_address(&format!("{}@a", "x".repeat(253))).is_err());
    }

    #[test]
    fn each_of_several_addresses_counts_once() {
        assert_eq!(parse_addresses("a@x, b@x,a@x", 2).unwrap(), ["a@x", "b@x"]);
        assert_eq!(parse_addresses("a@x,b@x", 1).unwrap_err(), "2 recipients are more than 1");
        assert!(parse_addresses("a@x,,b@x", 9).is_err());
    }
}
