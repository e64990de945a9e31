//! Plugins that are replaced on disk while the host runs: by better ones, by worse ones, and by
//! things that are no plugins.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::{Value, json};

use crate::kit::{Folder, KEY_A, TestHost, eventually, fixture, replace, shipped};

const FIRST: &str = "1.0.0";
const SECOND: &str = "2.0.0";

/// A host with the fixture `versioned`, from a file beside its configuration.
async fn with_file() -> TestHost {
    let mut folder = Folder::new();
    fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"");
    folder.channel("versioned", "[channel.retry]\nfirst_ms = 100\nfactor = 1.0");
    let host = TestHost::start(folder).await;
    assert_eq!(version(&host).await, FIRST);
    host
}

/// Which version answers.
async fn version(host: &TestHost) -> String {
    let answer = host.send("versioned", "which?").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json["providerId"].as_str().unwrap().to_owned()
}

async fn becomes(host: &TestHost, wanted: &str) {
    eventually(format_args!("version {wanted} answers"), async || {
        (version(host).await == wanted).then_some(())
    })
    .await;
}

fn digest_of<'h>(health: &'h Value, plugin: &str) -> &'h str {
    let plugins = health["plugins"].as_array().unwrap();
    plugins.iter().find(|one| one["name"] == plugin).unwrap()["digest"].as_str().unwrap()
}

#[tokio::test]
async fn a_plugin_that_is_replaced_on_disk_is_swapped_under_load_without_a_failed_request() {
    let host = with_file().await;
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (done, url) = (Arc::clone(&done), format!("{}/notifications", host.base()));
            tokio::spawn(async move {
                let client = reqwest::Client::builder().no_proxy().build().unwrap();
                let body = json!({"channel": "versioned", "message": "steady"}).to_string();
                let mut versions = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let call = client.post(&url).bearer_auth(KEY_A).body(body.clone());
                    let call = call.header("content-type", "application/json");
                    let answer = call.send().await.unwrap();
                    let (status, text) = (answer.status(), answer.text().await.unwrap());
                    assert_eq!(status, 200, "{text}");
                    let json: Value = serde_json::from_str(&text).unwrap();
                    versions.push(json["providerId"].as_str().unwrap().to_owned());
                }
                versions
            })
        })
        .collect();
    for (file, wanted) in [("versioned-b", SECOND), ("versioned-a", FIRST), ("versioned-b", SECOND)]
    {
        replace(&host.file("plugin.wasm"), fixture(file));
        becomes(&host, wanted).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        let versions = caller.await.unwrap();
        assert!(versions.contains(&FIRST.to_owned()) && versions.contains(&SECOND.to_owned()));
    }
    host.logged(&["reload: in force", "swapped versioned 2.0.0"]).await;
    let attempts =
        host.metric("conductor_deliveries_total{plugin=\"versioned\",outcome=\"crashed\"}");
    assert_eq!(attempts.await, 0.0);
}

#[tokio::test]
async fn a_plugin_that_is_written_in_place_piece_by_piece_is_swapped_when_it_is_whole() {
    let host = with_file().await;
    let next = fixture("versioned-b");
    let mut file = fs::File::create(host.file("plugin.wasm")).unwrap();
    for piece in next.chunks(next.len().div_ceil(4)) {
        std::io::Write::write_all(&mut file, piece).unwrap();
        assert_eq!(host.send("versioned", "meanwhile").await.status, 200);
    }
    drop(file);
    becomes(&host, SECOND).await;
}

#[tokio::test]
async fn a_plugin_behind_a_symbolic_link_is_swapped_with_the_link() {
    let mut folder = Folder::new();
    for (name, file) in [("one.wasm", "versioned-a"), ("two.wasm", "versioned-b")] {
        fs::write(folder.file(name), fixture(file)).unwrap();
    }
    std::os::unix::fs::symlink("one.wasm", folder.file("plugin.wasm")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"").channel("versioned", "");
    let host = TestHost::start(folder).await;
    assert_eq!(version(&host).await, FIRST);
    std::os::unix::fs::symlink("two.wasm", host.file("next")).unwrap();
    fs::rename(host.file("next"), host.file("plugin.wasm")).unwrap();
    becomes(&host, SECOND).await;
}

#[tokio::test]
async fn the_work_of_the_old_plugin_is_finished_by_the_old_one() {
    let mut folder = Folder::new();
    let provider = crate::kit::Provider::start().await;
    provider.hold();
    fs::write(folder.file("plugin.wasm"), shipped("webhook")).unwrap();
    folder.webhook(&provider.url("/hook"));
    folder.plugins =
        folder.plugins.replace("\"webhook\"\n", "\"webhook\"\nsource = \"plugin.wasm\"\n");
    let host = TestHost::start(folder).await;
    let old = digest_of(&host.health().await, "webhook").to_owned();
    let id = host.hand_over("webhook", "in flight").await;
    provider.asked(1).await;
    replace(&host.file("plugin.wasm"), another(&shipped("webhook")));
    host.logged(&["reload: in force", "swapped webhook"]).await;
    provider.release();
    let detail = host.reaches(&id, "delivered").await;
    assert_eq!(detail["attempts"][0]["digest"], old, "{detail}");
    assert_eq!(provider.seen().len(), 1, "it was neither broken off nor repeated");
    let next = host.send("webhook", "after").await.id();
    let detail = host.notification(&next).await.json;
    assert_ne!(detail["attempts"][0]["digest"], old);
}

/// The same component with one more custom section: another file that does the same.
fn another(component: &[u8]) -> Vec<u8> {
    const CUSTOM_SECTION: &[u8] = b"\0\x05\x04note";
    [component, CUSTOM_SECTION].concat()
}

/// `log.wasm` as if it were built for a version of the interface that is not there yet.
fn of_the_future() -> Vec<u8> {
    let (found, wanted) = (b"conductor:channel/channel@0.1.0", b"conductor:channel/channel@7.7.7");
    let mut bytes = shipped("log");
    let places: Vec<usize> = bytes
        .windows(found.len())
        .enumerate()
        .filter(|(_, at)| at == found)
        .map(|(n, _)| n)
        .collect();
    assert!(!places.is_empty(), "the name of the interface is in the file");
    for place in places {
        bytes[place..place + found.len()].copy_from_slice(wanted);
    }
    bytes
}

/// Puts a file in the place of the running plugin that must be refused for `reason`; the old one
/// serves on, and a good one is taken afterwards.
async fn is_refused(host: &TestHost, bytes: &[u8], reason: &str) {
    let before = host.generation().await;
    let first = host.log().len();
    replace(&host.file("plugin.wasm"), bytes);
    host.logged_after(first, &["reload: ", "versioned", reason]).await;
    host.logged_after(first, &["reload: rejected"]).await;
    assert_eq!(version(host).await, FIRST, "the old one serves on");
    let health = host.health().await;
    assert_eq!((&health["generation"], &health["status"]), (&json!(before), &json!("degraded")));
    assert!(health["lastReload"]["errors"].to_string().contains(reason), "{health}");
}

async fn is_well_again(host: &TestHost) {
    replace(&host.file("plugin.wasm"), fixture("versioned-b"));
    becomes(host, SECOND).await;
    assert_eq!(host.health().await["status"], "ok");
}

#[tokio::test]
async fn what_is_no_component_of_ours_is_refused_with_its_reason_and_the_old_one_serves_on() {
    let host = with_file().await;
    let good = fixture("versioned-b");
    let rejected = "conductor_reloads_total{outcome=\"rejected\"}";
    let cases: [(&[u8], &str); 7] = [
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "exports no conductor:channel/channel or"),
        (&good[..good.len() / 2], "not a complete WebAssembly file"),
        (b"", "not a complete WebAssembly file"),
        (b"#!/bin/sh\necho hello\n", "not a complete WebAssembly file"),
        (
            &of_the_future(),
            "built for conductor:channel/channel@7.7.7, and this host supports 0.1.0",
        ),
        (&shipped("webhook"), "url"),
    ];
    for (n, (bytes, reason)) in cases.into_iter().enumerate() {
        is_refused(&host, bytes, reason).await;
        assert!(host.metric(rejected).await > n as f64, "{reason}");
    }
    is_well_again(&host).await;
}

#[tokio::test]
async fn a_file_that_is_too_large_is_refused_without_being_taken_in() {
    let host = with_file().await;
    let beside = host.file("huge");
    fs::File::create(&beside).unwrap().set_len(3 << 30).unwrap();
    let first = host.log().len();
    fs::rename(beside, host.file("plugin.wasm")).unwrap();
    host.logged_after(first, &["reload: plugins.toml:", "more than the 33554432"]).await;
    assert_eq!(version(&host).await, FIRST);
    is_well_again(&host).await;
}

#[tokio::test]
async fn a_file_that_is_removed_is_reported_and_the_loaded_one_serves_on() {
    let host = with_file().await;
    let first = host.log().len();
    fs::remove_file(host.file("plugin.wasm")).unwrap();
    host.logged_after(first, &["reload: plugins.toml:", "plugin.wasm"]).await;
    assert_eq!(version(&host).await, FIRST);
    is_well_again(&host).await;
}

#[tokio::test]
async fn a_file_whose_digest_is_not_the_pinned_one_is_refused() {
    let mut folder = Folder::new();
    fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    let digest = ring::digest::digest(&ring::digest::SHA256, &fixture("versioned-a"));
    let digest: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let more = format!("source = \"plugin.wasm\"\ndigest = \"sha256:{digest}\"");
    folder.plugin("versioned", &more).channel("versioned", "");
    let host = TestHost::start(folder).await;
    is_refused(&host, &fixture("versioned-b"), &digest).await;
}

#[tokio::test]
async fn a_plugin_that_crashes_in_its_trial_never_serves_a_message() {
    for when in ["initialize", "health"] {
        let mut folder = Folder::new();
        fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
        folder.plugin("versioned", "source = \"plugin.wasm\"").channel("versioned", "");
        let mut host = TestHost::start(folder).await;
        assert_eq!(version(&host).await, FIRST);
        // Both change at once: `versioned` knows no option.
        let first = host.log().len();
        replace(&host.file("plugin.wasm"), fixture("crash"));
        host.channel("versioned", &format!("name = \"x\"\n[channel.options]\nwhen = \"{when}\""));
        host.write();
        host.logged_after(first, &["reload: ", "plugin \\\"versioned\\\"", when]).await;
        assert_eq!(version(&host).await, FIRST, "the old one serves on");
    }
}

#[tokio::test]
async fn a_plugin_that_crashes_after_its_swap_is_rolled_back_and_no_message_is_lost() {
    let host = with_file().await;
    let good = digest_of(&host.health().await, "versioned").to_owned();
    replace(&host.file("plugin.wasm"), fixture("crash"));
    host.logged(&["reload: in force", "swapped versioned"]).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(host.hand_over("versioned", &format!("number {n}")).await);
    }
    host.logged(&["reload: rolled back", "crashed before its first success", &good]).await;
    for id in &ids {
        let detail = host.reaches(id, "delivered").await;
        assert_eq!(detail["providerId"], FIRST, "{detail}");
    }
    let health = host.health().await;
    assert_eq!(digest_of(&health, "versioned"), good);
    assert_eq!(health["status"], "degraded");
    assert_eq!(host.metric("conductor_reloads_total{outcome=\"rolled-back\"}").await, 1.0);
    assert!(
        host.metric("conductor_guest_faults_total{plugin=\"versioned\",kind=\"trap\"}").await
            >= 3.0
    );

    // The bad file is still on disk: the next start serves with the last good one.
    let host = host.restart().await;
    for n in 0..3 {
        let id = host.hand_over("versioned", &format!("after {n}")).await;
        let detail = host.reaches(&id, "delivered").await;
        assert_eq!(detail["providerId"], FIRST, "{detail}");
    }
    is_well_again(&host).await;
}

#[tokio::test]
async fn a_start_with_an_unusable_file_serves_with_the_last_that_worked() {
    let mut host = with_file().await;
    eventually("a copy of it is kept", async || {
        host.data().join("plugins/versioned.wasm").exists().then_some(())
    })
    .await;
    host.kill().await;
    fs::write(host.file("plugin.wasm"), b"overwritten by accident").unwrap();
    let host = host.restart().await;
    assert_eq!(version(&host).await, FIRST);
    let health = host.health().await;
    assert_eq!(health["status"], "degraded");
    assert!(health["problems"].to_string().contains("The last file that worked runs"), "{health}");
    is_well_again(&host).await;
}

#[tokio::test]
async fn a_lazy_plugin_is_loaded_by_its_first_message() {
    let mut folder = Folder::new();
    fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"\nlazy = true").channel("versioned", "");
    let host = TestHost::start(folder).await;
    let state = async || {
        let health = host.health().await;
        let plugins = health["plugins"].as_array().unwrap();
        let lazy = plugins.iter().find(|one| one["name"] == "versioned").unwrap();
        lazy["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state().await, "not-loaded");
    assert_eq!(host.health().await["status"], "ok");
    assert_eq!(version(&host).await, FIRST, "in the time that a caller waits");
    assert_eq!(state().await, "loaded");
}
