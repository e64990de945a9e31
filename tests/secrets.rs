//! That secrets stay where they are: a guest that tells what it knows in every place there is, and a
//! search through everything that the host has written by then.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use crate::kit::{
    Folder, KEY_A, KEY_ADMIN, Provider, Reply, TENANT_A, TestHost, conductor, eventually, fixture,
    replace, repository,
};

/// The guest may read this one.
const OPEN: &str = "Canary-Open-7Q2xLmW4vR";
/// This one it may only use. Every place of a request escapes it in another way.
const TOKEN: &str = "canary/token+\"9Kd%wZ 5uT&";
/// A provider gives this one in exchange.
const ACCESS: &str = "canary-access-3Hn8pQxY";

/// All the ways of `tests/fixtures/leaky`.
const WAYS: [&str; 20] = [
    "use",
    "jwt",
    "keep",
    "echo",
    "elsewhere",
    "ask",
    "steal",
    "log",
    "stdout",
    "stderr",
    "panic",
    "details",
    "rejected",
    "misconfigured",
    "retry",
    "unknown",
    "moved",
    "header",
    "header-name",
    "method",
];
const MORE_WAYS: [&str; 3] = ["url", "host", "path"];

/// What is looked for, in every form that a secret may have been written in.
fn needles() -> Vec<(String, String)> {
    let mut needles = Vec::new();
    let key = key();
    let lines = key.lines().filter(|line| !line.starts_with("-----"));
    let secrets = [OPEN, TOKEN, ACCESS].into_iter().chain(lines);
    for secret in secrets {
        let percent = |keep: &str| -> String {
            let mut text = String::new();
            for byte in secret.bytes() {
                if byte.is_ascii_alphanumeric() || keep.contains(char::from(byte)) {
                    text.push(char::from(byte));
                } else {
                    let _infallible = write!(text, "%{byte:02X}");
                }
            }
            text
        };
        let json = json!(secret).to_string();
        for (form, text) in [
            ("as it is", secret.to_owned()),
            ("in lower case", secret.to_ascii_lowercase()),
            ("percent-encoded", percent("-._~")),
            ("percent-encoded for a path", percent("-._~!$&'()*+,;=:@/")),
            ("in JSON", json.trim_matches('"').to_owned()),
            ("in base64", STANDARD_NO_PAD.encode(secret)),
            ("in base64url", URL_SAFE_NO_PAD.encode(secret)),
        ] {
            needles.push((format!("{secret} {form}"), text));
        }
    }
    needles
}

/// A P-256 key; the one of RFC 7515, appendix A.3.
fn key() -> String {
    fs::read_to_string(repository("host/src/egress/tests/keys/ec.pem")).unwrap()
}

/// Which needle is in the bytes.
fn found_in(bytes: &[u8]) -> Option<String> {
    let is_in = |text: &str| memchr::memmem::find(bytes, text.as_bytes()).is_some();
    needles().into_iter().find(|(_, text)| is_in(text)).map(|(what, _)| what)
}

/// Every file below, with what was found in it.
fn search(folder: &Path, found: &mut Vec<String>, seen: &mut usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, found, seen);
        // Where the operator has put them, and the guest that knows how they are called.
        } else if !matches!(path.file_name().unwrap().to_str(), Some(".env" | "key.pem")) {
            *seen += 1;
            let what = found_in(&fs::read(&path).unwrap());
            found.extend(what.map(|what| format!("{what}: in {}", path.display())));
        }
    }
}

/// Tenant A with the guest as the channels of these names.
fn folder(provider: &Provider, elsewhere: &Provider, grants: &str, names: &[String]) -> Folder {
    let mut folder = Folder::new();
    fs::write(folder.file("leaky.wasm"), fixture("leaky")).unwrap();
    fs::write(folder.file("key.pem"), key()).unwrap();
    // In single quotes, as the value has a double one.
    folder.env("OPEN", OPEN).env("TOKEN", &format!("'{TOKEN}'"));
    let (url, elsewhere) = (provider.url(""), elsewhere.url("/else"));
    folder.plugin(
        "leaky",
        &format!(
            "source = \"leaky.wasm\"\n[plugin.grants]\nhosts = [\"{url}\"]\naddresses = \
             [\"127.0.0.0/8\"]\n{grants}"
        ),
    );
    for name in names {
        folder.channel(
            "leaky",
            &format!(
                "name = \"{name}\"\n[channel.secrets]\nOPEN = \"OPEN\"\nTOKEN = \"TOKEN\"\nKEY = {{ \
                 file = \"key.pem\" }}\n[channel.options]\nurl = \"{url}\"\nelsewhere = \
                 \"{elsewhere}\"\n[channel.retry]\nfirst_ms = 50\nattempts = 2\nspan_ms = 1000"
            ),
        );
    }
    folder
}

fn few() -> Vec<String> {
    ["path", "ask", "elsewhere", "keep"].map(String::from).to_vec()
}

/// A provider that repeats all secrets in everything that is read of an answer.
fn echo(status: u16, provider: &Provider) -> Reply {
    let all = format!("{TOKEN} {OPEN} {ACCESS}");
    Reply::status(status)
        .header("x-echo", &all)
        .header("location", &provider.url("/canary-access-3Hn8pQxY"))
        .json(&json!({ "all": all, "token": TOKEN }))
}

#[tokio::test]
async fn no_secret_is_written_anywhere_while_a_guest_tells_it_in_every_way() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    // Each failure has a channel of its own, for some of them stop theirs.
    let ways = || WAYS.iter().chain(&MORE_WAYS);
    let statuses = [400, 503];
    let name = |status: u16| ways().map(move |way| format!("{way}-{status}"));
    let names: Vec<String> = statuses.into_iter().flat_map(name).collect();
    let mut folder = folder(&provider, &elsewhere, "reveal = [\"OPEN\"]", &names);
    folder.process.push((String::from("RUST_LOG"), String::from("debug,conductor=trace")));
    let mut host = TestHost::start(folder).await;
    let events = host.call("GET", "/events").key(KEY_A).open().await;

    let mut answers = String::new();
    for status in statuses {
        for way in ways() {
            match *way {
                "keep" => {
                    provider.then(Reply::status(200).body(ACCESS));
                    provider.otherwise(Reply::status(status).body(ACCESS));
                }
                _ => {
                    provider.otherwise(echo(status, &provider));
                }
            }
            let answer = host.send(&format!("{way}-{status}"), way).await;
            if let Some(id) = answer.json["id"].as_str() {
                answers.push_str(&host.notification(id).await.text);
            }
            answers.push_str(&answer.text);
        }
    }
    // That the guest has had them, and that it did use them.
    let used = provider.seen().into_iter().find(|seen| seen.header("x-token") == TOKEN).unwrap();
    assert_eq!(used.json["token"].as_str().unwrap_or(TOKEN), TOKEN);
    assert!(provider.seen().iter().any(|seen| seen.header("x-token") == ACCESS));
    let signed = |token: &str| token.starts_with("bearer ") && token.split('.').count() == 3;
    let token = provider.seen().iter().find(|seen| signed(seen.header("authorization"))).cloned();
    let token = token.unwrap().header("authorization").replace("bearer ", "");
    assert_eq!(elsewhere.seen().len(), 0);
    let revealed = "the value of the secret OPEN was read by the plugin";
    host.logged(&[revealed]).await;

    // A start that fails with it.
    let generation = host.generation().await;
    host.channels = host.channels.replace("elsewhere =", "at_start = true\nelsewhere =");
    host.write();
    eventually("the reload", async || (host.generation().await > generation).then_some(())).await;
    let answer = host.send("use-400", "use").await;
    answers.push_str(&host.notification(&answer.id()).await.text);
    answers.push_str(&answer.text);
    assert!(answers.contains("cannot start with [secret]"), "{answer:?}");

    for path in [
        "/health",
        "/metrics",
        "/ready",
        "/channels",
        "/notifications",
        "/admin/audit",
        "/openapi.json",
        "/admin/nothing",
    ] {
        for key in [KEY_A, KEY_ADMIN] {
            answers.push_str(&host.call("GET", path).key(key).send().await.text);
        }
    }
    let listing = format!("/admin/notifications?tenant={TENANT_A}");
    answers.push_str(&host.call("GET", &listing).key(KEY_ADMIN).send().await.text);
    answers.push_str(&streamed(events).await);
    let backup = host.file("backup.db");
    run(&host, &["backup", "--to", backup.to_str().unwrap()]);
    answers.push_str(&run(&host, &["audit"]));
    answers.push_str(&run(&host, &["check"]));
    assert!(answers.contains("secret-revealed") && answers.contains("notification.dead"));
    host.kill().await;
    answers.push_str(&host.stdout());
    answers.push_str(&host.stderr());
    assert!(answers.len() > 200_000 && answers.contains("[secret]"), "{}", answers.len());

    let mut found = Vec::new();
    for line in answers.lines() {
        found.extend(found_in(line.as_bytes()).map(|what| format!("{what}: told in {line}")));
        assert!(!line.contains(&token), "a signed token is told in {line}");
    }
    let mut files = 0;
    search(host.path(), &mut found, &mut files);
    assert!(files > 8 && host.file("data/queue.db").exists() && backup.exists(), "{files} files");
    assert_eq!(found, Vec::<String>::new());

    // That the search would have found them.
    let planted = host.file("data/planted");
    fs::create_dir(&planted).unwrap();
    for (_, text) in needles() {
        replace(&planted.join("file"), format!("before{text}after"));
        let mut found = Vec::new();
        search(&planted, &mut found, &mut files);
        assert_eq!(found.len(), 1, "{text}");
    }
}

/// What has come of a stream of events by now.
async fn streamed(mut events: reqwest::Response) -> String {
    let mut text = String::new();
    while let Ok(Ok(Some(chunk))) =
        tokio::time::timeout(Duration::from_millis(500), events.chunk()).await
    {
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    text
}

/// Runs a command beside the host: what it said.
fn run(host: &TestHost, args: &[&str]) -> String {
    let output = conductor(host).args(args).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).into_owned()
}

#[tokio::test]
async fn a_value_is_given_to_a_plugin_only_where_the_operator_grants_it() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    let host = TestHost::start(folder(&provider, &elsewhere, "", &few())).await;
    let answer = host.send("path", "path").await;
    answer.assert_problem(424, "channel-misconfigured");
    assert_eq!(answer.json["code"], "secret_denied", "{answer:?}");
    assert!(!provider.seen().iter().any(|seen| seen.path.contains(OPEN)));
    let denied = audited(&host, "reveal-denied: channel \"path\", plugin \"leaky\"").await;
    assert!(denied.contains("the value of the secret OPEN"), "{denied}");
    let health = host.health().await;
    assert_eq!(health["status"], "degraded", "an honest plugin does not ask");
    assert!(health["securityAlarms"].to_string().contains("reveal-denied"), "{health}");

    let (mut folder, _) = host.stop().await;
    folder.plugins.push_str("reveal = [\"OPEN\"]\n");
    let host = TestHost::start(folder).await;
    assert_eq!(host.send("path", "path").await.status, 200);
    let seen = provider.seen();
    assert!(seen.iter().any(|seen| seen.path.contains(OPEN)), "{seen:?}");
    let revealed = audited(&host, "secret-revealed: channel \"path\"").await;
    assert!(revealed.contains("OPEN"), "{revealed}");
    assert_eq!(host.send("path", "path").await.status, 200);
    let trail = host.call("GET", "/admin/audit").key(KEY_ADMIN).send().await.text;
    let lines = trail.matches("secret-revealed: channel \\\"path\\\"").count();
    assert_eq!(lines, 1, "once for each binding: {trail}");
    assert_eq!(host.health().await["securityAlarmCount"], 0, "what is granted is no alarm");
}

/// The detail of the first event of the trail that contains the text.
async fn audited(host: &TestHost, text: &str) -> String {
    eventually(format_args!("an event with {text}"), async || {
        let answer = host.call("GET", "/admin/audit?limit=1000").key(KEY_ADMIN).send().await;
        let mut events = answer.text.lines().map(|line| serde_json::from_str(line).unwrap());
        events.find_map(|event: Value| {
            let detail = event["detail"].as_str()?;
            detail.contains(text).then(|| detail.to_owned())
        })
    })
    .await
}

#[tokio::test]
async fn a_secret_on_its_way_to_where_it_may_not_go_raises_an_alarm() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    let mut folder = folder(&provider, &elsewhere, "", &few());
    let url = provider.url("");
    let both = format!("hosts = [\"{url}\", \"{}\"]", elsewhere.url(""));
    folder.plugins = folder.plugins.replace(&format!("hosts = [\"{url}\"]"), &both);
    let _written = write!(folder.plugins, "\n[plugin.grants.secrets]\nTOKEN = [\"{url}\"]\n");
    let host = TestHost::start(folder).await;
    assert_eq!(host.send("ask", "ask").await.status, 200, "the host itself is granted");
    assert_eq!(elsewhere.seen().len(), 1);

    let answer = host.send("elsewhere", "elsewhere").await;
    answer.assert_problem(424, "channel-misconfigured");
    assert!(answer.json["detail"].as_str().unwrap().contains("secret \"TOKEN\" may not be sent"));
    assert_eq!(elsewhere.seen().len(), 1, "nothing was sent");
    let event = audited(&host, "secret-denied: channel \"elsewhere\", plugin \"leaky\"").await;
    assert!(event.contains(&elsewhere.url("")), "{event}");
    let metric =
        "conductor_egress_denied_total{plugin=\"leaky\",reason=\"secret\",enforced=\"true\"}";
    assert_eq!(host.metric(metric).await, 1.0);
    let health = host.health().await;
    assert_eq!((&health["status"], &health["securityAlarmCount"]), (&json!("degraded"), &json!(1)));
    let open = host.get("/health").await.json;
    assert!(open["securityAlarms"].is_null() && open["securityAlarmCount"] == 1, "{open}");
}

#[tokio::test]
async fn an_exchanged_credential_is_kept_by_the_host_and_shared_by_the_instances() {
    let (provider, elsewhere) = (Provider::start().await, Provider::start().await);
    let host = TestHost::start(folder(&provider, &elsewhere, "", &few())).await;
    provider.then(Reply::status(200).body(ACCESS));
    provider.otherwise(Reply::status(200).body(&format!("you are {ACCESS}")));
    for _ in 0..3 {
        let answer = host.send("keep", "keep").await;
        answer.assert_problem(422, "rejected");
        let detail = answer.json["detail"].as_str().unwrap();
        assert!(detail.ends_with("you are [secret]"), "{detail}");
    }
    let seen = provider.seen();
    assert_eq!(seen.iter().filter(|seen| seen.path == "/exchange").count(), 1);
    assert_eq!(seen.iter().filter(|seen| seen.header("x-token") == ACCESS).count(), 3);
}
