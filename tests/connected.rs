//! Connected plugins: one instance for each channel from the start, with a connection that lives on.

use std::time::Duration;

use serde_json::{Value, json};

use crate::kit::{Echo, Folder, KEY_ADMIN, TestHost, eventually, fixture, replace};

/// A host with the fixture as tenant A's channel `guest`.
fn folder(echo: &Echo, options: &str) -> Folder {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("connected")).unwrap();
    let origin = format!("ws://127.0.0.1:{}", echo.port());
    folder.plugin(
        "guest",
        &format!(
            "source = \"guest.wasm\"\n[plugin.grants]\nhosts = [\"{origin}\"]\naddresses = \
             [\"127.0.0.1\"]\n[plugin.limits]\ncpu_ms = 50"
        ),
    );
    folder.channel("guest", &format!("[channel.options]\nurl = \"{origin}/\"\n{options}"));
    folder
}

async fn opened(echo: &Echo, count: usize) {
    eventually(format_args!("connection {count}"), async || (echo.opened() >= count).then_some(()))
        .await;
}

async fn is(host: &TestHost, status: &str) {
    eventually(format_args!("health {status}"), async || {
        (host.health().await["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_is_there_before_the_first_message_and_carries_it() {
    let echo = Echo::start(0).await;
    let host = TestHost::start(folder(&echo, "")).await;
    opened(&echo, 1).await;
    let answer = host.send("guest", "over the wire").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(echo.heard(), ["over the wire"]);
    let (_folder, ended) = host.stop().await;
    assert!(ended.stderr.contains("connected ends after 1 connections"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_connection_that_is_cut_shows_in_health_and_comes_back_with_the_provider() {
    let echo = Echo::start(0).await;
    let port = echo.port();
    let host = TestHost::start(folder(&echo, "")).await;
    opened(&echo, 1).await;
    is(&host, "ok").await;
    drop(echo);
    is(&host, "degraded").await;
    let echo = Echo::start(port).await;
    opened(&echo, 1).await;
    is(&host, "ok").await;
    assert_eq!(host.send("guest", "again").await.status, 200);
}

#[tokio::test]
async fn a_secret_leaves_in_a_text_and_does_not_come_back() {
    let echo = Echo::start(0).await;
    let mut folder = folder(&echo, "[channel.secrets]\nTOKEN = \"GUEST_TOKEN\"");
    folder.env("GUEST_TOKEN", "a-token-of-20-signs");
    let host = TestHost::start(folder).await;
    host.logged(&["heard {", "token"]).await;
    let heard = echo.heard();
    let said: serde_json::Value = serde_json::from_str(&heard[0]).unwrap();
    assert!(said["token"].as_str().unwrap().starts_with("a-token-of-20-"), "{heard:?}");
    assert!(!host.stderr().contains("a-token-of-20-"), "it is nowhere in the log");
}

#[tokio::test]
async fn a_connection_that_computes_from_turn_to_turn_is_stopped_and_told() {
    let echo = Echo::start(0).await;
    let host = TestHost::start(folder(&echo, "instead = \"spin from turn to turn\"")).await;
    host.logged(&["cpu_limit", "without a message to send"]).await;
    is(&host, "degraded").await;
    assert_eq!(host.send("log", "beside it").await.status, 200);
}

#[tokio::test]
async fn what_is_not_granted_cannot_be_connected_to() {
    let (echo, other) = (Echo::start(0).await, Echo::start(0).await);
    let mut folder = folder(&echo, "");
    let port = other.port();
    folder.channels = folder.channels.replace(&echo.port().to_string(), &port.to_string());
    let host = TestHost::start(folder).await;
    host.logged(&["no connection: ", "does not grant"]).await;
    assert_eq!((echo.opened(), other.opened()), (0, 0));
}

/// How often the connection of the channel was to be held.
fn runs(host: &TestHost) -> usize {
    host.log().iter().filter(|line| line.contains("run begins")).count()
}

/// The channel as `/health` tells it among those that hold a connection.
async fn connection(host: &TestHost) -> Value {
    host.health().await["connections"][0].clone()
}

/// Whether the trail has an event with this detail.
async fn on_record(host: &TestHost, detail: &str) {
    eventually(format_args!("an event: {detail}"), async || {
        let trail = host.call("GET", "/admin/audit").key(KEY_ADMIN).send().await.text;
        trail.contains(detail).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_only_the_operator_can_mend_is_told_and_left_until_something_changes() {
    let echo = Echo::start(0).await;
    let options = "instead = \"misconfigured\"\n[channel.retry]\nattempts = 1";
    let host = TestHost::start(folder(&echo, options)).await;
    host.logged(&["ERROR", "connection stopped", "the options say so", "told_to"]).await;
    on_record(&host, "connection stopped: configuration guest: told_to").await;
    let shown = connection(&host).await;
    assert_eq!(shown["state"], "misconfigured", "{shown}");
    let health = host.health().await;
    assert_eq!(health["status"], "degraded");
    assert_eq!(
        (&health["unwell"][0]["state"], &health["unwell"][0]["detail"]),
        (&json!("misconfigured"), &json!("the options say so"))
    );
    let bindings = host.call("GET", "/admin/bindings").key(KEY_ADMIN).send().await.json;
    assert_eq!(bindings["items"][0]["state"], "misconfigured", "{bindings}");
    let stopped = "conductor_breakers_open{plugin=\"guest\",scope=\"configuration\"}";
    assert!((host.metric(stopped).await - 1.0).abs() < f64::EPSILON);

    // What becomes of messages is the plugin's own word, and its instance lives on.
    assert_eq!(host.send("guest", "without it").await.status, 200);
    assert_eq!((&connection(&host).await["instances"], runs(&host)), (&json!(1), 1));
    // Nor is an instance told to open it that takes the place of one that fails.
    host.hand_over("guest", "trap").await;
    host.logged(&["an instance was stopped", "trap"]).await;
    eventually("a message by the next instance", async || {
        (host.send("guest", "without it").await.status == 200).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(runs(&host), 1, "{}", host.stderr());
    assert_eq!(connection(&host).await["state"], "misconfigured");

    let mended = host.channels.replace("instead = \"misconfigured\"", "");
    replace(&host.file("channels.toml"), mended);
    opened(&echo, 1).await;
    on_record(&host, "connection released: configuration guest").await;
    eventually("a connection that is well", async || {
        matches!(connection(&host).await["state"].as_str(), Some("idle" | "running")).then_some(())
    })
    .await;
    assert!(host.metric(stopped).await.abs() < f64::EPSILON);
}

#[tokio::test]
async fn a_connection_that_ends_for_a_time_is_not_made_again_before_the_plugin_said() {
    let echo = Echo::start(0).await;
    let host = TestHost::start(folder(&echo, "instead = \"end for 3 s\"")).await;
    let told = host.logged(&["started again in 3000 ms", "the options say so (told_to)"]).await;
    assert!(told.contains("WARN"), "{told}");
    eventually("an unhealthy channel", async || {
        (connection(&host).await["state"] == "unhealthy").then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(runs(&host), 1);
    eventually("the next instance", async || (runs(&host) >= 2).then_some(())).await;
}

#[tokio::test]
async fn a_plugin_with_nothing_to_hold_goes_on_without_a_connection() {
    let echo = Echo::start(0).await;
    let host = TestHost::start(folder(&echo, "instead = \"nothing\"")).await;
    host.logged(&["run begins"]).await;
    assert_eq!(host.send("guest", "without it").await.status, 200);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let shown = connection(&host).await;
    assert_eq!((&shown["state"], &shown["instances"], runs(&host)), (&json!("idle"), &json!(1), 1));
}
