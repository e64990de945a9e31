//! Guests that misbehave while they send: the host ends them, says what happened, and the channel
//! next to them does not notice.

use serde_json::json;

use crate::kit::{Answer, Folder, KEY_B, TENANT_B, TestHost, fixture};

/// A host with the fixture as tenant A's channel `guest`; it is tried once.
async fn with_guest(name: &str, limits: &str, options: &str) -> TestHost {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture(name)).unwrap();
    folder.plugin("guest", &format!("source = \"guest.wasm\"\n[plugin.limits]\n{limits}"));
    let more = format!("[channel.options]\n{options}\n[channel.retry]\nattempts = 1");
    folder.channel("guest", &more);
    TestHost::start(folder).await
}

/// Sends to the guest and to the channel beside it at the same time.
async fn send(host: &TestHost) -> Answer {
    let (answer, beside) = tokio::join!(host.send("guest", "x"), host.send("log", "beside it"));
    assert_eq!(beside.status, 200, "{beside:?}");
    answer
}

async fn is_given_up(host: &TestHost, outcome: &str, fault: &str) {
    let answer = send(host).await;
    answer.assert_problem(424, "delivery-failed");
    assert_eq!(answer.json["outcome"], outcome, "{answer:?}");
    let metric = format!("conductor_guest_faults_total{{plugin=\"guest\",kind=\"{fault}\"}}");
    assert_eq!(host.metric(&metric).await, 1.0, "{metric}");
    assert_eq!(host.send("log", "after it").await.status, 200);
}

#[tokio::test]
async fn a_guest_that_traps_is_given_up() {
    let host = with_guest("crash", "", "").await;
    is_given_up(&host, "crashed", "trap").await;
}

#[tokio::test]
async fn a_guest_that_computes_without_end_is_stopped_at_its_cpu_limit() {
    let host = with_guest("spin", "cpu_ms = 50", "").await;
    is_given_up(&host, "limit", "cpu").await;
}

#[tokio::test]
async fn a_guest_that_takes_too_much_memory_is_stopped_at_its_limit() {
    let host = with_guest("memory", "memory_mib = 8", "").await;
    is_given_up(&host, "limit", "memory").await;
}

#[tokio::test]
async fn a_guest_that_sleeps_too_long_is_stopped_at_its_wall_limit() {
    let host = with_guest("sleepy", "wall_ms = 200", "ms = 60000").await;
    is_given_up(&host, "timeout", "timeout").await;
}

#[tokio::test]
async fn a_guest_that_floods_the_log_is_cut_and_its_message_delivered() {
    for to in ["log", "stdout", "stderr"] {
        let options = format!("to = \"{to}\"\nlines = 5000\nbytes = 200");
        let host = with_guest("flood", "", &options).await;
        assert_eq!(send(&host).await.status, 200);
        let lines = host.log().iter().filter(|line| line.contains("xxxxxxxxxx")).count();
        assert!((1..1000).contains(&lines), "{to}: {lines} of 5000 lines are in the log");
        let dropped = host.metric("conductor_log_lines_dropped_total{plugin=\"guest\"}").await;
        assert!(dropped > 4000.0, "{to}: {dropped}");
    }
}

#[tokio::test]
async fn a_guest_that_cannot_start_stops_the_start_with_its_reason() {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("crash")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"");
    folder.channel("guest", "[channel.options]\nwhen = \"initialize\"");
    let (folder, ended) = TestHost::refused(folder, &[]).await;
    assert_eq!(ended.code, Some(78));
    assert!(ended.stderr.contains("`initialize` failed"), "{}", ended.stderr);

    let host = TestHost::start_with(folder, &["--degraded"]).await;
    assert_eq!(host.health().await["status"], "degraded");
    assert_eq!(host.send("log", "the rest runs").await.status, 200);
}

#[tokio::test]
async fn state_is_kept_between_messages_and_no_tenant_sees_anothers() {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("stateful")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"").channel("guest", "");
    let of_b = folder.channels.replace(crate::kit::TENANT_A, TENANT_B);
    folder.channels.push_str(&of_b);
    let host = TestHost::start(folder).await;
    for n in 1..=3 {
        let answer = host.send("guest", "x").await;
        assert_eq!(answer.json["providerId"], format!("{n}:{n}"), "{answer:?}");
    }
    let body = json!({"channel": "guest", "message": "x"});
    let answer = host.call("POST", "/notifications").key(KEY_B).json(&body).send().await;
    assert_eq!(answer.json["providerId"], "1:1", "tenant B begins at the beginning");

    let (_folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0));
    for line in ["stateful ends after 3", "stateful ends after 1"] {
        assert!(ended.stderr.contains(line), "{line}: shutdown is called\n{}", ended.stderr);
    }
}

#[tokio::test]
async fn a_guest_that_hangs_in_its_shutdown_keeps_the_host_no_longer_than_it_may() {
    let mut folder = Folder::new();
    std::fs::write(folder.file("guest.wasm"), fixture("sleepy")).unwrap();
    folder.plugin("guest", "source = \"guest.wasm\"");
    folder.channel("guest", "[channel.options]\nwhen = \"shutdown\"\nms = 600000");
    let host = TestHost::start_with(folder, &["--degraded"]).await;
    let problems = host.health().await["problems"].to_string();
    assert!(problems.contains("`shutdown` failed"), "its trial has found out: {problems}");
    assert_eq!(host.send("guest", "x").await.status, 200);
    let (_folder, ended) = host.stop().await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
}
