//! Who shares connections with whom.

use std::time::Duration;

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
    for _ in 0..100 {
        if provider.open() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(provider.open(), 0);
    let third = Door::to_loopback().open(&egress);
    third.fetch(get(&provider.url("/")), LONG).await.unwrap();
    assert_eq!(provider.accepted(), 2);
}
