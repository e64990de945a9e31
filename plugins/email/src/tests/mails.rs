//! What the messages look like.

use conductor_sdk::{Attachment, Priority};

use super::*;

/// What leaves for this message.
fn sent(more: &Value, message: &Message) -> String {
    let (host, email) = email(more);
    host.accept_mail(accepted("ok"));
    email.send(message).unwrap();
    let text = host.mails()[0].text();
    assert!(text.is_ascii(), "{text}");
    for line in text.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line:?}");
    }
    text
}

/// Header lines, folded ones joined.
fn headers(mail: &str) -> Vec<String> {
    let head = mail.split("\r\n\r\n").next().unwrap().replace("\r\n ", " ");
    head.split("\r\n").map(str::to_owned).collect()
}

fn header(mail: &str, name: &str) -> Option<String> {
    let prefix = format!("{name}: ");
    let found: Vec<_> = headers(mail)
        .iter()
        .filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
        .collect();
    assert!(found.len() <= 1, "{name} twice");
    found.into_iter().next()
}

#[test]
fn a_plain_message_has_the_headers_that_a_program_owes() {
    let mut message = message("The disk is full.\nSend help.");
    message.title = Some("db-1".into());
    let mail = sent(&json!({ "reply_to": "Team <team@a.example>" }), &message);
    assert_eq!(header(&mail, "From").unwrap(), "\"Alerts\" <me@a.example>");
    assert_eq!(header(&mail, "To").unwrap(), "<ops@b.example>");
    assert_eq!(header(&mail, "Reply-To").unwrap(), "\"Team\" <team@a.example>");
    assert_eq!(header(&mail, "Subject").unwrap(), "db-1");
    assert_eq!(
        header(&mail, "Message-ID").unwrap(),
        "<0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b.0@a.example>"
    );
    assert_eq!(header(&mail, "Date").unwrap(), "Sat, 21 Nov 2026 18:00:00 +0000");
    assert_eq!(header(&mail, "Auto-Submitted").unwrap(), "auto-generated");
    assert_eq!(header(&mail, "MIME-Version").unwrap(), "1.0");
    assert_eq!(header(&mail, "Content-Type").unwrap(), "text/plain; charset=\"utf-8\"");
    assert!(mail.ends_with("\r\n\r\nThe disk is full.\r\nSend help."), "{mail}");
    assert_eq!((header(&mail, "X-Priority"), header(&mail, "Bcc")), (None, None));
}

#[test]
fn the_same_notification_is_the_same_mail_on_every_attempt() {
    let mut message = message("**a**");
    message.format = Format::Markdown;
    message.attachments.push(Attachment {
        name: "a.txt".into(),
        content_type: "text/plain".into(),
        content: b"x".to_vec(),
    });
    let first = sent(&json!({}), &message);
    message.attempt = 2;
    assert_eq!(sent(&json!({}), &message), first);
    message.delivery_key = "0190b6c8-7d3a-7f21-9c4e-1b2d3e4f5a6b:1".into();
    let replayed = sent(&json!({}), &message);
    assert_ne!(header(&replayed, "Message-ID"), header(&first, "Message-ID"));
}

#[test]
fn a_subject_is_one_line_and_any_text() {
    let mut message = message("\n  first\tline \nsecond");
    assert_eq!(header(&sent(&json!({}), &message), "Subject").unwrap(), "first line");
    let prefix = json!({ "subject_prefix": "[prod]" });
    assert_eq!(header(&sent(&prefix, &message), "Subject").unwrap(), "[prod] first line");
    message.title = Some("a\r\nBcc: evil@x.example\r\n\r\nb\u{0}\u{7f}".into());
    let mail = sent(&json!({}), &message);
    assert_eq!(header(&mail, "Subject").unwrap(), "a Bcc: evil@x.example b");
    assert_eq!(header(&mail, "Bcc"), None);
    message.title = Some("Füße 😀".into());
    let subject = header(&sent(&json!({}), &message), "Subject").unwrap();
    assert!(subject.starts_with("=?utf-8?"), "{subject}");
    message.title = Some("x".repeat(1_000));
    assert!(header(&sent(&json!({}), &message), "Subject").unwrap().contains("xxx"));
    message.title = None;
    message.body = " \n".into();
    assert_eq!(header(&sent(&json!({}), &message), "Subject").unwrap(), "Notification");
}

#[test]
fn names_and_headers_of_the_options_cannot_make_lines() {
    let more = json!({
        "from": "Füße, \"the\" team <me@a.example>",
        "headers": { "X-Team": "Größe", "List-Id": "<alerts.a.example>" },
    });
    let mail = sent(&more, &message("x"));
    assert!(header(&mail, "From").unwrap().ends_with("<me@a.example>"));
    assert!(header(&mail, "X-Team").unwrap().starts_with("=?utf-8?"));
    assert_eq!(header(&mail, "List-Id").unwrap(), "<alerts.a.example>");
}

#[test]
fn urgency_is_said_in_the_ways_that_are_in_use() {
    for (priority, x_priority, importance) in [
        (Priority::Low, Some("5 (Lowest)"), Some("low")),
        (Priority::Normal, None, None),
        (Priority::High, Some("2 (High)"), Some("high")),
        (Priority::Urgent, Some("1 (Highest)"), Some("high")),
    ] {
        let mut message = message("x");
        message.priority = priority;
        let mail = sent(&json!({}), &message);
        assert_eq!(header(&mail, "X-Priority").as_deref(), x_priority);
        assert_eq!(header(&mail, "Importance").as_deref(), importance);
    }
}

#[test]
fn any_text_fits_the_lines_of_a_mail() {
    for body in
        ["ü", "a\rb", "a\r\nb\nc", &"x".repeat(5_000), ".\n..\n.", "From me\n", "\0\u{1b}[31m", ""]
    {
        sent(&json!({}), &message(body));
    }
}

#[test]
fn markdown_is_html_beside_itself() {
    let mut message = message(
        "# Full\n\n**now** <script>alert(1)</script> [a](javascript:x) [b](https://b.example/) ![c](https://c.example/c.png)",
    );
    message.format = Format::Markdown;
    let mail = sent(&json!({}), &message);
    assert!(header(&mail, "Content-Type").unwrap().starts_with("multipart/alternative; "));
    let text = mail.find("Content-Type: text/plain").unwrap();
    let html = mail.find("Content-Type: text/html").unwrap();
    assert!(text < html, "readers take the last that they know");

    let page = render::page(&message.body);
    assert!(page.contains("<h1>Full</h1>") && page.contains("<strong>now</strong>"), "{page}");
    assert!(page.contains("&lt;script&gt;") && !page.contains("<script"), "{page}");
    assert!(page.contains("<a href=\"https://b.example/\">b</a>"), "{page}");
    assert!(!page.contains("href=\"javascript") && !page.contains("<img"), "{page}");
}

#[test]
fn an_attachment_goes_along_and_cannot_be_more_than_one() {
    let mut message = message("see the files");
    for (name, content_type) in [
        ("r\u{e9}sum\u{e9}\r\n.pdf", "application/pdf; name=x"),
        ("a.eml", "message/rfc822"),
        ("b", "text/html\r\nX-A: b"),
    ] {
        let (name, content_type) = (name.into(), content_type.into());
        message.attachments.push(Attachment { name, content_type, content: vec![0, 255, 13, 10] });
    }
    let mail = sent(&json!({}), &message);
    assert!(header(&mail, "Content-Type").unwrap().starts_with("multipart/mixed; "));
    assert!(mail.contains("Content-Type: application/pdf\r\n"), "{mail}");
    assert!(mail.contains("filename*=UTF-8''r%C3%A9sum%C3%A9.pdf"), "{mail}");
    assert_eq!(mail.matches("Content-Type: application/octet-stream\r\n").count(), 2, "{mail}");
    assert_eq!(mail.matches("AP8NCg==").count(), 3, "{mail}");
    assert!(!mail.contains("X-A"), "{mail}");
}
