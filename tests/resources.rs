//! What guests use: counted, seen, bounded together, and given back.

use std::fs;

use serde_json::{Value, json};

use crate::kit::{
    Answer, Folder, KEY_ADMIN, KEY_B, Provider, TENANT_A, TENANT_B, TestHost, conductor,
    eventually, fixture,
};

/// The channel `told` for tenants A and B, with more lines of its plugin.
fn told(limits: &str) -> Folder {
    let mut folder = Folder::new();
    fs::write(folder.file("told.wasm"), fixture("told")).unwrap();
    folder.plugin("told", &format!("source = \"told.wasm\"\n[plugin.limits]\n{limits}"));
    folder.channel("told", "[channel.retry]\nattempts = 1");
    let of_b = folder.channels.replace(TENANT_A, TENANT_B);
    folder.channels.push_str(&of_b);
    folder
}

async fn send_as_b(host: &TestHost, channel: &str, message: &str) -> Answer {
    let body = json!({"channel": channel, "message": message});
    host.call("POST", "/notifications").key(KEY_B).json(&body).send().await
}

async fn bindings(host: &TestHost, query: &str) -> Value {
    let answer = host.call("GET", &format!("/admin/bindings{query}")).key(KEY_ADMIN).send().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json
}

async fn instances(host: &TestHost, plugin: &str) -> f64 {
    host.metric(&format!("conductor_instances_live{{plugin=\"{plugin}\"}}")).await
}

#[tokio::test]
async fn what_each_channel_uses_is_listed_and_sorted_by_what_is_asked_about() {
    let mut folder = told("");
    let provider = Provider::start().await;
    folder.webhook(&provider.url("/hook"));
    let host = TestHost::start(folder).await;
    assert_eq!(host.send("told", "take 20").await.status, 200);
    assert_eq!(send_as_b(&host, "told", "take 1").await.status, 200);
    for _ in 0..3 {
        assert_eq!(send_as_b(&host, "log", &"x".repeat(500)).await.status, 200);
    }
    assert_eq!(host.send("webhook", &"y".repeat(1_000)).await.status, 200);

    let all = bindings(&host, "").await;
    assert_eq!(all["total"], 4, "{all}");
    let cpu: Vec<f64> = items(&all).iter().map(|one| one["cpuMs"].as_f64().unwrap()).collect();
    assert!(cpu.is_sorted_by(|one, next| one >= next) && cpu[3] > 0.0, "{all}");

    let memory = bindings(&host, "?sort=memory&plugin=told").await;
    let peaks: Vec<u64> =
        items(&memory).iter().map(|one| one["memoryBytesPeak"].as_u64().unwrap()).collect();
    assert!(peaks[0] >= 20 << 20 && peaks[1] < 20 << 20, "{memory}");
    assert_eq!((&memory["items"][0]["tenantId"], &memory["total"]), (&json!(TENANT_A), &json!(2)));

    let calls = bindings(&host, "?sort=calls&limit=1").await;
    assert_eq!(calls["items"][0]["channel"], "log", "{calls}");
    assert_eq!(
        (&calls["items"][0]["calls"], &calls["items"][0]["tenantName"]),
        (&json!(3), &json!("B"))
    );
    assert!(calls["items"][0]["logBytes"].as_u64().unwrap() >= 1_500, "{calls}");
    assert!(calls["items"][0]["hostCalls"].as_u64().unwrap() >= 3, "{calls}");
    let next = calls["nextCursor"].as_str().unwrap();
    let rest = bindings(&host, &format!("?sort=calls&cursor={next}")).await;
    assert_eq!((items(&rest).len(), &rest["nextCursor"]), (3, &Value::Null), "{rest}");

    let out = &bindings(&host, "?sort=bytesOut").await["items"][0];
    assert_eq!(out["channel"], "webhook", "{out}");
    assert!(out["bytesOut"].as_u64().unwrap() > 1_000, "{out}");
    assert!(out["bytesIn"].as_u64().unwrap() > 0, "{out}");
    let of_b = bindings(&host, &format!("?tenant={TENANT_B}")).await;
    assert_eq!(of_b["total"], 2, "{of_b}");
    let wrong = host.call("GET", "/admin/bindings?sort=colour").key(KEY_ADMIN).send().await;
    wrong.assert_problem(400, "invalid-request");

    // The same by plugin, for graphs.
    let of = async |name: &str, plugin: &str| {
        host.metric(&format!("conductor_guest_{name}{{plugin=\"{plugin}\"}}")).await
    };
    assert!(of("memory_peak_bytes", "told").await >= f64::from(20 << 20));
    assert!(of("sent_bytes_total", "webhook").await > 1_000.0);
    assert!(of("received_bytes_total", "webhook").await > 0.0);
    assert!(of("logged_bytes_total", "log").await >= 1_500.0);
    assert!(of("cpu_seconds_total", "told").await > 0.0);
    assert!(of("host_calls_total", "webhook").await >= 1.0);
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}

#[tokio::test]
async fn an_instance_that_is_idle_is_closed_and_its_memory_is_given_back() {
    let host = TestHost::start_with(told(""), &["--instance-idle-seconds", "2"]).await;
    assert_eq!(host.send("told", "take 20").await.status, 200);
    let guests = host.health().await["guests"].clone();
    assert!(guests["memoryBytes"].as_u64().unwrap() > 20 << 20, "{guests}");
    assert_eq!(instances(&host, "told").await, 1.0);
    eventually("it is closed", async || (instances(&host, "told").await == 0.0).then_some(()))
        .await;
    eventually("its memory is given back", async || {
        let guests = host.health().await["guests"].clone();
        (guests["memoryBytes"] == 0 && guests["instances"] == 0).then_some(())
    })
    .await;
    assert_eq!(host.send("told", "again").await.status, 200);
}

#[tokio::test]
async fn at_the_bound_of_all_instances_the_longest_idle_one_makes_room() {
    let host = TestHost::start_with(told(""), &["--instances-max", "2"]).await;
    assert_eq!(host.send("told", "first").await.status, 200);
    assert_eq!(send_as_b(&host, "told", "second").await.status, 200);
    assert_eq!(host.health().await["guests"]["instances"], 2);
    // Both are idle and there is no room for a third: it is served all the same.
    assert_eq!(host.send("log", "third").await.status, 200);
    assert_eq!(send_as_b(&host, "log", "fourth").await.status, 200);
    let guests = host.health().await["guests"].clone();
    assert!(guests["instances"].as_u64().unwrap() <= 2, "{guests}");
    assert_eq!(guests["instancesMax"], 2);
}

#[tokio::test]
async fn all_guests_together_never_have_more_memory_than_they_may() {
    let args = ["--guest-memory-mib", "64", "--instance-idle-seconds", "2"];
    let host = TestHost::start_with(told("memory_mib = 60"), &args).await;
    assert_eq!(host.send("told", "take 40").await.status, 200);
    // What B may have by its own limit is not there: that is nobody's fault, and it waits.
    let body = json!({"channel": "told", "message": "take 40"});
    let call = host.call("POST", "/notifications").key(KEY_B).json(&body);
    let waits = call.header("prefer", "wait=1").send().await;
    assert_eq!(waits.status, 202, "{waits:?}");
    let guests = host.health().await["guests"].clone();
    assert!(guests["memoryBytes"].as_u64() <= guests["memoryBytesMax"].as_u64(), "{guests}");
    assert_eq!(guests["memoryBytesMax"], 64 << 20);
    assert!(host.metric("conductor_guest_memory_denied_total{plugin=\"told\"}").await >= 1.0);
    assert_eq!(host.send("log", "small ones are served").await.status, 200);

    // As soon as the first one's instance is idle for long enough there is room.
    let id = waits.id();
    let detail = eventually("it is delivered", async || {
        let answer = host.call("GET", &format!("/notifications/{id}")).key(KEY_B).send().await;
        (answer.json["status"] == "delivered").then_some(answer.json)
    })
    .await;
    assert_eq!(detail["attempts"][0]["outcome"], "unavailable", "{detail}");
    assert_eq!(detail["attempts"][0]["code"], "host_memory", "{detail}");
    let faults = "conductor_guest_faults_total{plugin=\"told\",kind=\"memory\"}";
    assert_eq!(host.metric(faults).await, 0.0);
    assert_eq!(host.health().await["status"], "ok");
}

#[tokio::test]
async fn a_plugin_that_could_never_have_its_memory_is_refused_at_the_start() {
    let folder = told("memory_mib = 128");
    let (_folder, ended) = TestHost::refused(folder, &["--guest-memory-mib", "100"]).await;
    assert_eq!(ended.code, Some(78));
    for part in ["plugins.toml:", "memory_mib = 128", "100 MiB", "--guest-memory-mib"] {
        assert!(ended.stderr.contains(part), "{part}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn the_status_command_says_on_one_screen_how_the_host_is() {
    let host = TestHost::start(told("")).await;
    assert_eq!(host.send("told", "x").await.status, 200);
    let status = || conductor(&host).args(["status", "--url", host.base()]).output().unwrap();
    let (well, said) = (status(), |text: &[u8]| String::from_utf8_lossy(text).into_owned());
    let screen = said(&well.stdout);
    assert_eq!(well.status.code(), Some(0), "{screen}");
    for part in ["ok, version 0.", "generation 1", "2 tenant(s)", "plugin told 0.1.0: running"] {
        assert!(screen.contains(part), "{part}: {screen}");
    }
    for number in 0..5 {
        host.send("told", &format!("panic {number}")).await.assert_problem(424, "delivery-failed");
    }
    let ill = status();
    let screen = said(&ill.stdout);
    assert_eq!(ill.status.code(), Some(1), "{screen}");
    assert!(screen.starts_with("degraded") && screen.contains("quarantined, trap"), "{screen}");
}
