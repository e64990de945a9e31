//! Channels whose plugin does not stop failing, and messages that make it fail: who waits, who is
//! given up, and how it ends.

use std::{fs, process::Output};

use serde_json::{Value, json};

use crate::kit::{
    Answer, Folder, KEY_A, KEY_ADMIN, TENANT_A, TestHost, conductor, eventually, fixture, replace,
};

const GONE: &str = "conductor_quarantined{plugin=\"told\"}";

/// A host whose channel `told` of tenant A does what its messages say.
async fn host(retry: &str) -> TestHost {
    let mut folder = Folder::new();
    fs::write(folder.file("told.wasm"), fixture("told")).unwrap();
    folder.plugin("told", "source = \"told.wasm\"");
    folder.channel("told", &format!("[channel.retry]\n{retry}"));
    TestHost::start(folder).await
}

/// Different messages, each of which makes the plugin fail and is given up.
async fn fail_five_times(host: &TestHost) {
    for number in 0..5 {
        let answer = host.send("told", &format!("panic {number}")).await;
        answer.assert_problem(424, "delivery-failed");
    }
}

async fn admin(host: &TestHost, method: &str, path: &str) -> Answer {
    host.call(method, path).key(KEY_ADMIN).send().await
}

async fn plugin(host: &TestHost, name: &str) -> Value {
    let answer = admin(host, "GET", "/admin/plugins").await;
    let plugins = answer.json["items"].as_array().unwrap();
    plugins.iter().find(|plugin| plugin["name"] == name).unwrap().clone()
}

/// The kinds of the events so far, those of reloads and the like left out.
async fn events(host: &TestHost) -> Vec<(String, String)> {
    let trail = admin(host, "GET", "/admin/audit").await.text;
    let events = trail.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["kind"].as_str().unwrap().starts_with("plugin."))
        .map(|event| {
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            (text("kind"), text("detail"))
        })
        .collect()
}

async fn has_event(host: &TestHost, kind: &str, detail: &str) {
    eventually(format_args!("an event {kind} with {detail}"), async || {
        let found = |(of, said): &(String, String)| of == kind && said.contains(detail);
        events(host).await.iter().any(found).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_poisonous_message_is_given_up_and_the_others_are_delivered() {
    let host = host("first_ms = 100\nfactor = 1.0\nattempts = 10").await;
    let poison = host.hand_over("told", "panic").await;
    let mut sent = 0;
    let ended = loop {
        assert_eq!(host.send("told", &format!("good {sent}")).await.status, 200);
        sent += 1;
        let now = host.notification(&poison).await.json;
        if now["status"] == "dead" {
            break now;
        }
        assert!(sent < 5_000, "{now}");
    };
    let attempts = ended["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 3, "{ended}");
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "crashed"), "{ended}");
    let last = attempts.iter().max_by_key(|attempt| attempt["number"].as_u64()).unwrap();
    let detail = last["detail"].as_str().unwrap();
    assert!(detail.contains("other messages got through"), "{ended}");
    assert_eq!(host.metric("conductor_quarantines_total{plugin=\"told\"}").await, 0.0);
    // A channel pauses for a tenth of a second after a crash, and is unwell meanwhile.
    eventually("the pause after the last crash is over", async || {
        (host.health().await["status"] == "ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_message_alone_is_tried_as_its_policy_says_and_is_no_quarantine() {
    let host = host("first_ms = 100\nfactor = 1.0\nattempts = 7").await;
    let id = host.hand_over("told", "panic").await;
    let ended = host.reaches(&id, "dead").await;
    assert_eq!(ended["attempts"].as_array().unwrap().len(), 7, "{ended}");
    assert_eq!(host.metric("conductor_quarantines_total{plugin=\"told\"}").await, 0.0);
    assert_eq!(host.send("told", "good").await.status, 200);
}

#[tokio::test]
async fn different_messages_that_fail_put_the_channel_into_quarantine_until_a_probe_succeeds() {
    let host = host("attempts = 1").await;
    fail_five_times(&host).await;
    assert_eq!(host.metric(GONE).await, 1.0);
    let health = host.health().await;
    assert_eq!(health["status"], "degraded", "{health}");
    assert_eq!(health["unwell"][0]["state"], "quarantined", "{health}");
    assert!(health["unwell"][0]["detail"].as_str().unwrap().contains("trap"), "{health}");
    let told = plugin(&host, "told").await;
    assert_eq!(told["state"], "quarantined", "{told}");
    assert_eq!((&told["quarantined"], &told["strikes"]), (&json!(1), &json!(5)), "{told}");
    assert!(told["lastFault"]["detail"].as_str().unwrap().contains("trap"), "{told}");
    has_event(&host, "plugin.quarantined", "channel \"told\" (plugin told): trap").await;

    // Its messages wait and burn no attempt; the neighbours notice nothing.
    let waiting = host.hand_over("told", "good").await;
    assert_eq!(host.send("log", "beside it").await.status, 200);
    let seen = host.notification(&waiting).await.json;
    assert_eq!(seen["status"], "queued", "{seen}");
    assert!(seen["attempts"].as_array().unwrap().is_empty(), "{seen}");

    // After its pause one is let through, and its success is the end.
    let delivered = host.reaches(&waiting, "delivered").await;
    assert_eq!(delivered["attempts"].as_array().unwrap().len(), 1, "{delivered}");
    assert_eq!(host.metric(GONE).await, 0.0);
    assert_eq!(host.health().await["status"], "ok");
    has_event(&host, "plugin.released", "a call has ended well").await;
}

#[tokio::test]
async fn a_probe_that_fails_doubles_the_pause_and_costs_the_message_no_attempt() {
    let host = host("attempts = 1").await;
    fail_five_times(&host).await;
    let probe = host.hand_over("told", "panic once more").await;
    let page = eventually("the probe has failed", async || {
        let page = admin(&host, "GET", "/admin/quarantine").await.json;
        (page["items"][0]["failedProbes"] == 1).then_some(page)
    })
    .await;
    assert_eq!(page["total"], 1, "{page}");
    let moment = |name: &str| {
        let text = page["items"][0][name].as_str().unwrap();
        text.parse::<jiff::Timestamp>().unwrap()
    };
    let lasts = moment("opensAt").duration_since(moment("since"));
    assert!(lasts >= jiff::SignedDuration::from_secs(29), "10 s, and 20 s after that: {page}");
    let seen = host.reaches(&probe, "retrying").await;
    assert_eq!(seen["attempts"].as_array().unwrap().len(), 1, "one that does not count: {seen}");

    // The operator says that it is mended. The message is tried at its own time.
    let path = format!("/admin/quarantine/{TENANT_A}/told");
    let answer = admin(&host, "DELETE", &path).await;
    assert_eq!((answer.status, &answer.json["released"]), (200, &json!(1)));
    admin(&host, "DELETE", &path).await.assert_problem(404, "not-quarantined");
    assert_eq!(host.send("told", "good").await.status, 200);
    has_event(&host, "plugin.released", "the operator has cleared it").await;
    assert_eq!(host.metric(GONE).await, 0.0);
}

#[tokio::test]
async fn the_operator_ends_a_quarantine_from_the_command_line() {
    let host = host("attempts = 1").await;
    let run = |args: &[&str]| -> Output {
        let mut command = conductor(&host);
        command.arg("quarantine").args(args).args(["--url", host.base()]).output().unwrap()
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).trim().to_owned();
    fail_five_times(&host).await;
    let listed = said(&run(&["list"]));
    assert!(listed.contains(TENANT_A) && listed.contains("trap"), "{listed}");
    let waiting = host.hand_over("told", "good").await;
    let cleared = run(&["clear", "--plugin", "told"]);
    assert_eq!((cleared.status.code(), said(&cleared)), (Some(0), "released 1 channel(s)".into()));
    host.reaches(&waiting, "delivered").await;
    assert_eq!(said(&run(&["list"])), "0 channel(s) in quarantine");
    let gone = run(&["clear", "--tenant-id", TENANT_A, "--channel", "told"]);
    assert_eq!(gone.status.code(), Some(1), "{gone:?}");
    assert_eq!(run(&["clear"]).status.code(), Some(64), "it wants to be told which");
}

#[tokio::test]
async fn a_mended_file_ends_a_quarantine_and_its_messages_are_delivered() {
    let mut folder = Folder::new();
    fs::write(folder.file("plugin.wasm"), fixture("told")).unwrap();
    folder.plugin("told", "source = \"plugin.wasm\"");
    folder.channel("told", "[channel.retry]\nfirst_ms = 100\nfactor = 1.0");
    let host = TestHost::start(folder).await;
    assert_eq!(host.send("told", "good").await.status, 200);
    let mut waiting = Vec::new();
    for number in 0..6 {
        waiting.push(host.hand_over("told", &format!("panic {number}")).await);
    }
    has_event(&host, "plugin.quarantined", "told").await;
    replace(&host.file("plugin.wasm"), fixture("versioned-a"));
    for id in &waiting {
        host.reaches(id, "delivered").await;
    }
    has_event(&host, "plugin.released", "has changed").await;
    assert_eq!(host.metric(GONE).await, 0.0);
}

#[tokio::test]
async fn messages_that_have_another_channel_do_not_wait_for_a_quarantine() {
    let mut folder = Folder::new();
    fs::write(folder.file("told.wasm"), fixture("told")).unwrap();
    folder.plugin("told", "source = \"told.wasm\"");
    folder.channel("told", "fallback = [\"log\"]\n[channel.retry]\nattempts = 1");
    let host = TestHost::start(folder).await;
    for number in 0..5 {
        let answer = host.send("told", &format!("panic {number}")).await;
        assert_eq!(answer.status, 200, "the other channel has delivered it: {answer:?}");
    }
    assert_eq!(host.metric(GONE).await, 1.0);
    assert_eq!(host.send("told", "good").await.status, 200);
    let told = "conductor_deliveries_total{plugin=\"told\",outcome=\"unavailable\"}";
    assert_eq!(host.metric(told).await, 1.0);
    let log = "conductor_deliveries_total{plugin=\"log\",outcome=\"delivered\"}";
    assert_eq!(host.metric(log).await, 6.0);
}

#[tokio::test]
async fn the_state_of_a_plugin_follows_its_files() {
    let mut folder = Folder::new();
    fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"");
    folder.channel("versioned", "[channel.retry]\nfirst_ms = 100\nfactor = 1.0");
    let host = TestHost::start(folder).await;
    let first = plugin(&host, "versioned").await;
    assert_eq!(first["state"], "probation", "{first}");
    assert_eq!(host.send("versioned", "x").await.status, 200);
    let proven = plugin(&host, "versioned").await;
    assert_eq!(proven["state"], "running", "{proven}");
    assert_eq!((&proven["version"], &proven["channels"]), (&json!("1.0.0"), &json!(1)));
    assert_eq!(proven["lastGoodDigest"], proven["digest"], "{proven}");
    assert!(proven["source"].as_str().unwrap().ends_with("plugin.wasm"), "{proven}");
    assert_eq!(proven["since"], first["since"], "{proven}");

    // One that fails with every message: what ran before comes back, and both are told.
    replace(&host.file("plugin.wasm"), fixture("crash"));
    host.logged(&["reload: in force", "swapped versioned"]).await;
    let id = host.hand_over("versioned", "which?").await;
    host.reaches(&id, "delivered").await;
    let back = plugin(&host, "versioned").await;
    assert_eq!(back["state"], "rolled-back", "{back}");
    assert_eq!(back["digest"], proven["digest"], "{back}");
    assert!(back["refusedDigest"].is_string() && back["refusedDigest"] != back["digest"], "{back}");
    assert!(back["why"].as_str().unwrap().contains("trap"), "{back}");
    has_event(&host, "plugin.rolled-back", "versioned").await;

    // A good one in its place, and all is as it was.
    replace(&host.file("plugin.wasm"), fixture("versioned-b"));
    eventually("the next version runs", async || {
        let next = plugin(&host, "versioned").await;
        (next["version"] == "2.0.0" && next["state"] == "probation").then_some(())
    })
    .await;
    assert_eq!(host.send("versioned", "x").await.status, 200);
    assert_eq!(plugin(&host, "versioned").await["state"], "running");
}

#[tokio::test]
async fn a_reload_that_is_asked_for_is_answered_with_what_came_of_it() {
    let mut host = host("attempts = 1").await;
    let same = admin(&host, "POST", "/admin/reload").await;
    assert_eq!((same.status, &same.json["outcome"]), (200, &json!("unchanged")), "{same:?}");
    // The files are written while the watcher may look as well: who is first has it applied.
    let before = host.generation().await;
    host.channel("told", "name = \"second\"");
    host.write();
    let applied = admin(&host, "POST", "/admin/reload").await;
    assert_eq!(applied.status, 200, "{applied:?}");
    assert_eq!(applied.json["generation"], before + 1, "{applied:?}");
    assert_eq!(host.send("second", "good").await.status, 200, "it is in force");
    host.channel("nothing", "name = \"third\"");
    host.write();
    let rejected = admin(&host, "POST", "/admin/reload").await;
    rejected.assert_problem(422, "reload-rejected");
    assert!(rejected.json["reasons"].to_string().contains("channels.toml:"), "{rejected:?}");
}

#[tokio::test]
async fn what_is_the_operators_is_closed_to_tenants() {
    let host = host("attempts = 1").await;
    let release = format!("/admin/quarantine/{TENANT_A}/told");
    for (method, path) in [
        ("GET", "/admin/plugins"),
        ("GET", "/admin/quarantine"),
        ("DELETE", "/admin/quarantine"),
        ("DELETE", release.as_str()),
        ("POST", "/admin/reload"),
        ("GET", "/admin/audit"),
        ("GET", "/admin/notifications"),
    ] {
        let answer = host.call(method, path).key(KEY_A).send().await;
        answer.assert_problem(403, "wrong-key");
        host.call(method, path).send().await.assert_problem(401, "no-key");
    }
    // And the operator is no tenant.
    let body = json!({"channel": "log", "message": "x"});
    let answer = host.call("POST", "/notifications").key(KEY_ADMIN).json(&body).send().await;
    answer.assert_problem(403, "wrong-key");
}
