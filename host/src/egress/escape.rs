//! How a secret's value is written in the places of a request.

/// Appends the value to the bytes, escaped for one kind of place.
pub(super) type Escape = fn(&str, &mut Vec<u8>);

/// As it is.
pub(super) fn raw(value: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(value.as_bytes());
}

/// Inside a JSON string.
pub(super) fn json(value: &str, out: &mut Vec<u8>) {
    for char in value.chars() {
        match char {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            control if u32::from(control) < 0x20 => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(control)).as_bytes());
            }
            other => push(other, out),
        }
    }
}

/// In a query or in a form: only RFC 3986's unreserved characters stay. A space becomes `%20`, which
/// forms read as well as `+`.
pub(super) fn component(value: &str, out: &mut Vec<u8>) {
    percent(value, b"-._~", out);
}

/// In a path: what RFC 3986 allows in one stays, the slash too, because credentials of more than one
/// segment exist (Slack's `T…/B…/…`) and some servers compare paths without decoding them.
pub(super) fn path(value: &str, out: &mut Vec<u8>) {
    percent(value, b"-._~!$&'()*+,;=:@/", out);
}

fn percent(value: &str, keep: &[u8], out: &mut Vec<u8>) {
    const DIGITS: [char; 16] =
        ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || keep.contains(&byte) {
            out.push(byte);
            continue;
        }
        out.push(b'%');
        for nibble in [byte >> 4, byte & 0xf] {
            if let Some(digit) = DIGITS.get(usize::from(nibble)) {
                push(*digit, out);
            }
        }
    }
}

fn push(char: char, out: &mut Vec<u8>) {
    out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    const AWKWARD: &str = "a\"b&c%d e\\f/g\nh\u{1}ü?#+=";

    fn escaped(escape: Escape) -> String {
        let mut out = Vec::new();
        escape(AWKWARD, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_value_reads_back_from_a_json_string() {
        let json = format!("\"{}\"", escaped(json));
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), AWKWARD);
    }

    #[test]
    fn a_value_reads_back_from_a_query_and_from_a_form() {
        let url = reqwest::Url::parse(&format!("https://x/?q={}", escaped(component))).unwrap();
        assert_eq!(url.query_pairs().next().unwrap().1, AWKWARD);
    }

    #[test]
    fn a_value_in_a_path_keeps_its_slashes_and_nothing_else_that_ends_a_path() {
        assert_eq!(escaped(path), "a%22b&c%25d%20e%5Cf/g%0Ah%01%C3%BC%3F%23+=");
    }

    #[test]
    fn a_raw_value_stays_as_it_is() {
        assert_eq!(escaped(raw), AWKWARD);
    }
}
