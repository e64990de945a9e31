//! What leaves the host, seen from outside: grants that are taken back, grants that are only
//! reported, and requests that wait for their turn.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::kit::{Folder, KEY_ADMIN, Provider, TestHost, conductor, eventually};

const ADDRESSES: &str = "addresses = [\"127.0.0.0/8\"]";

/// Counts the connections that are open.
struct Connections {
    port: u16,
    open: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl Connections {
    /// A provider that answers each request after `pause` and keeps the connection.
    async fn start(pause: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (open, most) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let counts = (Arc::clone(&open), Arc::clone(&most));
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (open, most) = (Arc::clone(&counts.0), Arc::clone(&counts.1));
                tokio::spawn(async move {
                    most.fetch_max(open.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let mut bytes = [0; 16 * 1024];
                    // A request of these tests fits one read.
                    while stream.read(&mut bytes).await.is_ok_and(|read| read > 0) {
                        tokio::time::sleep(pause).await;
                        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                        if stream.write_all(ok).await.is_err() {
                            break;
                        }
                    }
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { port, open, most, server }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The webhook channel to `url` under these grants.
fn folder(url: &str, grants: &str) -> Folder {
    let mut folder = Folder::new();
    folder.plugin("webhook", &format!("[plugin.grants]\n{grants}"));
    folder.channel(
        "webhook",
        &format!(
            "[channel.options]\nurl = \"{url}\"\nunsigned = true\n[channel.retry]\nattempts = 1"
        ),
    );
    folder
}

#[tokio::test]
async fn a_grant_that_is_taken_back_closes_its_connections() {
    let provider = Connections::start(Duration::ZERO).await;
    let url = provider.url();
    let granted = format!("hosts = [\"{url}\"]\n{ADDRESSES}");
    let mut host = TestHost::start(folder(&url, &granted)).await;
    assert_eq!(host.send("webhook", "while it is granted").await.status, 200);
    assert_eq!(provider.open(), 1, "it is kept for the next");
    let generation = host.generation().await;

    let other = "https://elsewhere.example";
    host.plugins = host.plugins.replace(&url, other);
    host.write();
    eventually("the reload", async || (host.generation().await > generation).then_some(())).await;
    eventually("the end of the connection", async || (provider.open() == 0).then_some(())).await;
    host.send("webhook", "too late").await.assert_problem(424, "channel-misconfigured");
    assert_eq!(provider.open(), 0);
}

#[tokio::test]
async fn a_message_under_way_ends_as_it_would_when_its_grant_is_taken_back() {
    let provider = Connections::start(Duration::from_secs(3)).await;
    let url = provider.url();
    let granted = format!("hosts = [\"{url}\"]\n{ADDRESSES}");
    let mut host = TestHost::start(folder(&url, &granted)).await;
    let id = host.hand_over("webhook", "under way").await;
    eventually("the request", async || (provider.open() == 1).then_some(())).await;
    let generation = host.generation().await;
    host.plugins = host.plugins.replace(&url, "https://elsewhere.example");
    host.write();
    eventually("the reload", async || (host.generation().await > generation).then_some(())).await;
    host.reaches(&id, "delivered").await;
    eventually("the end of the connection", async || (provider.open() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_channel_sends_no_more_requests_at_the_same_time_than_it_may() {
    let provider = Connections::start(Duration::from_millis(200)).await;
    let url = provider.url();
    let grants = format!("hosts = [\"{url}\"]\n{ADDRESSES}\n[plugin.limits]\negress_max = 2");
    let host = TestHost::start(folder(&url, &grants)).await;
    let mut ids = Vec::new();
    for number in 0..10 {
        ids.push(host.hand_over("webhook", &format!("message {number}")).await);
    }
    for id in ids {
        host.reaches(&id, "delivered").await;
    }
    assert_eq!(provider.most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn grants_that_are_only_reported_let_out_and_are_seen_everywhere() {
    let provider = Provider::start().await;
    let url = provider.url("");
    let grants = format!("hosts = []\n{ADDRESSES}\nmode = \"report-only\"");
    let mut host = TestHost::start(folder(&format!("{url}/hook"), &grants)).await;
    host.logged(&["its grants are reported and not enforced", "webhook"]).await;
    for _ in 0..3 {
        assert_eq!(host.send("webhook", "out").await.status, 200);
    }
    assert_eq!(provider.seen().iter().filter(|seen| seen.method == "POST").count(), 3);
    host.logged(&["that is not granted (not_granted)", &url]).await;
    let metric = |reason: &str, enforced: bool| {
        format!(
            "conductor_egress_denied_total{{plugin=\"webhook\",reason=\"{reason}\",\
             enforced=\"{enforced}\"}}"
        )
    };
    assert!(host.metric(&metric("not_granted", false)).await >= 3.0);
    assert_eq!(host.metric(&metric("not_granted", true)).await, 0.0);
    let plugin = async |key: bool| {
        let call = host.call("GET", "/health");
        let call = if key { call.key(KEY_ADMIN) } else { call };
        let plugins = call.send().await.json["plugins"].as_array().unwrap().clone();
        plugins.into_iter().find(|plugin| plugin["name"] == "webhook").unwrap()
    };
    let seen = plugin(true).await;
    assert_eq!((&seen["grants"], &seen["notGranted"]), (&json!("report-only"), &json!([url])));
    let open = plugin(false).await;
    assert!(open["grants"] == "report-only" && open["notGranted"].is_null(), "{open}");
    let check = conductor(&host).arg("check").output().unwrap();
    let check = String::from_utf8_lossy(&check.stdout).into_owned();
    assert!(check.contains("warning: plugin webhook: its grants are reported"), "{check}");
    let trail = host.call("GET", "/admin/audit?limit=1000").key(KEY_ADMIN).send().await.text;
    for event in ["report-only: the grants of plugin", "egress-reported: channel"] {
        assert!(trail.contains(event), "{event}: {trail}");
    }

    // With the list that was found, the same is enforced, and nothing is missing any more.
    let generation = host.generation().await;
    host.plugins = host
        .plugins
        .replace("hosts = []", &format!("hosts = [\"{url}\"]"))
        .replace("mode = \"report-only\"", "mode = \"enforce\"");
    host.write();
    eventually("the reload", async || (host.generation().await > generation).then_some(())).await;
    let webhook = host.health().await["plugins"].as_array().unwrap().clone();
    let webhook = webhook.into_iter().find(|plugin| plugin["name"] == "webhook").unwrap();
    assert!(webhook["grants"] == "enforce" && webhook["notGranted"].is_null(), "{webhook}");
    assert_eq!(host.send("webhook", "out").await.status, 200);
}

#[tokio::test]
async fn report_only_does_not_open_this_machine() {
    let provider = Provider::start().await;
    let grants = "hosts = []\nmode = \"report-only\"";
    let host = TestHost::start_with(folder(&provider.url("/hook"), grants), &["--degraded"]).await;
    host.send("webhook", "inward").await.assert_problem(424, "channel-misconfigured");
    assert_eq!(provider.seen().len(), 0);
    let metric =
        "conductor_egress_denied_total{plugin=\"webhook\",reason=\"address\",enforced=\"true\"}";
    assert!(host.metric(metric).await >= 1.0);
}

#[tokio::test]
async fn a_mode_that_is_not_known_is_told_with_those_that_are() {
    let (_folder, ended) =
        TestHost::refused(folder("https://x.example", "hosts = []\nmode = \"dry-run\""), &[]).await;
    assert_eq!(ended.code, Some(78));
    for part in ["plugins.toml:", "\"enforce\"", "\"report-only\"", "\"dry-run\""] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_refused_host_is_named_to_the_operator_and_in_the_trail() {
    let provider = Provider::start().await;
    let grants = format!("hosts = [\"https://elsewhere.example\"]\n{ADDRESSES}");
    let host = TestHost::start_with(folder(&provider.url("/hook"), &grants), &["--degraded"]).await;
    for _ in 0..3 {
        host.send("webhook", "outward").await;
    }
    let event = eventually("the event", async || {
        let answer = host.call("GET", "/admin/audit?limit=1000").key(KEY_ADMIN).send().await;
        let mut events = answer.text.lines().map(|line| serde_json::from_str(line).unwrap());
        events.find(|event: &Value| {
            event["detail"].as_str().is_some_and(|detail| detail.starts_with("egress-denied: "))
        })
    })
    .await;
    assert_eq!(event["kind"], "security", "{event}");
    assert!(event["detail"].as_str().unwrap().contains(&provider.url("")), "{event}");
    assert_eq!(provider.seen().len(), 0);
}
