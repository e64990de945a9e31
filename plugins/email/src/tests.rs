mod mails;

use conductor_sdk::{
    HealthStatus, RetryScope, json,
    serde_json::Value,
    smtp::{self, Mechanism, Phase, SmtpError},
    testing::{FakeHost, accepted, manifest, message, refusal, start},
};

use super::*;

fn options(more: &Value) -> Value {
    let mut options = json!({
        "server": "mail.example",
        "user": "me@a.example",
        "from": "Alerts <me@a.example>",
        "to": "ops@b.example",
    });
    for (name, value) in more.as_object().unwrap() {
        options[name] = value.clone();
    }
    options
}

fn email(more: &Value) -> (FakeHost, Email) {
    let host = FakeHost::install();
    host.secret(PASSWORD, "hush");
    (host, start(options(more)).unwrap())
}

fn failure(more: &Value) -> String {
    let host = FakeHost::install();
    host.secret(PASSWORD, "hush");
    match start::<Email>(options(more)) {
        Ok(_) => panic!("{more} was taken"),
        Err(failure) => {
            assert!(!failure.temporary);
            format!("{}: {}", failure.problem.code, failure.problem.detail)
        }
    }
}

#[test]
fn a_message_goes_to_the_default_recipient_with_the_users_password() {
    let (host, email) = email(&json!({}));
    host.accept_mail(accepted("queued as 4711"));
    let receipt = email.send(&message("disk full")).unwrap();
    let id = "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b.0@a.example";
    assert_eq!(receipt, Receipt::accepted().provider_id(id).detail("reply", "queued as 4711"));

    let [mail] = host.mails().try_into().unwrap();
    assert_eq!(
        (mail.host.as_str(), mail.port, mail.tls),
        ("mail.example", 465, smtp::Tls::Implicit)
    );
    let credentials = (Mechanism::Plain, "me@a.example".to_owned(), PASSWORD.to_owned());
    assert_eq!(mail.credentials, Some(credentials));
    assert_eq!(
        (mail.sender.as_str(), mail.recipients),
        ("me@a.example", vec!["ops@b.example".into()])
    );
    assert!(mail.all_recipients);
}

#[test]
fn each_protection_has_its_port() {
    for (tls, port, expected) in [
        (json!("starttls"), Value::Null, (smtp::Tls::Starttls, 587)),
        (json!("implicit"), json!(2465), (smtp::Tls::Implicit, 2465)),
        (json!("plaintext"), Value::Null, (smtp::Tls::Plaintext, 25)),
    ] {
        let host = FakeHost::install();
        host.accept_mail(accepted("ok"));
        let mut options = options(&json!({ "tls": tls, "port": port }));
        options.as_object_mut().unwrap().remove("user");
        start::<Email>(options).unwrap().send(&message("x")).unwrap();
        let mail = &host.mails()[0];
        assert_eq!((mail.tls, mail.port), expected);
        assert_eq!(mail.credentials, None);
    }
}

#[test]
fn bounces_may_go_elsewhere() {
    let (host, email) =
        email(&json!({ "bounces_to": "bounces@a.example", "mechanism": "xoauth2" }));
    host.accept_mail(accepted("ok"));
    email.send(&message("x")).unwrap();
    assert_eq!(host.mails()[0].sender, "bounces@a.example");
    assert_eq!(host.mails()[0].credentials.as_ref().unwrap().0, Mechanism::Xoauth2);
    assert!(host.mails()[0].text().contains("From: \"Alerts\" <me@a.example>\r\n"));
}

#[test]
fn a_target_is_one_address_or_some_with_commas() {
    let (host, email) = email(&json!({}));
    host.accept_mail(accepted("ok"));
    let mut mail = message("x");
    mail.target = Some("a@b.example, c@d.example,a@b.example".into());
    email.send(&mail).unwrap();
    assert_eq!(host.mails()[0].recipients, ["a@b.example", "c@d.example"]);

    let many: Vec<String> = (0..21).map(|number| format!("a{number}@b.example")).collect();
    for bad in [
        "ops",
        "a@b.example,",
        "a@b.example\r\nBcc: c@d.example",
        "Ops <a@b.example>",
        "a b@c.example",
        "a@b@c.example",
        "@b.example",
        &many.join(","),
    ] {
        mail.target = Some(bad.to_owned());
        let error = email.send(&mail).unwrap_err();
        assert!(matches!(error, SendError::Rejected(problem) if problem.code == "invalid_target"));
    }
    assert_eq!(host.mails().len(), 1);
}

#[test]
fn what_an_option_lacks_is_said_at_the_start() {
    assert!(failure(&json!({ "from": "Alerts" })).contains("option from"));
    assert!(failure(&json!({ "from": "A\r\nBcc: x <a@b.example>" })).contains("option from"));
    assert!(failure(&json!({ "to": "ops" })).contains("option to"));
    assert!(failure(&json!({ "reply_to": "x" })).contains("option reply_to"));
    assert!(failure(&json!({ "bounces_to": "x" })).contains("option bounces_to"));
    assert!(failure(&json!({ "headers": { "Bcc": "a@b.example" } })).contains("option headers"));
    assert!(failure(&json!({ "headers": { "X-A": "b\r\nBcc: c" } })).contains("control"));
    assert!(failure(&json!({ "headers": { "X-A: b\r\nBcc": "c" } })).contains("headers"));
    assert!(failure(&json!({ "user": null })).starts_with("missing_user"));
    assert!(failure(&json!({ "sever": "x" })).starts_with("invalid_options"));
    let _host = FakeHost::install();
    let error = start::<Email>(options(&json!({}))).err().unwrap();
    assert_eq!(error.problem.code, "missing_secret");
}

#[test]
fn a_refusal_keeps_its_codes() {
    let (host, email) = email(&json!({}));
    host.refuse_mail(SmtpError::Rejected(refusal(Phase::Recipient, 450, "4.2.0", "greylisted")))
        .refuse_mail(SmtpError::Rejected(refusal(Phase::Content, 552, "5.3.4", "too large")))
        .refuse_mail(SmtpError::AuthFailed(refusal(Phase::Authentication, 535, "5.7.8", "no")))
        .refuse_mail(SmtpError::NoAnswer("lost".into()));
    let SendError::Retry(retry) = email.send(&message("x")).unwrap_err() else { panic!() };
    assert_eq!((retry.scope, retry.problem.code.as_str()), (RetryScope::Destination, "450 4.2.0"));
    let SendError::Rejected(problem) = email.send(&message("x")).unwrap_err() else { panic!() };
    assert_eq!(problem.code, "552 5.3.4");
    let SendError::Misconfigured(problem) = email.send(&message("x")).unwrap_err() else {
        panic!()
    };
    assert_eq!(problem.code, "535 5.7.8");
    assert!(matches!(email.send(&message("x")).unwrap_err(), SendError::Unknown(_)));
}

#[test]
fn health_logs_in_and_sends_nothing() {
    let (host, email) = email(&json!({}));
    host.accept_mail(accepted("ok")).refuse_mail(SmtpError::AuthFailed(refusal(
        Phase::Authentication,
        535,
        "5.7.8",
        "no",
    )));
    assert_eq!(email.health(), HealthReport::healthy());
    let report = email.health();
    assert_eq!(report.status, HealthStatus::Unhealthy);
    assert!(report.detail.unwrap().contains("535"));
    assert!(
        host.mails().iter().all(|mail| mail.recipients.is_empty() && mail.timeout_ms == Some(800))
    );
}

#[test]
fn the_manifest_asks_for_the_server_in_the_options() {
    let manifest = manifest::<Email>();
    assert_eq!(manifest["name"], "email");
    assert_eq!(
        manifest["hosts"],
        json!(["smtp://option:server", "smtp+plaintext://option:server"])
    );
    assert_eq!(manifest["secrets"][0]["required"], false);
    assert_eq!(manifest["attachmentsMax"], 10);
    assert_eq!(manifest["optionsSchema"]["additionalProperties"], false);
    assert_eq!(manifest["optionsSchema"]["required"], json!(["server", "from"]));
}
