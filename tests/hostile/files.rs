//! Files that are no plugins, and files that are never what they were a moment ago.

use std::{fs, io::Write as _, time::Duration};

use super::{
    arena::is_whole,
    neighbour::{self, Neighbour},
};
use crate::kit::{Folder, TestHost, eventually, fixture, replace};

/// A host with the fixture `versioned` from a file, and the neighbour.
async fn with_file() -> (TestHost, Neighbour) {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    fs::write(folder.file("plugin.wasm"), fixture("versioned-a")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"");
    folder.channel("versioned", "[channel.retry]\nfirst_ms = 100\nfactor = 1.0");
    let host = TestHost::start(folder).await;
    let neighbour = Neighbour::start(&host, provider);
    (host, neighbour)
}

async fn becomes(host: &TestHost, version: &str) {
    eventually(format_args!("version {version} answers"), async || {
        let answer = host.send("versioned", "which?").await;
        (answer.json["providerId"] == version).then_some(())
    })
    .await;
}

/// Puts something in the place of the plugin, which must be refused for `reason`.
async fn is_refused(host: &TestHost, put: impl FnOnce(&std::path::Path), reason: &str) {
    let first = host.log().len();
    let beside = host.file("beside");
    put(&beside);
    fs::rename(beside, host.file("plugin.wasm")).unwrap();
    host.logged_after(first, &["reload: ", reason]).await;
    host.logged_after(first, &["reload: rejected"]).await;
    let answer = host.send("versioned", "which?").await;
    assert_eq!(answer.json["providerId"], "1.0.0", "the old one serves on: {answer:?}");
    let health = host.health().await;
    assert!(health["lastReload"]["errors"].to_string().contains(reason), "{health}");
}

/// The same file with one name in it changed for another one of its length.
fn instead(file: &[u8], name: &str, other: &str) -> Vec<u8> {
    assert_eq!(name.len(), other.len());
    let mut changed = file.to_vec();
    let found: Vec<usize> =
        (0..file.len()).filter(|at| file[*at..].starts_with(name.as_bytes())).collect();
    assert!(!found.is_empty(), "{name} is nowhere");
    for at in found {
        changed[at..at + name.len()].copy_from_slice(other.as_bytes());
    }
    changed
}

#[tokio::test]
async fn what_is_no_plugin_is_refused_for_what_it_is() {
    let (host, neighbour) = with_file().await;
    let good = fixture("versioned-b");
    let random: Vec<u8> =
        (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let with_magic = [b"\0asm\x0d\0\x01\0", &random[..]].concat();
    let mut flipped = good.clone();
    for at in (1_000..flipped.len()).step_by(5_000) {
        flipped[at] ^= 0xff;
    }
    let of_the_future =
        instead(&good, "conductor:channel/channel@0.1.0", "conductor:channel/channel@7.1.0");
    let another_world =
        instead(&good, "conductor:channel/channel@0.1.0", "conductor:channel/tunnels@0.1.0");
    let asks_for_more =
        instead(&good, "conductor:channel/log@0.1.0", "conductor:channel/cmd@0.1.0");
    let incomplete = "not a complete WebAssembly file";
    let cases: [(&[u8], &str); 9] = [
        (b"", incomplete),
        (&random, incomplete),
        (&with_magic, incomplete),
        (&good[..good.len() - 1], incomplete),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm\x0d\0\x01\0", "exports no conductor:channel/channel"),
        (&of_the_future, "it was built for conductor:channel/channel@7.1.0"),
        (&another_world, "exports no conductor:channel/channel"),
        (&asks_for_more, "it does not fit this host"),
    ];
    for (bytes, reason) in cases {
        is_refused(&host, |path| fs::write(path, bytes).unwrap(), reason).await;
    }
    is_refused(&host, |path| fs::write(path, flipped).unwrap(), "plugin \\\"versioned\\\"").await;
    let sparse = |bytes| {
        move |path: &std::path::Path| fs::File::create(path).unwrap().set_len(bytes).unwrap()
    };
    is_refused(&host, sparse((32 << 20) + 1), "more than the 33554432").await;
    is_refused(&host, sparse(200 << 20), "more than the 33554432").await;
    let rejected = host.metric("conductor_reloads_total{outcome=\"rejected\"}").await;
    assert!(rejected >= 12.0, "{rejected}");
    replace(&host.file("plugin.wasm"), good);
    becomes(&host, "2.0.0").await;
    neighbour.was_well().await;
    is_whole(&host).await;
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_not_waited_for() {
    let (host, neighbour) = with_file().await;
    let links_to = |to: &'static str| {
        move |path: &std::path::Path| std::os::unix::fs::symlink(to, path).unwrap()
    };
    is_refused(&host, links_to("/dev/zero"), "there is no file").await;
    is_refused(&host, links_to("plugin.wasm"), "there is no file").await;
    let pipe = |path: &std::path::Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
        assert!(made.success());
    };
    is_refused(&host, pipe, "there is no file").await;
    replace(&host.file("plugin.wasm"), fixture("versioned-b"));
    becomes(&host, "2.0.0").await;
    neighbour.was_well().await;
    is_whole(&host).await;
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_read_is_taken_when_it_is_whole() {
    let (host, neighbour) = with_file().await;
    let (one, other) = (fixture("versioned-a"), fixture("versioned-b"));
    for round in 0..8 {
        let next = if round % 2 == 0 { &other } else { &one };
        // In place, in two halves, with time for somebody to look between them.
        let mut file = fs::File::create(host.file("plugin.wasm")).unwrap();
        let (first, second) = next.split_at(next.len() / 2);
        file.write_all(first).unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        file.write_all(second).unwrap();
        drop(file);
        assert_eq!(host.send("versioned", "meanwhile").await.status, 200);
    }
    replace(&host.file("plugin.wasm"), other);
    becomes(&host, "2.0.0").await;
    neighbour.was_well().await;
    is_whole(&host).await;
}

#[tokio::test]
async fn a_storm_of_a_hundred_swaps_loses_nothing_and_ends_with_the_last() {
    let (host, neighbour) = with_file().await;
    let (one, other) = (fixture("versioned-a"), fixture("versioned-b"));
    for swap in 0..100 {
        // Nine that follow each other at once, and a tenth that has time to come into force: now
        // the one, now the other.
        let pause = swap % 10 == 0;
        let which = if pause { swap / 10 } else { swap };
        replace(&host.file("plugin.wasm"), if which % 2 == 0 { &other } else { &one });
        if pause {
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        if swap % 5 == 0 {
            assert_eq!(host.send("versioned", "in the storm").await.status, 200);
        }
    }
    replace(&host.file("plugin.wasm"), &other);
    becomes(&host, "2.0.0").await;
    let swapped = host.log().iter().filter(|line| line.contains("swapped versioned")).count();
    assert!(swapped >= 2, "{swapped} came into force");
    neighbour.was_well().await;
    is_whole(&host).await;
}

#[tokio::test]
async fn a_swap_to_a_crasher_and_back_loses_nothing() {
    let (host, neighbour) = with_file().await;
    let first = host.log().len();
    replace(&host.file("plugin.wasm"), fixture("crash"));
    host.logged_after(first, &["reload: in force", "swapped versioned"]).await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(host.hand_over("versioned", &format!("number {n}")).await);
    }
    replace(&host.file("plugin.wasm"), fixture("versioned-b"));
    for id in ids {
        host.reaches(&id, "delivered").await;
    }
    becomes(&host, "2.0.0").await;
    let faults = "conductor_guest_faults_total{plugin=\"versioned\",kind=\"trap\"}";
    assert!(host.metric(faults).await >= 1.0);
    neighbour.was_well().await;
    is_whole(&host).await;
}

#[tokio::test]
async fn a_message_whose_call_hangs_during_a_swap_is_delivered_by_the_new_file() {
    let mut folder = Folder::new();
    let provider = neighbour::moves_in(&mut folder).await;
    fs::write(folder.file("plugin.wasm"), fixture("sleepy")).unwrap();
    folder.plugin("versioned", "source = \"plugin.wasm\"\n[plugin.limits]\nwall_ms = 2000");
    folder.channel(
        "versioned",
        "[channel.retry]\nfirst_ms = 100\nfactor = 1.0\n[channel.options]\nms = 60000",
    );
    let mut host = TestHost::start(folder).await;
    let neighbour = Neighbour::start(&host, provider);
    let hanging = host.hand_over("versioned", "hangs").await;
    eventually("the call has begun", async || {
        let live = "conductor_instances_live{plugin=\"versioned\"}";
        (host.metric(live).await >= 1.0).then_some(())
    })
    .await;
    host.channels = host.channels.replace("[channel.options]\nms = 60000", "");
    replace(&host.file("plugin.wasm"), fixture("versioned-b"));
    host.write();
    becomes(&host, "2.0.0").await;
    host.reaches(&hanging, "delivered").await;
    let attempts = host.notification(&hanging).await.json["attempts"].clone();
    assert_eq!(attempts[0]["outcome"], "timeout", "{attempts}");
    assert_eq!(attempts[1]["providerId"], "2.0.0", "{attempts}");
    let faults = "conductor_guest_faults_total{plugin=\"versioned\",kind=\"timeout\"}";
    assert!(host.metric(faults).await >= 1.0);
    neighbour.was_well().await;
    is_whole(&host).await;
}
