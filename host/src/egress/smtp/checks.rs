//! What a submission must be before anything is done with it.

use super::{Mechanism, Server, SmtpError, Submission, origin::normal_host};
use crate::limits;

/// A submission whose envelope and message may go out on lines of their own.
pub(super) struct Checked {
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    pub(super) all_recipients: bool,
    pub(super) message: Vec<u8>,
    /// An address, or the message's header, is not ASCII: needs SMTPUTF8 (RFC 6531).
    pub(super) utf8: bool,
    /// The message is not ASCII: needs 8BITMIME (RFC 6152).
    pub(super) eight_bit: bool,
}

impl Checked {
    /// Checks all of `submission` but its server.
    ///
    /// # Errors
    /// [`SmtpError::Invalid`].
    pub(super) fn new(submission: Submission) -> Result<Self, SmtpError> {
        let Submission { sender, recipients, all_recipients, message, .. } = submission;
        if recipients.is_empty() || recipients.len() > limits::SMTP_RECIPIENTS_MAX {
            return Err(SmtpError::Invalid(format!(
                "there are {} recipients; there must be at least one and at most {}",
                recipients.len(),
                limits::SMTP_RECIPIENTS_MAX
            )));
        }
        let sender = if sender.is_empty() { sender } else { address(&sender, "sender")? };
        let recipients: Vec<String> =
            recipients.iter().map(|one| address(one, "recipient")).collect::<Result<_, _>>()?;
        let header_bytes = check_message(&message)?;
        let header_is_ascii = message.iter().take(header_bytes).all(u8::is_ascii);
        let addresses_are_ascii = sender.is_ascii() && recipients.iter().all(|one| one.is_ascii());
        Ok(Self {
            utf8: !addresses_are_ascii || !header_is_ascii,
            eight_bit: !message.is_ascii(),
            sender,
            recipients,
            all_recipients,
            message,
        })
    }
}

/// Checks how a server is to be spoken to.
///
/// # Errors
/// [`SmtpError::Invalid`], or [`SmtpError::Denied`] for credentials without TLS.
pub(super) fn check_server(server: &Server) -> Result<(), SmtpError> {
    let Some(credentials) = &server.credentials else { return Ok(()) };
    if server.tls == super::Tls::Plaintext {
        return Err(SmtpError::Denied(String::from(
            "credentials are never sent without TLS: use implicit TLS or STARTTLS, or no \
             credentials",
        )));
    }
    let username = &credentials.username;
    // NUL separates the parts of PLAIN, and Ctrl-A those of XOAUTH2.
    if username.is_empty()
        || username.len() > limits::SMTP_USERNAME_BYTES_MAX
        || username.chars().any(char::is_control)
    {
        let mechanism = match credentials.mechanism {
            Mechanism::Plain => "PLAIN",
            Mechanism::Login => "LOGIN",
            Mechanism::Xoauth2 => "XOAUTH2",
        };
        return Err(SmtpError::Invalid(format!(
            "the user name for {mechanism} must have 1 to {} bytes and no control characters",
            limits::SMTP_USERNAME_BYTES_MAX
        )));
    }
    Ok(())
}

/// An address as it stands between "<" and ">", its domain in punycode. Quoted local parts and
/// addresses in the place of domains are left out: nobody has one, and both are ways to say two
/// things at once.
fn address(text: &str, what: &str) -> Result<String, SmtpError> {
    let bad = |why: &str| {
        let shown: String = text.chars().filter(|char| !char.is_control()).take(100).collect();
        SmtpError::Invalid(format!("the {what} \"{shown}\" is not an address: {why}"))
    };
    let (local, domain) = text.rsplit_once('@').ok_or_else(|| bad("there is no \"@\""))?;
    let is_atom = |char: char| {
        char.is_ascii_alphanumeric()
            || "!#$%&'*+-/=?^_`{|}~.".contains(char)
            || (!char.is_ascii() && !char.is_control() && !char.is_whitespace())
    };
    if local.is_empty() || local.len() > limits::SMTP_LOCAL_PART_BYTES_MAX {
        return Err(bad("in front of the \"@\" there must be 1 to 64 bytes"));
    }
    if !local.chars().all(is_atom) || local.split('.').any(str::is_empty) {
        return Err(bad(
            "in front of the \"@\" letters, digits, !#$%&'*+-/=?^_`{|}~ and single dots may stand",
        ));
    }
    let in_domain = |char: char| char.is_alphanumeric() || char == '-' || char == '.';
    let domain = Some(domain)
        .filter(|domain| domain.chars().all(in_domain) && !domain.split('.').any(str::is_empty))
        .and_then(normal_host)
        .ok_or_else(|| bad("behind the \"@\" the name of a domain must stand"))?;
    let address = format!("{local}@{domain}");
    if address.len() > limits::SMTP_ADDRESS_BYTES_MAX {
        return Err(bad("it is longer than 254 bytes"));
    }
    Ok(address)
}

/// The length of the header.
fn check_message(message: &[u8]) -> Result<usize, SmtpError> {
    let bad =
        |why: String| SmtpError::Invalid(format!("the message is not as RFC 5322 has it: {why}"));
    if message.len() > limits::SMTP_MESSAGE_BYTES_MAX {
        return Err(SmtpError::Invalid(format!(
            "the message has {} bytes and the host sends {} at most",
            message.len(),
            limits::SMTP_MESSAGE_BYTES_MAX
        )));
    }
    let mut header_bytes = None;
    let mut at = 0;
    let text = message.strip_suffix(b"\r\n").unwrap_or(message);
    // Only LF is looked for: a CR that is not in front of one is seen in its line.
    for (number, line) in (1..).zip(text.split(|byte| *byte == b'\n')) {
        let is_last = at + line.len() == text.len();
        let line = match line.strip_suffix(b"\r") {
            Some(line) if !is_last => line,
            _ if is_last => line,
            _ => return Err(bad(format!("line {number} ends with LF alone, not with CR LF"))),
        };
        if line.len() > limits::SMTP_LINE_BYTES_MAX {
            let max = limits::SMTP_LINE_BYTES_MAX;
            return Err(bad(format!("line {number} has {} bytes, {max} are allowed", line.len())));
        }
        // Some servers take a lone CR for the end of a line, and what follows for a command.
        if line.contains(&b'\r') || line.contains(&0) {
            return Err(bad(format!("line {number} has a lone CR or a NUL")));
        }
        if header_bytes.is_none() {
            if line.is_empty() {
                header_bytes = Some(at);
            } else if !is_header_line(line, number == 1) {
                return Err(bad(format!("line {number} is no line of a header")));
            }
        }
        at += line.len() + "\r\n".len();
    }
    match header_bytes {
        None | Some(0) => Err(bad(String::from("a header and an empty line must begin it"))),
        Some(bytes) => Ok(bytes),
    }
}

/// `Name: …`, or a line that continues the one before.
fn is_header_line(line: &[u8], first: bool) -> bool {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return !first;
    }
    let mut parts = line.splitn(2, |byte| *byte == b':');
    let name = parts.next().unwrap_or_default();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic) && parts.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::smtp::{Credentials, Tls};

    fn submission(recipients: &[&str], message: &str) -> Submission {
        Submission {
            server: server(Tls::Implicit, "me"),
            sender: String::from("a@b.example"),
            recipients: recipients.iter().map(ToString::to_string).collect(),
            all_recipients: true,
            message: message.as_bytes().to_vec(),
        }
    }

    fn server(tls: Tls, username: &str) -> Server {
        let credentials = Credentials {
            mechanism: Mechanism::Plain,
            username: username.to_owned(),
            password_secret: String::from("PASSWORD"),
        };
        Server {
            host: String::from("mail.example"),
            port: 587,
            tls,
            credentials: Some(credentials),
        }
    }

    fn why(submission: Submission) -> String {
        match Checked::new(submission) {
            Err(SmtpError::Invalid(why)) => why,
            Err(error) => panic!("{error:?}"),
            Ok(_) => panic!("it was taken"),
        }
    }

    const HELLO: &str = "Subject: a\r\n\r\nhello\r\n";

    #[test]
    fn addresses_go_out_in_one_form() {
        let to = ["x+tag@Example.ORG", "o'neil@a.b.example", "ü@bücher.example"];
        let checked = Checked::new(submission(&to, HELLO)).unwrap();
        assert_eq!(
            checked.recipients,
            ["x+tag@example.org", "o'neil@a.b.example", "ü@xn--bcher-kva.example"]
        );
        assert!(checked.utf8 && !checked.eight_bit);
        let ascii = Checked::new(submission(&["a@bücher.example"], HELLO)).unwrap();
        assert!(!ascii.utf8, "a domain has a form in ASCII");
        let mut nobody = submission(&["a@b.example"], HELLO);
        nobody.sender.clear();
        assert_eq!(Checked::new(nobody).unwrap().sender, "");
    }

    #[test]
    fn what_is_no_address_does_not_reach_a_line() {
        for bad in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b.example\r\nRCPT TO:<c@d.example>",
            "a\n@b.example",
            "a@b.example>",
            "<a@b.example>",
            "a b@c.example",
            "a@b@c.example ",
            "\"a b\"@c.example",
            "a..b@c.example",
            ".a@c.example",
            "a@b..example",
            "a@.example",
            "a@[127.0.0.1]",
            "a@b/c",
            "a@b:25",
            "a\u{85}@b.example",
            "a\u{a0}@b.example",
        ] {
            let text = why(submission(&[bad], HELLO));
            assert!(text.starts_with("the recipient"), "{bad:?}: {text}");
            assert!(!text.contains(['\r', '\n']), "{text:?}");
        }
        assert!(why(submission(&[&format!("{}@b.example", "a".repeat(65))], HELLO)).contains("64"));
        let long = format!("a@{}example", "abcdefgh.".repeat(28));
        assert!(why(submission(&[&long], HELLO)).contains("254"));
        assert!(why(submission(&[], HELLO)).contains("0 recipients"));
        assert!(why(submission(&["a@b.example"; 101], HELLO)).contains("101"));
    }

    #[test]
    fn a_message_is_a_header_and_lines_of_a_length() {
        for good in [
            "A: b\r\n\r\n",
            "A: b\r\n c\r\n\r\n.\r\n..\r\n",
            "A:\r\n\r\nno end of the last line",
            "A: b\r\n\r\n\r\n\r\n",
        ] {
            assert!(Checked::new(submission(&["a@b.example"], good)).is_ok(), "{good:?}");
        }
        let long = |bytes| format!("A: b\r\n\r\n{}\r\n", "x".repeat(bytes));
        assert!(Checked::new(submission(&["a@b.example"], &long(998))).is_ok());
        for (bad, reason) in [
            ("", "header"),
            ("\r\nhello", "header"),
            ("A: b\r\n", "header"),
            ("hello\r\n\r\n", "line 1"),
            (" A: b\r\n\r\n", "line 1"),
            ("A b: c\r\n\r\n", "line 1"),
            (".\r\nA: b\r\n\r\n", "line 1"),
            ("A: b\n\nhello", "line 1 ends with LF alone"),
            ("A: b\r\n\r\na\n.\nb\r\n", "line 3 ends with LF alone"),
            ("A: b\r\n\r\na\r.\rb\r\n", "line 3 has a lone CR"),
            ("A: b\r\n\r\na\r\r\nb\r\n", "line 3 has a lone CR"),
            ("A: b\r\n\r\na\0b\r\n", "NUL"),
            (&long(999), "999"),
        ] {
            let text = why(submission(&["a@b.example"], bad));
            assert!(text.contains(reason), "{bad:?}: {text}");
        }
        let huge = format!("A: b\r\n\r\n{}", "x\r\n".repeat(400_000));
        assert!(why(submission(&["a@b.example"], &huge)).contains("1048576"));
    }

    #[test]
    fn what_is_not_ascii_is_noticed() {
        let body = Checked::new(submission(&["a@b.example"], "A: b\r\n\r\nü\r\n")).unwrap();
        assert!(body.eight_bit && !body.utf8);
        let header = Checked::new(submission(&["a@b.example"], "A: ü\r\n\r\nu\r\n")).unwrap();
        assert!(header.eight_bit && header.utf8);
    }

    #[test]
    fn credentials_need_tls_and_a_user_name_on_one_line() {
        assert_eq!(check_server(&server(Tls::Starttls, "me")), Ok(()));
        assert!(matches!(check_server(&server(Tls::Plaintext, "me")), Err(SmtpError::Denied(_))));
        for bad in ["", "a\0b", "a\r\nb", "a\u{1}auth=b"] {
            let error = check_server(&server(Tls::Implicit, bad));
            assert!(matches!(error, Err(SmtpError::Invalid(_))), "{bad:?}");
        }
        let mut open = server(Tls::Plaintext, "");
        open.credentials = None;
        assert_eq!(check_server(&open), Ok(()));
    }
}
