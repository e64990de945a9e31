//! Who shares connections with whom.

use std::{sync::Arc, time::Duration};

use super::kit::{Door, LONG, OK, Provider, Script, egress, get};
use crate::ids::Digest;

#[tokio::test]
async fn channels_of_one_plugin_under_one_policy_share_connections() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let egress = egress();
    let doors = [
        Door::to_loopback().with_secret("a", "first tenant").open(&egress),
        Door::to_loopback().with_secret("a", "second tenant").open(&egress),
    ];
    for door in doors.iter().chain(&doors) {
        door.fetch(get(&provider.url("/")), LONG).await.unwrap();
    }
    assert_eq!((provider.accepted(), provider.seen().len()), (1, 4));
}

#[tokio::test]
async fn another_policy_or_another_plugin_has_connections_of_its_own() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let egress = egress();
    let same = Door::to_loopback();
    let mut other_policy = Door::to_loopback();
    other_policy.grants.addresses.push("10.0.0.0/8".parse().unwrap());
    let mut other_plugin = Door::to_loopback();
    other_plugin.digest = Digest::of(b"another plugin");
    let doors = [same, other_policy, other_plugin].map(|door| door.open(&egress));
    for door in doors.iter().chain(&doors) {
        door.fetch(get(&provider.url("/")), LONG).await.unwrap();
    }
    assert_eq!((provider.accepted(), provider.seen().len()), (3, 6));
}

#[tokio::test]
async fn the_connections_close_when_the_last_channel_goes() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let egress = egress();
    let first = Door::to_loopback().open(&egress);
    let second = Door::to_loopback().open(&egress);
    first.fetch(get(&provider.url("/")), LONG).await.unwrap();
    drop(first);
    second.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!((provider.accepted(), provider.open()), (1, 1));
    drop(second);
    closes(&provider, 0).await;
    let third = Door::to_loopback().open(&egress);
    third.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!(provider.accepted(), 2);
}

/// Waits until so many connections are open.
async fn closes(provider: &Provider, open: usize) {
    for _ in 0..100 {
        if provider.open() == open {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(provider.open(), open);
}

#[tokio::test]
async fn a_retired_channel_closes_what_is_idle_and_ends_what_runs() {
    let idle = Provider::start(Script::Answer(OK)).await;
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 40\r\n\r\n";
    let slow = Provider::start(Script::Drip(head, "x", 25)).await;
    let egress = egress();
    let door = Door::to_loopback().open(&egress);
    door.fetch(get(&idle.url("/")), LONG).await.unwrap();
    let (running, url) = (Arc::clone(&door), slow.url("/"));
    let running = tokio::spawn(async move { running.fetch(get(&url), LONG).await });
    while slow.seen().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((idle.open(), slow.open()), (1, 1));

    door.retire();
    closes(&idle, 0).await;
    assert_eq!(slow.open(), 1, "what runs is not cut off");
    let answer = running.await.unwrap().unwrap();
    assert_eq!(answer.body().len(), 40);
    closes(&slow, 0).await;

    // A call that still runs gets its requests out, over connections that are not kept.
    door.fetch(get(&idle.url("/")), LONG).await.unwrap();
    closes(&idle, 0).await;
}

#[tokio::test]
async fn a_channel_that_stays_keeps_the_connections_that_it_shares() {
    let provider = Provider::start(Script::Answer(OK)).await;
    let egress = egress();
    let doors = [Door::to_loopback().open(&egress), Door::to_loopback().open(&egress)];
    doors[0].fetch(get(&provider.url("/")), LONG).await.unwrap();
    doors[0].retire();
    doors[0].retire();
    doors[1].fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!((provider.accepted(), provider.open()), (1, 1));
    // One that comes after the last has gone begins anew.
    doors[1].retire();
    closes(&provider, 0).await;
    let third = Door::to_loopback().open(&egress);
    third.fetch(get(&provider.url("/")), LONG).await.unwrap();
    third.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!(provider.accepted(), 2);
}

#[tokio::test]
async fn no_more_requests_run_at_the_same_time_than_a_channel_may_have() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n";
    let provider = Provider::start(Script::Drip(head, "x", 25)).await;
    let door = Door { egress_max: 3, ..Door::to_loopback() }.open_alone();
    let mut running = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let (door, url) = (Arc::clone(&door), provider.url("/"));
        running.spawn(async move { door.fetch(get(&url), LONG).await.is_ok() });
    }
    let mut most = 0;
    while let Ok(next) = tokio::time::timeout(Duration::from_millis(5), running.join_next()).await {
        let Some(answered) = next else { break };
        assert!(answered.unwrap(), "what waits is sent when its turn comes");
        most = most.max(provider.open());
    }
    while let Some(answered) = running.join_next().await {
        most = most.max(provider.open());
        assert!(answered.unwrap());
    }
    assert!((1..=3).contains(&most) && provider.accepted() <= 3, "{most} {}", provider.accepted());
    assert_eq!(provider.seen().len(), 12);
}
