//! What no caller should send, and the next caller does not notice.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::kit::{Answer, Folder, KEY_A, TestHost};

async fn post(host: &TestHost, body: impl Into<reqwest::Body>) -> Answer {
    host.call("POST", "/notifications").key(KEY_A).raw(body).send().await
}

/// After whatever happened: the host serves, and holds exactly what was accepted.
async fn is_unharmed(mut host: TestHost) {
    assert_eq!(host.send("log", "the next one").await.status, 200);
    let queue = host.health().await["queue"].clone();
    assert_eq!(queue["delivered"], 1, "{queue}");
    assert_eq!(host.health().await["status"], "ok");
    assert!(host.is_running());
    let panics = host.log().into_iter().filter(|line| line.contains("panicked")).count();
    assert_eq!(panics, 0);
}

#[tokio::test]
async fn json_that_is_broken_is_told_with_line_column_and_pointer() {
    let host = TestHost::start(Folder::new()).await;
    for (body, pointer) in [
        ("", ""),
        ("   ", ""),
        ("{", ""),
        ("{\"channel\":\"log\",\"message\":\"x\"", ""),
        ("{\"channel\":\"log\",\"message\":}", "/message"),
        ("{\"channel\":\"log\",\"message\":\"x\"} trailing", ""),
        ("{\"channel\":\"log\",\"data\":{\"a\":[1,2,oops]}}", "/data/a/2"),
        ("{'channel':'log'}", ""),
        ("{\"channel\":\"log\",\"channel\":\"log\",\"message\":\"x\"}", "/channel"),
        ("{\"channel\":\"log\",\"message\":\"\\ud800\"}", "/message"),
        ("{\"channel\":\"log\",\"message\":\"x\",\"data\":{\"n\":1e999}}", "/data/n"),
    ] {
        let answer = post(&host, body).await;
        answer.assert_problem(400, "malformed-json");
        assert_eq!(answer.pointers(), [pointer], "{body}: {answer:?}");
        assert!(answer.json["line"].is_u64() && answer.json["column"].is_u64(), "{answer:?}");
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_json() {
    let host = TestHost::start(Folder::new()).await;
    for body in [
        vec![0xff, 0xfe, 0x7b, 0x7d],
        vec![0; 1000],
        b"{\"channel\":\"log\",\"message\":\"\xc3\x28\"}".to_vec(),
        b"\xef\xbb\xbf{\"channel\":\"log\",\"message\":\"x\"}".to_vec(),
    ] {
        post(&host, body).await.assert_problem(400, "malformed-json");
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn json_that_is_nested_too_deep_is_refused_however_deep() {
    let host = TestHost::start(Folder::new()).await;
    for depth in [65, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let inner = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let body =
                format!("{{\"channel\":\"log\",\"message\":\"x\",\"data\":{{\"d\":{inner}}}}}");
            let answer = post(&host, body).await;
            match answer.status {
                // What is larger than a body may be is not even parsed.
                413 => drop(answer.assert_problem(413, "body-too-large")),
                _ => drop(answer.assert_problem(400, "malformed-json")),
            }
        }
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn values_of_the_wrong_type_are_told_all_at_once() {
    let host = TestHost::start(Folder::new()).await;
    let body = json!({
        "channel": ["log"], "message": {"text": "x"}, "title": 1, "priority": true,
        "targetId": [], "format": 0, "data": "x", "attachments": {}, "sendAt": 1, "expiresAt": null,
    });
    let answer = post(&host, body.to_string()).await;
    answer.assert_problem(400, "invalid-request");
    for field in [
        "channel",
        "message",
        "title",
        "priority",
        "targetId",
        "format",
        "data",
        "attachments",
        "sendAt",
    ] {
        assert!(answer.pointers().contains(&format!("/{field}").as_str()), "{field}: {answer:?}");
    }
    for scalar in ["null", "true", "1", "\"text\"", "[]"] {
        post(&host, scalar).await.assert_problem(400, "invalid-request");
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn texts_that_are_too_long_are_told_with_their_place() {
    let host = TestHost::start(Folder::new()).await;
    for (field, length) in [("message", 129 * 1024), ("title", 1025), ("targetId", 1025)] {
        let mut body = json!({"channel": "log", "message": "x"});
        body[field] = json!("x".repeat(length));
        let answer = post(&host, body.to_string()).await;
        assert_eq!(answer.status, 400, "{field}: {answer:?}");
        assert_eq!(answer.pointers(), [format!("/{field}")]);
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn odd_texts_arrive_as_they_were_sent() {
    let host = TestHost::start(Folder::new()).await;
    for message in
        ["\u{0}\u{7}\u{1b}[31mred", "line\nline", "\"quoted\" \\", "👩‍👩‍👧 ﷽ \u{202e}", "a\r\nb"]
    {
        let answer = host.send("log", message).await;
        assert_eq!((answer.status, answer.json["message"].as_str()), (200, Some(message)));
        let line = host.logged(&[&answer.id()]).await;
        assert!(line.bytes().all(|byte| byte >= b' '), "one line, without control bytes: {line}");
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let host = TestHost::start(Folder::new()).await;
    let long = host.call("GET", "/channels").header("x-long", &"x".repeat(40 * 1024));
    let status = long.try_send().await.map_or(431, |answer| answer.status);
    assert_eq!(status, 431);
    let mut many = host.call("GET", "/channels");
    for n in 0..200 {
        many = many.header(&format!("x-{n}"), "x");
    }
    let status = many.try_send().await.map_or(431, |answer| answer.status);
    assert_eq!(status, 431);
    is_unharmed(host).await;
}

#[tokio::test]
async fn bytes_that_are_no_http_end_their_own_connection_only() {
    let host = TestHost::start(Folder::new()).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /notifications HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"POST /notifications HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\nzzz",
        b"\0\0\0\0\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    ] {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        let mut answer = Vec::new();
        // A reset is an end as well.
        let ended = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{:?} is not ended", String::from_utf8_lossy(garbage));
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(!answer.contains(" 200 "), "{answer}");
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn a_caller_that_hangs_up_in_the_middle_leaves_nothing_behind() {
    let host = TestHost::start(Folder::new()).await;
    for _ in 0..20 {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let head = format!(
            "POST /notifications HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY_A}\r\n\
             content-type: application/json\r\ncontent-length: 1000\r\n\r\n{{\"channel\":\"log\","
        );
        stream.write_all(head.as_bytes()).await.unwrap();
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn idempotency_keys_that_are_none_are_refused() {
    let host = TestHost::start(Folder::new()).await;
    let body = json!({"channel": "log", "message": "x"});
    for key in ["", "\"open", &"k".repeat(256)] {
        let answer = host.notify(&body).header("idempotency-key", key).send().await;
        answer.assert_problem(400, "invalid-request");
        assert_eq!(answer.json["errors"][0]["header"], "Idempotency-Key", "{answer:?}");
    }
    is_unharmed(host).await;
}

#[tokio::test]
async fn preferences_that_make_no_sense_are_ignored() {
    let host = TestHost::start(Folder::new()).await;
    let body = json!({"channel": "log", "message": "x"});
    let answer = host.notify(&body).header("prefer", "wait=soon; x, , =").send().await;
    assert_eq!((answer.status, answer.header("preference-applied")), (200, ""));
}
