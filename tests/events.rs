//! `GET /events` and `GET /admin/audit` of a real host.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, KEY_ADMIN, KEY_B, TestHost, eventually};

/// An open stream.
struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    async fn open(host: &TestHost, key: &str, after: Option<i64>) -> Self {
        let mut call = host.call("GET", "/events").key(key);
        if let Some(after) = after {
            call = call.header("last-event-id", &after.to_string());
        }
        let response = call.open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event of a notification: its id, its name, its data. None at the end.
    async fn next(&mut self) -> Option<(i64, String, Value)> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                let found = (field("id: "), field("event: "), field("data: "));
                let (event, rest) = match found {
                    (Some(id), Some(name), Some(data)) if name.starts_with("notification.") => {
                        let data = serde_json::from_str(data).unwrap();
                        (Some((id.parse().unwrap(), name.to_owned(), data)), rest.to_owned())
                    }
                    _ => (None, rest.to_owned()),
                };
                self.text = rest;
                if event.is_some() {
                    return event;
                }
            }
            let chunk = tokio::time::timeout(Duration::from_secs(30), self.response.chunk());
            // A stream that is cut is at its end.
            let chunk = chunk.await.expect("something in time").ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// What a reader has seen over all its streams.
#[derive(Default)]
struct Seen {
    accepted: Vec<String>,
    delivered: Vec<String>,
    last: i64,
}

impl Seen {
    fn note(&mut self, (id, name, data): (i64, String, Value)) {
        assert!(id > self.last, "{id} after {}", self.last);
        self.last = id;
        let of = data["notificationId"].as_str().unwrap().to_owned();
        match name.as_str() {
            "notification.accepted" => self.accepted.push(of),
            "notification.delivered" => self.delivered.push(of),
            // An attempt that the crash cut off.
            _ => assert_eq!(name, "notification.lost"),
        }
    }
}

#[tokio::test]
async fn a_stream_resumes_over_a_crash_of_the_host_without_a_gap() {
    let host = TestHost::start(Folder::new()).await;
    let mut stream = Stream::open(&host, KEY_A, None).await;
    let mut sent = vec![host.hand_over("log", "0").await, host.hand_over("log", "1").await];
    let mut seen = Seen::default();
    // Something is seen, and then the host is gone.
    seen.note(stream.next().await.unwrap());
    let mut host = host;
    host.kill().await;
    while let Some(event) = stream.next().await {
        seen.note(event);
    }
    let host = host.restart().await;
    sent.push(host.hand_over("log", "2").await);
    let mut stream = Stream::open(&host, KEY_A, Some(seen.last)).await;
    while seen.accepted.len() < 3 || seen.delivered.len() < 3 {
        seen.note(stream.next().await.unwrap());
    }
    assert_eq!(seen.accepted, sent, "each once and in order");
    seen.delivered.sort();
    assert_eq!(seen.delivered, sent, "ids rise with time");
}

#[tokio::test]
async fn a_stream_tells_of_one_tenant_and_ends_with_its_key_or_with_the_host() {
    let host = TestHost::start(Folder::new()).await;
    let mut of_a = Stream::open(&host, KEY_A, None).await;
    let mut of_b = Stream::open(&host, KEY_B, None).await;
    let id = host.hand_over("log", "of a").await;
    assert_eq!(of_a.next().await.unwrap().2["notificationId"], json!(id));
    let body = json!({ "channel": "log", "message": "of b" });
    let call = host.call("POST", "/notifications").key(KEY_B).json(&body);
    let id = call.header("prefer", "respond-async").send().await.id();
    assert_eq!(of_b.next().await.unwrap().2["notificationId"], json!(id));

    let mut host = host;
    let before = host.generation().await;
    host.env = host.env.replace(KEY_B, "another-key-of-tenant-b-0123456789abcdef012345");
    host.write();
    eventually("the reload", async || (host.generation().await > before).then_some(())).await;
    while of_b.next().await.is_some() {}
    let id = host.hand_over("log", "still").await;
    while of_a.next().await.unwrap().2["notificationId"] != json!(id) {}

    let started = std::time::Instant::now();
    let (_, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0));
    assert!(started.elapsed().as_secs() < 15, "a stream held the stop up");
    while of_a.next().await.is_some() {}
}

#[tokio::test]
async fn the_operator_reads_what_was_done_and_what_was_tried() {
    let host = TestHost::start(Folder::new()).await;
    let id = host.send("log", "hello").await.id();
    let wrong = host.call("GET", "/channels").key("nobodys-key").send().await;
    wrong.assert_problem(403, "wrong-key");
    let refused = host.call("GET", "/admin/audit").key(KEY_A).send().await;
    refused.assert_problem(403, "wrong-key");
    let lines: Vec<Value> = eventually("all of it is on record", async || {
        let answer = host.call("GET", "/admin/audit").key(KEY_ADMIN).send().await;
        assert_eq!(answer.header("content-type"), "application/x-ndjson");
        let lines: Vec<Value> =
            answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let has = |kind: &str| lines.iter().any(|line| line["kind"] == kind);
        let kinds = ["accepted", "delivered", "key-used", "security", "admin"];
        kinds.into_iter().all(has).then_some(lines)
    })
    .await;
    let of = |kind: &str| lines.iter().find(|line| line["kind"] == kind).unwrap().clone();
    assert_eq!(of("delivered")["notification"], json!(id));
    assert!(of("key-used")["detail"].as_str().unwrap().contains("A_KEY"), "{lines:?}");
    assert!(lines.iter().all(|line| line["hash"].is_string()));
    let text = serde_json::to_string(&lines).unwrap();
    for secret in [KEY_A, KEY_ADMIN, "nobodys-key"] {
        assert!(!text.contains(secret));
    }
    let list = host.call("GET", "/admin/notifications?status=delivered").key(KEY_ADMIN);
    assert_eq!(list.send().await.json["items"][0]["tenantName"], "A");
}
