//! Guests that take memory: their own, and the host's.

use super::arena::{all_are_contained, attack};

const MIB_8: &str = "memory_mib = 8";

#[tokio::test]
async fn whoever_takes_more_memory_than_it_may_is_stopped_there() {
    all_are_contained(vec![
        attack("memory").limits(MIB_8).stopped_by("memory_limit"),
        attack("memory_at_once").limits(MIB_8).stopped_by("memory_limit"),
        attack("memory").named("memory-of-the-default").stopped_by("memory_limit"),
    ])
    .await;
}

#[tokio::test]
async fn a_leak_ends_an_instance_and_the_channel_goes_on_in_a_new_one() {
    let attacks = vec![attack("leak").limits(MIB_8).answered("leaked")];
    let host = all_are_contained(attacks).await;
    let faults = "conductor_guest_faults_total{plugin=\"leak\",kind=\"memory\"}";
    let mut delivered = 0;
    while host.metric(faults).await < 2.0 {
        delivered += usize::from(host.send("leak", "one more").await.status == 200);
    }
    assert!(delivered >= 4, "{delivered}");
}

#[tokio::test]
async fn whoever_fills_the_hosts_tables_is_stopped_there() {
    all_are_contained(vec![
        attack("resource_flood").stopped_by("host_call_limit"),
        attack("pollable_flood").stopped_by("host_call_limit"),
        attack("stream_flood").stopped_by("host_call_limit"),
        attack("fields_flood").stopped_by("host_call_limit"),
    ])
    .await;
}
