use std::time::Duration;

use super::*;
use crate::testing::{FakeHost, accepted, refusal};

fn server() -> Server {
    Server::new("mail.example", 587, Tls::Starttls).credentials(Mechanism::Plain, "me", "PASSWORD")
}

#[test]
fn a_message_goes_to_all_recipients_unless_told_otherwise() {
    let host = FakeHost::install();
    host.accept_mail(accepted("queued as 1")).accept_mail(accepted("queued as 2"));
    let mail = Submission::new(&server(), "a@b.example", "A: b\r\n\r\n").to("c@d.example");
    assert_eq!(mail.clone().submit().unwrap().reply.text, "queued as 1");
    mail.to("e@f.example").to_some().timeout(Duration::from_micros(1_500)).submit().unwrap();

    let [first, second] = host.mails().try_into().unwrap();
    assert_eq!((first.host.as_str(), first.port, first.tls), ("mail.example", 587, Tls::Starttls));
    let credentials = (Mechanism::Plain, "me".to_owned(), "PASSWORD".to_owned());
    assert_eq!(first.credentials, Some(credentials));
    assert_eq!((first.sender.as_str(), first.text().as_str()), ("a@b.example", "A: b\r\n\r\n"));
    assert_eq!((first.recipients.len(), first.all_recipients), (1, true));
    assert_eq!((second.recipients.len(), second.all_recipients), (2, false));
    assert_eq!((first.timeout_ms, second.timeout_ms), (None, Some(2)));
}

#[test]
fn inside_a_send_a_message_may_take_what_is_left() {
    let host = FakeHost::install();
    host.accept_mail(accepted("ok"));
    budget::begin(Duration::from_secs(10));
    Submission::new(&server(), "", "A: b\r\n\r\n").to("c@d.example").submit().unwrap();
    budget::end();
    let timeout_ms = host.mails()[0].timeout_ms.unwrap();
    assert!((9_000..=9_900).contains(&timeout_ms), "{timeout_ms}");
}

#[test]
fn a_check_has_its_own_time() {
    let host = FakeHost::install();
    host.refuse_mail(SmtpError::Unreachable("gone".to_owned()));
    let error = server().check(Duration::from_millis(800)).unwrap_err();
    assert_eq!(error, SmtpError::Unreachable("gone".to_owned()));
    assert_eq!(host.mails()[0].timeout_ms, Some(800));
    assert!(host.mails()[0].recipients.is_empty());
}

/// What a refusal becomes: the kind, and the scope of a retry.
fn outcome(phase: Phase, code: u16) -> String {
    match refusal(phase, code, "4.7.1", "no").outcome() {
        SendError::Retry(retry) => {
            assert_eq!(retry.problem.code, format!("{code} 4.7.1"));
            // The generated form of a case has the name of its type or has not, by how it is made.
            format!("retry {:?}", retry.scope).replace("RetryScope::", "")
        }
        SendError::Rejected(_) => "rejected".to_owned(),
        SendError::Misconfigured(_) => "misconfigured".to_owned(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_refusal_means_what_the_codes_say() {
    for (phase, code, expected) in [
        (Phase::Connection, 421, "retry Provider"),
        (Phase::Connection, 450, "retry Provider"),
        (Phase::Connection, 554, "misconfigured"),
        (Phase::Authentication, 454, "retry Credential"),
        (Phase::Authentication, 421, "retry Provider"),
        (Phase::Authentication, 535, "misconfigured"),
        (Phase::Authentication, 504, "misconfigured"),
        (Phase::Sender, 530, "misconfigured"),
        (Phase::Sender, 534, "misconfigured"),
        (Phase::Sender, 452, "retry Message"),
        (Phase::Sender, 552, "rejected"),
        (Phase::Recipient, 450, "retry Destination"),
        (Phase::Recipient, 451, "retry Destination"),
        (Phase::Recipient, 421, "retry Provider"),
        (Phase::Recipient, 550, "rejected"),
        (Phase::Content, 451, "retry Message"),
        (Phase::Content, 554, "rejected"),
    ] {
        assert_eq!(outcome(phase, code), expected, "{phase:?} {code}");
    }
    let ruled_out = Refusal { reply: None, ..refusal(Phase::Sender, 0, "", "too large") };
    assert!(
        matches!(ruled_out.outcome(), SendError::Rejected(problem) if problem.code == "not_offered")
    );
    let no_mechanism = Refusal { phase: Phase::Authentication, ..ruled_out };
    assert!(matches!(no_mechanism.outcome(), SendError::Misconfigured(_)));
}

#[test]
fn each_error_says_what_the_server_may_have_done() {
    let text = || "x".to_owned();
    for (error, expected) in [
        (SmtpError::Invalid(text()), SendError::rejected("invalid_message", "x")),
        (SmtpError::Denied(text()), SendError::misconfigured("denied", "x")),
        (SmtpError::Unreachable(text()), SendError::retry("unreachable", "x")),
        (SmtpError::NoAnswer(text()), SendError::unknown("no_answer", "x")),
        (
            SmtpError::TlsFailed(text()),
            Retry::new("tls_failed", "x").scope(RetryScope::Credential).into(),
        ),
    ] {
        assert_eq!(SendError::from(error), expected);
    }
}
