//! Connected plugins: one instance for each channel from the start, with a connection that lives on.

use crate::kit::{Echo, Folder, TestHost, eventually, fixture};

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
