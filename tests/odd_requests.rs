//! Requests that nobody would write, from a seeded generator: odd paths, methods and headers, broken
//! encodings, and JSON that is too deep, too large, doubled or not quite JSON. Whatever comes, the
//! host says no in one of its documented ways, and lives.

use std::collections::BTreeSet;

use proptest::{
    prelude::{Strategy, any},
    sample::select,
    strategy::{Just, Union},
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::kit::{Answer, Folder, KEY_A, KEY_ADMIN, TestHost};

/// The same requests in every run.
const SEED: [u8; 32] = *b"conductor fuzzes its own surface";

/// Slugs of problems that the host may answer with, from its own description.
async fn documented(host: &TestHost) -> BTreeSet<String> {
    let text = host.get("/openapi.json").await.text;
    let slugs = text.split("`/problems/").skip(1);
    slugs.filter_map(|rest| Some(rest.split_once('`')?.0.to_owned())).collect()
}

/// Fails unless the answer is one that the host is allowed to give.
fn is_documented(what: &str, answer: &Answer, slugs: &BTreeSet<String>) {
    let Answer { status, .. } = answer;
    assert!(*status < 500 || *status == 503, "{what}: {answer:?}");
    if *status < 400 {
        return;
    }
    assert_eq!(answer.header("content-type"), "application/problem+json", "{what}: {answer:?}");
    let slug = answer.json["type"].as_str().unwrap().strip_prefix("/problems/").unwrap();
    // The two of an address that is not in the description.
    let known = slugs.contains(slug) || ["unknown-path", "method-not-allowed"].contains(&slug);
    assert!(known, "{what}: {answer:?}");
    assert_eq!(answer.json["status"], *status, "{what}: {answer:?}");
    assert!(answer.json["detail"].is_string(), "{what}: {answer:?}");
}

async fn still_works(mut host: TestHost) {
    assert!(host.is_running());
    assert_eq!(host.send("log", "a valid one").await.status, 200);
    let health = host.health().await;
    assert_eq!((&health["status"], &health["tasksEnded"]), (&json!("ok"), &json!([])), "{health}");
    let panics = host.log().iter().filter(|line| line.contains("panicked")).count();
    assert_eq!(panics, 0);
}

/// So many values of a strategy, always the same.
fn values<T: std::fmt::Debug>(strategy: &impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..count)
        .map(|_| proptest::strategy::ValueTree::current(&strategy.new_tree(&mut runner).unwrap()))
        .collect()
}

/// Pieces of a path, of which some are what the routes look for.
fn path() -> impl Strategy<Value = String> {
    let known = select(vec![
        "notifications",
        "batch",
        "replay",
        "purge",
        "events",
        "admin",
        "audit",
        "plugins",
        "quarantine",
        "bindings",
        "reload",
        "channels",
        "health",
        "metrics",
        "openapi.json",
        "..",
        ".",
        "",
        "%2e%2e",
        "%00",
        "%ff%fe",
        "%",
        "%zz",
        "%2F",
        "01a200fe-5da9-7a50-b41c-e0fe87c1614d",
        "~root",
        "a;b=c",
        "\u{e9}",
        "*",
    ]);
    let odd = "[ -~]{0,20}".prop_map(|text| text.replace([' ', '#', '?'], "_"));
    let piece = Union::new([known.prop_map(str::to_owned).boxed(), odd.boxed()]);
    let query = Union::new([
        Just(String::new()).boxed(),
        "\\?(status|limit|cursor|after|from|to|tenant|sort|plugin|x)=[ -~]{0,30}"
            .prop_map(|text| text.replace([' ', '#'], "%"))
            .boxed(),
        "\\?[a-z%&=;+]{0,40}".boxed(),
    ]);
    (proptest::collection::vec(piece, 0..5), query)
        .prop_map(|(pieces, query)| format!("/{}{query}", pieces.join("/")))
}

fn method() -> impl Strategy<Value = String> {
    let known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "FROB"];
    Union::new([select(known.to_vec()).prop_map(str::to_owned).boxed(), "[A-Z]{1,12}".boxed()])
}

fn header() -> impl Strategy<Value = (String, String)> {
    let name = select(vec![
        "accept",
        "content-type",
        "content-encoding",
        "expect",
        "origin",
        "prefer",
        "range",
        "idempotency-key",
        "last-event-id",
        "access-control-request-method",
        "if-none-match",
        "cookie",
        "x-forwarded-for",
        "upgrade",
        "te",
        "x-odd",
    ]);
    let value = Union::new([
        "[ -~]{0,60}".boxed(),
        select(vec![
            "application/json",
            "text/plain; charset=\"",
            "wait=99999999999999999999",
            "wait=-1",
            "respond-async, wait",
            "100-continue",
            "gzip",
            "bytes=0-",
            "h2c",
            "null",
            "\t",
            "\"",
        ])
        .prop_map(str::to_owned)
        .boxed(),
    ]);
    (name.prop_map(str::to_owned), value.prop_map(|value| value.trim().to_owned()))
}

#[tokio::test]
async fn paths_methods_and_headers_that_nobody_would_write_are_refused_in_a_documented_way() {
    let host = TestHost::start(Folder::new()).await;
    let slugs = documented(&host).await;
    assert!(slugs.contains("wrong-key") && slugs.len() > 20, "{slugs:?}");
    let key = select(vec![Some(KEY_A), Some(KEY_A), Some(KEY_ADMIN), None]);
    let strategy = (method(), path(), proptest::collection::vec(header(), 0..6), key);
    for (method, path, headers, key) in values(&strategy, 1_500) {
        // An event stream does not end, and a reload is tested elsewhere.
        if path.starts_with("/events") || method == "HEAD" || method == "CONNECT" {
            continue;
        }
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(key) = key {
            text.push_str(&format!("Authorization: Bearer {key}\r\n"));
        }
        text.push_str("Content-Length: 0\r\n\r\n");
        let Some(answer) = raw(&host, text.as_bytes()).await else { continue };
        // What is no HTTP ends before it comes to a route: 400 and no body.
        if answer.status == 400 && answer.text.is_empty() {
            continue;
        }
        is_documented(&text, &answer, &slugs);
    }
    still_works(host).await;
}

/// Sends bytes on a connection of their own; none if it was closed without an answer.
async fn raw(host: &TestHost, request: &[u8]) -> Option<Answer> {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    // It may be closed before all was written.
    drop(stream.write_all(request).await);
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    let split = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().unwrap();
    let mut headers = reqwest::header::HeaderMap::new();
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let name: reqwest::header::HeaderName = name.trim().parse().unwrap();
        headers.insert(name, value.trim().parse().unwrap());
    }
    let text = String::from_utf8_lossy(&bytes[split + 4..]).into_owned();
    let json = serde_json::from_str(&text).unwrap_or_default();
    Some(Answer { status, headers, text, json })
}

/// Texts that stand for a JSON value, or nearly.
fn scalar() -> impl Strategy<Value = String> {
    Union::new([
        select(vec![
            "null",
            "true",
            "false",
            "0",
            "-0",
            "1e400",
            "-1e400",
            "1E-400",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "0.1e1",
            "01",
            "+1",
            ".5",
            "1.",
            "NaN",
            "Infinity",
            "0x10",
            "\"\\ud800\"",
            "\"\\udc00\\ud800\"",
            "\"\\ud83d\\ude00\"",
            "\"\\u0000\"",
            "\"\\u\"",
            "\"\\x\"",
            "\"\u{202e}\u{feff}\"",
            "\"\t\"",
            "'x'",
            "\"",
            "\"log\"",
            "\"normal\"",
            "\"2026-13-45T99:99:99Z\"",
            "\"0000-01-01T00:00:00Z\"",
            "\"9999-12-31T23:59:59.999999999Z\"",
            "undefined",
            "//",
            "/**/1",
            "\u{a0}1",
        ])
        .prop_map(str::to_owned)
        .boxed(),
        any::<f64>().prop_map(|number| number.to_string()).boxed(),
        any::<i128>().prop_map(|number| number.to_string()).boxed(),
        ".{0,40}".prop_map(|text| Value::String(text).to_string()).boxed(),
        "[ -~]{0,40}".prop_map(|text| format!("\"{text}\"")).boxed(),
    ])
}

fn value() -> impl Strategy<Value = String> {
    scalar().prop_recursive(6, 40, 5, |inner| {
        let pair = (name(), inner.clone()).prop_map(|(name, value)| format!("{name}:{value}"));
        Union::new([
            proptest::collection::vec(inner, 0..5)
                .prop_map(|items| format!("[{}]", items.join(",")))
                .boxed(),
            proptest::collection::vec(pair, 0..5)
                .prop_map(|pairs| format!("{{{}}}", pairs.join(",")))
                .boxed(),
        ])
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "channel",
        "channelId",
        "channels",
        "fallback",
        "message",
        "title",
        "priority",
        "targetId",
        "format",
        "data",
        "attachments",
        "sendAt",
        "expiresAt",
        "orderingKey",
        "callbackUrl",
        "",
        "__proto__",
        "Channel",
    ];
    Union::new([
        select(known.to_vec()).prop_map(|name| format!("\"{name}\"")).boxed(),
        "\"[ -~]{0,10}\"".boxed(),
    ])
}

/// A notification in which some fields are anything, perhaps twice.
fn body() -> impl Strategy<Value = String> {
    let pair = (name(), value()).prop_map(|(name, value)| format!("{name}:{value}"));
    let odd = proptest::collection::vec(pair, 0..6);
    let whole = odd.prop_map(|pairs| {
        let valid = String::from("\"channel\":\"log\",\"message\":\"x\"");
        let all: Vec<String> = std::iter::once(valid).chain(pairs).collect();
        format!("{{{}}}", all.join(","))
    });
    Union::new([whole.boxed(), value().boxed()])
}

#[tokio::test]
async fn json_that_nobody_would_write_is_refused_in_a_documented_way() {
    let host = TestHost::start(Folder::new()).await;
    let slugs = documented(&host).await;
    let mut refused = 0;
    let paths = [
        "/notifications",
        "/notifications",
        "/notifications/batch",
        "/notifications/replay",
        "/notifications/purge",
    ];
    for (number, body) in values(&body(), 1_500).into_iter().enumerate() {
        let path = paths[number % paths.len()];
        let call = host.call("POST", path).key(KEY_A).header("prefer", "respond-async");
        let answer = call.raw(body.clone()).send().await;
        refused += usize::from(answer.status >= 400);
        is_documented(&format!("{path} {body}"), &answer, &slugs);
    }
    assert!(refused > 1_000, "{refused}");
    for body in monsters() {
        let what = format!("{} bytes: {}", body.len(), String::from_utf8_lossy(&body[..40]));
        let call = host.call("POST", "/notifications").key(KEY_A);
        let answer = call.raw(body).send().await;
        assert!(answer.status >= 400, "{what}");
        is_documented(&what, &answer, &slugs);
    }
    still_works(host).await;
}

/// The large ones, and those that are no text.
fn monsters() -> Vec<Vec<u8>> {
    let valid = "{\"channel\":\"log\",\"message\":\"x\"";
    let doubled: String =
        (0..20_000).map(|number| format!(",\"k{}\":0", number % 7)).collect::<String>() + "}";
    vec![
        "[".repeat(100_000).into_bytes(),
        "{\"a\":".repeat(50_000).into_bytes(),
        format!("{valid},\"data\":{}{}}}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes(),
        format!("{valid}{doubled}").into_bytes(),
        format!("{valid},\"data\":{{\"n\":{}}}}}", "9".repeat(200_000)).into_bytes(),
        format!("{valid},\"title\":\"{}\"}}", "\\ud83d".repeat(30_000)).into_bytes(),
        [b"{\"channel\":\"log\",\"message\":\"".to_vec(), vec![0xff; 1_000], b"\"}".to_vec()]
            .concat(),
        vec![0; 4_096],
        vec![0xef; 200_000],
        format!("{valid}}}{}", " ".repeat(300_000)).into_bytes(),
    ]
}
