//! Mail, over real connections to a double.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    kit::{Door, LONG},
    mail_server::{Act, MailServer, Protection},
};
use crate::egress::{
    Acceptance, BindingEgress, Credentials, Egress, Mechanism, Phase, Refusal, Server, SmtpError,
    Submission, Tls,
};

const PASSWORD: &str = "correct horse battery";
const MESSAGE: &str = "Subject: hello\r\n\r\n.one\r\ntwo\r\n";

/// A door to a double, with a secret for it.
struct Post {
    server: MailServer,
    door: Arc<BindingEgress>,
    tls: Tls,
    mechanism: Mechanism,
}

impl Post {
    async fn new(protection: Protection) -> Self {
        let server = MailServer::start(protection).await;
        let door = door_to(&server, &["smtp://localhost:*"], &["smtp://localhost:*"]);
        let tls = if protection == Protection::Implicit { Tls::Implicit } else { Tls::Starttls };
        Self { server, door, tls, mechanism: Mechanism::Plain }
    }

    fn to(&self) -> Server {
        Server {
            host: String::from("localhost"),
            port: self.server.port,
            tls: self.tls,
            credentials: Some(Credentials {
                mechanism: self.mechanism,
                username: String::from("me@a.example"),
                password_secret: String::from("PASSWORD"),
            }),
        }
    }

    fn mail(&self) -> Submission {
        Submission {
            server: self.to(),
            sender: String::from("me@a.example"),
            recipients: vec![String::from("you@b.example")],
            all_recipients: true,
            message: MESSAGE.as_bytes().to_vec(),
        }
    }

    async fn send(&self) -> Result<Acceptance, SmtpError> {
        self.door.submit(self.mail(), LONG, &|_| {}).await
    }

    async fn refused(&self) -> Refusal {
        match self.send().await.unwrap_err() {
            SmtpError::Rejected(refusal) => refusal,
            error => panic!("{error:?}"),
        }
    }
}

fn door_to(server: &MailServer, asks: &[&str], grants: &[&str]) -> Arc<BindingEgress> {
    let mut door = Door::to_loopback().with_secret("PASSWORD", PASSWORD);
    door.asks = asks.iter().map(ToString::to_string).collect();
    door.grants.hosts = grants.iter().map(|host| host.parse().unwrap()).collect();
    door.open(&Egress::new(server.certificate_pem.as_bytes()).unwrap())
}

#[tokio::test]
async fn a_message_goes_out_under_either_tls() {
    for protection in [Protection::Implicit, Protection::Starttls] {
        let post = Post::new(protection).await;
        let taken = post.send().await.unwrap();
        assert_eq!((taken.reply.code, taken.reply.text.as_str()), (250, "queued as 4711"));
        assert_eq!(taken.reply.enhanced.as_deref(), Some("2.0.0"));
        let [mail] = post.server.mails().try_into().unwrap();
        assert_eq!(mail.from, format!("MAIL FROM:<me@a.example> SIZE={}", MESSAGE.len()));
        assert_eq!(mail.to, ["RCPT TO:<you@b.example>"]);
        assert_eq!(mail.message, MESSAGE);
        assert!(mail.encrypted);
        assert!(post.server.lines()[0].starts_with("EHLO [127.0.0.1]"));
        let count = post.door.count();
        assert_eq!((count.requests, count.denied), (1, 0));
        assert_eq!(count.bytes_out, MESSAGE.len() as u64);
    }
}

#[tokio::test]
async fn each_mechanism_says_what_its_standard_wants() {
    let plain = STANDARD.encode(format!("\0me@a.example\0{PASSWORD}"));
    let bearer = STANDARD.encode(format!("user=me@a.example\u{1}auth=Bearer {PASSWORD}\u{1}\u{1}"));
    for (mechanism, expected) in [
        (Mechanism::Plain, vec![format!("AUTH PLAIN {plain}")]),
        (
            Mechanism::Login,
            vec![
                String::from("AUTH LOGIN"),
                STANDARD.encode("me@a.example"),
                STANDARD.encode(PASSWORD),
            ],
        ),
        (Mechanism::Xoauth2, vec![format!("AUTH XOAUTH2 {bearer}")]),
    ] {
        let mut post = Post::new(Protection::Implicit).await;
        post.mechanism = mechanism;
        post.send().await.unwrap();
        assert_eq!(post.server.lines()[1..=expected.len()], expected);
    }
}

#[tokio::test]
async fn credentials_that_are_refused_are_no_refusal_of_the_message() {
    let mut post = Post::new(Protection::Starttls).await;
    // Some servers repeat what they do not like.
    let sent = STANDARD.encode(format!("\0me@a.example\0{PASSWORD}"));
    post.server.then("AUTH", format!("535 5.7.8 no: {sent} {PASSWORD}").as_str());
    let SmtpError::AuthFailed(refusal) = post.send().await.unwrap_err() else { panic!() };
    assert_eq!(refusal.reply.as_ref().unwrap().code, 535);
    let shown = format!("{refusal:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains(&sent), "{shown}");
    assert!(post.server.mails().is_empty());

    post.mechanism = Mechanism::Xoauth2;
    post.server.then("AUTH", "334 eyJzdGF0dXMiOiI0MDAifQ==");
    let SmtpError::AuthFailed(refusal) = post.send().await.unwrap_err() else { panic!() };
    assert_eq!(refusal.reply.unwrap().code, 535);

    post.server.offers(&["AUTH LOGIN CRAM-MD5"]);
    let SmtpError::AuthFailed(refusal) = post.send().await.unwrap_err() else { panic!() };
    assert!(refusal.detail.contains("XOAUTH2") && refusal.detail.contains("offers: login"));
    assert_eq!(refusal.reply, None);
}

#[tokio::test]
async fn without_starttls_nothing_is_said_but_hello() {
    let post = Post::new(Protection::Stripped).await;
    let SmtpError::TlsFailed(why) = post.send().await.unwrap_err() else { panic!() };
    assert!(why.contains("does not offer STARTTLS"), "{why}");
    assert!(post.server.lines().iter().all(|line| line.starts_with("EHLO ") || line == "QUIT"));
}

#[tokio::test]
async fn what_stands_behind_the_answer_to_starttls_is_nobodys_word() {
    let post = Post::new(Protection::Injected).await;
    let SmtpError::TlsFailed(why) = post.send().await.unwrap_err() else { panic!() };
    assert!(why.contains("plaintext"), "{why}");
    assert_eq!(post.server.lines().last().unwrap(), "STARTTLS");
}

#[tokio::test]
async fn a_certificate_must_be_for_the_name_and_vouched_for() {
    let post = Post::new(Protection::Implicit).await;
    let everywhere = ["smtp://*:*"];
    let by_address = Server { host: String::from("127.0.0.1"), ..post.to() };
    let door = door_to(&post.server, &everywhere, &everywhere);
    let error = door.check_mail_server(by_address, LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(error, SmtpError::TlsFailed(_)), "{error:?}");

    let stranger = MailServer::start(Protection::Implicit).await;
    let to = Server { port: stranger.port, ..post.to() };
    let error = door.check_mail_server(to, LONG, &|_| {}).await.unwrap_err();
    assert!(
        matches!(&error, SmtpError::TlsFailed(why) if why.contains("certificate")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_port_of_the_other_kind_is_named_as_that() {
    let mut post = Post::new(Protection::Starttls).await;
    post.tls = Tls::Implicit;
    let error = post.send().await.unwrap_err();
    assert!(matches!(&error, SmtpError::TlsFailed(why) if why.contains("STARTTLS?")), "{error:?}");
}

#[tokio::test]
async fn plaintext_is_for_whom_just_that_is_granted_and_never_has_credentials() {
    let post = Post::new(Protection::Stripped).await;
    let plaintext = ["smtp+plaintext://localhost:*"];
    let mut mail = post.mail();
    mail.server.tls = Tls::Plaintext;
    mail.server.credentials = None;
    let denied = post.door.submit(mail.clone(), LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(denied, SmtpError::Denied(_)), "{denied:?}");
    assert_eq!(post.door.count().denied, 1);

    let door = door_to(&post.server, &plaintext, &plaintext);
    door.submit(mail.clone(), LONG, &|_| {}).await.unwrap();
    assert!(!post.server.mails()[0].encrypted);
    mail.server.credentials = post.to().credentials;
    let denied = door.submit(mail, LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(&denied, SmtpError::Denied(why) if why.contains("without TLS")), "{denied:?}");
}

#[tokio::test]
async fn a_server_is_asked_for_and_granted_and_its_address_allowed() {
    let post = Post::new(Protection::Implicit).await;
    for (asks, grants, why) in [
        ("smtp://other:*", "smtp://localhost:*", "does not ask"),
        ("smtp://localhost:*", "smtp://localhost:1", "[plugin.grants] smtp"),
        ("https://localhost:*", "https://localhost:*", "does not ask"),
    ] {
        let door = door_to(&post.server, &[asks], &[grants]);
        let error = door.submit(post.mail(), LONG, &|_| {}).await.unwrap_err();
        assert!(matches!(&error, SmtpError::Denied(text) if text.contains(why)), "{error:?}");
    }
    for host in ["localhost", "127.0.0.1"] {
        let mut door = Door::to_the_internet().with_secret("PASSWORD", PASSWORD);
        door.asks = vec![String::from("smtp://*:*")];
        door.grants.hosts = vec!["smtp://*:*".parse().unwrap()];
        let mut mail = post.mail();
        mail.server.host = host.to_owned();
        let error = door.open_alone().submit(mail, LONG, &|_| {}).await.unwrap_err();
        assert!(
            matches!(&error, SmtpError::Denied(text) if text.contains("loopback")),
            "{error:?}"
        );
    }
    assert_eq!(post.server.connections(), 0);
}

#[tokio::test]
async fn a_secret_goes_only_where_it_is_granted() {
    let post = Post::new(Protection::Implicit).await;
    let mut door = Door::to_loopback().with_secret("PASSWORD", PASSWORD);
    door.asks = vec![String::from("smtp://*:*")];
    door.grants.hosts = vec!["smtp://*:*".parse().unwrap()];
    door.grants
        .secrets
        .insert(String::from("PASSWORD"), vec!["smtp://other.example".parse().unwrap()]);
    let door = door.open(&Egress::new(post.server.certificate_pem.as_bytes()).unwrap());
    let error = door.submit(post.mail(), LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(error, SmtpError::SecretDenied(_)), "{error:?}");
    let mut mail = post.mail();
    mail.server.credentials.as_mut().unwrap().password_secret = String::from("OTHER");
    let error = door.submit(mail, LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(&error, SmtpError::Denied(why) if why.contains("OTHER")), "{error:?}");
    assert_eq!(post.server.connections(), 0);
}

#[tokio::test]
async fn each_refusal_says_at_what_and_the_connection_serves_on() {
    let post = Post::new(Protection::Starttls).await;
    for (word, phase) in [
        ("MAIL", Phase::Sender),
        ("RCPT", Phase::Recipient),
        ("DATA", Phase::Content),
        (".", Phase::Content),
    ] {
        post.server.then(word, "550-5.7.1 no\r\n550 5.7.1 never");
        let refusal = post.refused().await;
        assert_eq!(refusal.phase, phase);
        let reply = refusal.reply.unwrap();
        assert_eq!((reply.code, reply.enhanced.as_deref()), (550, Some("5.7.1")));
        assert!(refusal.detail.contains("550 5.7.1 no"), "{}", refusal.detail);
    }
    post.send().await.unwrap();
    assert_eq!(post.server.connections(), 1);
}

#[tokio::test]
async fn a_server_that_closes_for_now_says_so_at_any_moment() {
    for word in ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        let post = Post::new(Protection::Implicit).await;
        post.server.then(word, "421 4.3.2 shutting down");
        let refusal = post.refused().await;
        assert_eq!(refusal.reply.unwrap().code, 421, "{word}");
        post.send().await.unwrap();
        assert_eq!(post.server.connections(), 2, "{word}");
    }
}

#[tokio::test]
async fn one_recipient_that_is_refused_stops_it_for_all_or_for_itself() {
    let post = Post::new(Protection::Implicit).await;
    let mut mail = post.mail();
    mail.recipients = ["a@b.example", "c@d.example", "e@f.example"].map(String::from).to_vec();
    let plan = || {
        post.server
            .then("RCPT", "450 4.2.0 later")
            .then("RCPT", "550 5.1.1 nobody")
            .then("RCPT", "250 2.1.5 ok")
    };
    plan();
    let error = post.door.submit(mail.clone(), LONG, &|_| {}).await.unwrap_err();
    let SmtpError::Rejected(refusal) = error else { panic!("{error:?}") };
    assert_eq!(refusal.recipient.as_deref(), Some("c@d.example"), "what will never be taken");
    assert!(post.server.mails().is_empty());

    plan();
    mail.all_recipients = false;
    let taken = post.door.submit(mail, LONG, &|_| {}).await.unwrap();
    let refused: Vec<_> =
        taken.refused.iter().map(|one| one.recipient.as_deref().unwrap()).collect();
    assert_eq!(refused, ["a@b.example", "c@d.example"]);
    assert_eq!(post.server.mails().len(), 1);
}

#[tokio::test]
async fn what_the_greeting_rules_out_is_not_tried() {
    let post = Post::new(Protection::Implicit).await;
    let mut mail = post.mail();
    mail.message = format!("A: b\r\n\r\n{}", "x\r\n".repeat(40_000)).into_bytes();
    let error = post.door.submit(mail.clone(), LONG, &|_| {}).await.unwrap_err();
    let SmtpError::Rejected(refusal) = error else { panic!("{error:?}") };
    assert_eq!((refusal.phase, refusal.reply), (Phase::Sender, None));
    assert!(refusal.detail.contains("100000"), "{}", refusal.detail);

    mail.message = "A: b\r\n\r\nü\r\n".into();
    mail.recipients = vec![String::from("ü@b.example")];
    let error = post.door.submit(mail.clone(), LONG, &|_| {}).await.unwrap_err();
    assert!(error.to_string().contains("SMTPUTF8"), "{error}");
    assert!(!post.server.lines().iter().any(|line| line.starts_with("MAIL")));

    let post = Post::new(Protection::Implicit).await;
    post.server.offers(&["SMTPUTF8", "8BITMIME", "SIZE", "AUTH PLAIN"]);
    mail.server = post.to();
    post.door.submit(mail, LONG, &|_| {}).await.unwrap();
    let [mail] = post.server.mails().try_into().unwrap();
    assert!(mail.from.ends_with("> SIZE=12 BODY=8BITMIME SMTPUTF8"), "{}", mail.from);
}

#[tokio::test]
async fn a_connection_is_kept_for_the_next_message_of_the_same_user() {
    let mut post = Post::new(Protection::Starttls).await;
    for _ in 0..3 {
        post.send().await.unwrap();
    }
    post.door.check_mail_server(post.to(), LONG, &|_| {}).await.unwrap();
    assert_eq!(post.server.connections(), 1);
    let logins =
        |server: &MailServer| server.lines().iter().filter(|line| line.starts_with("AUTH")).count();
    assert_eq!(logins(&post.server), 1);
    post.mechanism = Mechanism::Login;
    post.send().await.unwrap();
    assert_eq!((post.server.connections(), logins(&post.server)), (2, 2));
}

#[tokio::test]
async fn a_connection_that_the_server_has_closed_is_not_used() {
    let post = Post::new(Protection::Implicit).await;
    post.send().await.unwrap();
    post.server.then("RSET", Act::HangUp);
    post.send().await.unwrap();
    assert_eq!(post.server.connections(), 2);
    assert_eq!(post.server.mails().len(), 2);
}

#[tokio::test]
async fn a_channel_has_four_connections_and_the_fifth_message_waits() {
    let post = Arc::new(Post::new(Protection::Implicit).await);
    post.server.always(".", Act::SayAfter(Duration::from_millis(300), String::from("250 ok")));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let post = Arc::clone(&post);
        sends.spawn(async move { post.send().await });
    }
    while let Some(sent) = sends.join_next().await {
        sent.unwrap().unwrap();
    }
    assert_eq!((post.server.mails().len(), post.server.connections()), (6, 4));
}

#[tokio::test]
async fn a_message_whose_end_was_sent_may_be_delivered_and_no_other() {
    for word in ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"] {
        let post = Post::new(Protection::Implicit).await;
        post.server.then(word, Act::HangUp);
        let error = post.send().await.unwrap_err();
        assert!(matches!(error, SmtpError::Unreachable(_)), "{word}: {error:?}");
    }
    for act in [Act::HangUp, Act::Silence] {
        let post = Post::new(Protection::Implicit).await;
        post.server.then(".", act);
        let error =
            post.door.submit(post.mail(), Duration::from_millis(700), &|_| {}).await.unwrap_err();
        assert!(matches!(error, SmtpError::NoAnswer(_)), "{error:?}");
        assert_eq!(post.server.mails().len(), 1);
        post.send().await.unwrap();
        assert_eq!(post.server.connections(), 2, "a broken connection is not kept");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_costs_the_call_no_more_than_its_time() {
    let post = Post::new(Protection::Implicit).await;
    post.server.then("greeting", Act::Silence);
    let began = std::time::Instant::now();
    let error =
        post.door.submit(post.mail(), Duration::from_millis(300), &|_| {}).await.unwrap_err();
    assert!(matches!(error, SmtpError::Unreachable(_)), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn what_is_wrong_with_the_message_is_found_before_anybody_is_called() {
    let post = Post::new(Protection::Implicit).await;
    let mut mail = post.mail();
    mail.recipients = vec![String::from("a@b.example>\r\nRCPT TO:<c@d.example")];
    let error = post.door.submit(mail, LONG, &|_| {}).await.unwrap_err();
    assert!(matches!(error, SmtpError::Invalid(_)), "{error:?}");
    assert_eq!(post.server.connections(), 0);
}
