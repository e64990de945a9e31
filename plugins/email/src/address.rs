//! Addresses, and names in front of them.

/// "Name <address>", or an address alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mailbox {
    pub(crate) name: Option<String>,
    pub(crate) address: String,
}

impl Mailbox {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (name, address) = match text.strip_suffix('>').and_then(|text| text.split_once('<')) {
            Some((name, address)) => (name.trim().trim_matches('"'), address),
            None => ("", text),
        };
        if name.chars().any(char::is_control) {
            return Err("a name has no control characters".to_owned());
        }
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        Ok(Self { name, address: check(address)?.to_owned() })
    }
}

/// The address if it may stand in a header as it is. The host looks closer before it says one to a
/// server.
pub(crate) fn check(address: &str) -> Result<&str, String> {
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
