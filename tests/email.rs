//! The channel `email` against a double of a mail server: what reaches it, what becomes of its
//! answers, and what is never said to it.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use crate::kit::{Act, Folder, MailServer, Protection, TestHost, eventually};

const PASSWORD: &str = "password-that-nobody-may-see";

/// The channel `email` of tenant A, to `server`, with short pauses before a retry.
fn folder(server: &MailServer, tls: &str, grants: &str) -> Folder {
    let mut folder = Folder::new();
    let port = server.port;
    folder.env("MAIL", PASSWORD).plugin("email", grants).channel(
        "email",
        &format!(
            "[channel.secrets]\nPASSWORD = \"MAIL\"\n[channel.options]\nserver = \"localhost\"\n\
             port = {port}\ntls = \"{tls}\"\nuser = \"me@a.example\"\n\
             from = \"Alerts <me@a.example>\"\nto = \"ops@b.example\"\n\
             [channel.retry]\nfirst_ms = 100\nfactor = 1.0\nattempts = 4"
        ),
    );
    std::fs::write(folder.file("ca.pem"), &server.certificate_pem).unwrap();
    folder
}

fn granted(server: &MailServer) -> String {
    let addresses = "addresses = [\"127.0.0.0/8\", \"::1\"]";
    format!("[plugin.grants]\nsmtp = [\"localhost:{}\"]\n{addresses}", server.port)
}

async fn host(folder: Folder) -> TestHost {
    let ca = folder.file("ca.pem").display().to_string();
    TestHost::start_with(folder, &["--extra-ca-file", &ca]).await
}

async fn with_server(protection: Protection) -> (TestHost, MailServer) {
    let server = MailServer::start(protection).await;
    let tls = if protection == Protection::Implicit { "implicit" } else { "starttls" };
    let host = host(folder(&server, tls, &granted(&server))).await;
    (host, server)
}

#[tokio::test]
async fn a_notification_arrives_as_mail() {
    for protection in [Protection::Implicit, Protection::Starttls] {
        let (host, server) = with_server(protection).await;
        let body = json!({
            "channel": "email", "message": "**full**", "title": "db-1", "format": "markdown",
            "priority": "urgent", "targetId": "a@b.example,c@d.example",
            "attachments": [{
                "name": "df.txt", "contentType": "text/plain", "content": STANDARD.encode("99%"),
            }],
        });
        let answer = host.notify(&body).send().await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let [mail] = server.mails().try_into().unwrap();
        assert!(mail.encrypted);
        assert!(mail.from.starts_with("MAIL FROM:<me@a.example> SIZE="), "{}", mail.from);
        assert_eq!(mail.to, ["RCPT TO:<a@b.example>", "RCPT TO:<c@d.example>"]);
        let id = answer.json["providerId"].as_str().unwrap();
        assert!(id.starts_with(&answer.id()), "{id}");
        for part in [
            format!("Message-ID: <{id}>\r\n").as_str(),
            "Subject: db-1\r\n",
            "Auto-Submitted: auto-generated\r\n",
            "Importance: high\r\n",
            "<strong>full</strong>",
            "filename=\"df.txt\"",
        ] {
            assert!(mail.message.contains(part), "{part} is not in\n{}", mail.message);
        }
        // The health of a new plugin was asked over a connection of its own.
        assert!(server.lines().iter().filter(|line| line.starts_with("AUTH")).count() <= 2);
    }
}

#[tokio::test]
async fn a_server_that_is_closed_for_now_gets_the_same_mail_later() {
    let (host, server) = with_server(Protection::Starttls).await;
    server.then("greeting", "421 4.3.2 too busy");
    server.then("MAIL", "421 4.3.2 too busy");
    server.then(".", "451 4.3.0 later");
    let id = host.hand_over("email", "hello").await;
    let detail = host.reaches(&id, "delivered").await;
    assert!(detail["attemptCount"].as_u64().unwrap() >= 3, "{detail}");
    let [first, last] = server.mails().try_into().unwrap();
    assert_eq!(first.message, last.message);
}

#[tokio::test]
async fn a_mail_that_may_have_arrived_is_not_sent_twice() {
    let (host, server) = with_server(Protection::Implicit).await;
    server.then(".", Act::HangUp);
    let answer = host.send("email", "hello").await;
    assert!(answer.status >= 400, "{answer:?}");
    assert_eq!(answer.json["code"], "no_answer", "{answer:?}");
    assert_eq!(server.mails().len(), 1);

    // What is lost before the end is sent again, and only then.
    server.then("DATA", Act::HangUp);
    assert_eq!(host.send("email", "again").await.status, 200);
    assert_eq!(server.mails().len(), 2);
}

#[tokio::test]
async fn the_last_reply_may_take_longer_than_the_others() {
    let (host, server) = with_server(Protection::Implicit).await;
    server.then(".", Act::SayAfter(Duration::from_secs(6), String::from("250 2.0.0 at last")));
    let id = host.hand_over("email", "hello").await;
    let detail = host.reaches(&id, "delivered").await;
    assert_eq!(detail["attemptCount"], 1, "{detail}");
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn somebody_in_the_middle_hears_nothing() {
    for (protection, expected) in
        [(Protection::Stripped, "does not offer STARTTLS"), (Protection::Injected, "plaintext")]
    {
        let (host, server) = with_server(protection).await;
        let id = host.hand_over("email", "secret news").await;
        let detail = host.reaches(&id, "dead").await;
        assert!(detail.to_string().contains(expected), "{detail}");
        let allowed =
            |line: &String| line.starts_with("EHLO ") || line == "STARTTLS" || line == "QUIT";
        assert!(server.lines().iter().all(allowed), "{:?}", server.lines());
    }
}

#[tokio::test]
async fn a_wrong_password_stops_the_channel_and_is_not_told() {
    let (host, server) = with_server(Protection::Starttls).await;
    server.always("AUTH", format!("535 5.7.8 {PASSWORD} is wrong").as_str());
    let answer = host.send("email", "hello").await;
    assert_eq!(answer.status, 424, "{answer:?}");
    assert_eq!(answer.json["code"], "535 5.7.8");
    for text in [answer.text, host.stderr(), host.get("/metrics").await.text] {
        assert!(!text.contains(PASSWORD), "{text}");
        let encoded = STANDARD.encode(format!("\0me@a.example\0{PASSWORD}"));
        assert!(!text.contains(&encoded), "{text}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_for_good_is_told() {
    let (host, server) = with_server(Protection::Implicit).await;
    server.then("RCPT", "550 5.1.1 nobody of that name");
    let answer = host.send("email", "hello").await;
    assert_eq!(answer.status, 422, "{answer:?}");
    assert_eq!(answer.json["code"], "550 5.1.1");
    let body = json!({"channel": "email", "message": "hello", "targetId": "a@b\r\nRCPT TO:<c@d>"});
    let answer = host.notify(&body).send().await;
    assert_eq!((answer.status, &answer.json["code"]), (422, &json!("invalid_target")));
    assert!(server.mails().is_empty());
    assert!(
        host.metric("conductor_egress_requests_total{plugin=\"email\",outcome=\"5xx\"}").await
            >= 1.0
    );
}

#[tokio::test]
async fn a_server_that_is_not_granted_is_not_spoken_to() {
    let server = MailServer::start(Protection::Implicit).await;
    for (grants, expected) in [
        ("", "grants] smtp"),
        ("[plugin.grants]\nsmtp = [\"localhost:1\"]", "grants] smtp"),
        ("[plugin.grants]\nhosts = [\"https://localhost:*\"]", "grants] smtp"),
        ("[plugin.grants]\nsmtp = [\"localhost:*\"]", "loopback"),
    ] {
        let host = host(folder(&server, "implicit", grants)).await;
        let answer = host.send("email", "hello").await;
        assert_eq!(answer.status, 424, "{answer:?}");
        assert!(answer.text.contains(expected), "{grants}: {answer:?}");
        let denied = "conductor_egress_requests_total{plugin=\"email\",outcome=\"denied\"}";
        assert!(host.metric(denied).await >= 1.0);
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn connections_are_kept_and_closed_with_a_word() {
    let (host, server) = with_server(Protection::Implicit).await;
    let before = server.connections();
    for _ in 0..5 {
        assert_eq!(host.send("email", "hello").await.status, 200);
    }
    assert_eq!(server.connections(), before + 1);
    let (_, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0));
    eventually("the host takes its leave", async || {
        (server.lines().last().map(String::as_str) == Some("QUIT")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn check_shows_which_servers_are_asked_for_and_granted() {
    let server = MailServer::start(Protection::Implicit).await;
    let folder = folder(&server, "implicit", &granted(&server));
    folder.write();
    let output = crate::kit::conductor(&folder).arg("check").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    assert!(text.contains("asks for smtp://option:server"), "{text}");
    assert!(text.contains(&format!("granted smtp://localhost:{}", server.port)), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");

    let mut wrong = Folder::new();
    wrong.plugin("email", "[plugin.grants]\nsmtp = [\"https://mail.example\"]");
    wrong.write();
    let output = crate::kit::conductor(&wrong).arg("check").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{text}");
    assert!(text.contains("plugins.toml:") && text.contains("smtp.example.com:587"), "{text}");
}
