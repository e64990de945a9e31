//! Guests that take time: the processor's, or everybody's.

use super::arena::{all_are_contained, attack};

const CPU: &str = "cpu_ms = 50";
const WALL: &str = "wall_ms = 300";
const TOKEN: &str = "a-token-of-some-length-0123456789";

#[tokio::test]
async fn whoever_computes_without_end_is_stopped_at_the_cpu_limit() {
    all_are_contained(vec![
        attack("spin").limits(CPU).stopped_by("cpu_limit"),
        attack("spin_on_the_clock").limits(CPU).stopped_by("cpu_limit"),
        attack("spin_while_polling").limits(CPU).stopped_by("cpu_limit"),
        attack("memory_then_spin").limits(CPU).stopped_by("cpu_limit"),
        attack("random_flood").limits(CPU).stopped_by("cpu_limit"),
    ])
    .await;
}

#[tokio::test]
async fn whoever_lets_the_host_compute_is_billed_for_it() {
    all_are_contained(vec![
        attack("long_host_calls").secret("TOKEN", TOKEN).limits(CPU).stopped_by("cpu_limit"),
        attack("long_formatting").limits(CPU).stopped_by("cpu_limit"),
    ])
    .await;
}

#[tokio::test]
async fn whoever_waits_without_end_is_stopped_at_the_wall_limit() {
    all_are_contained(vec![
        attack("sleep").limits(WALL).stopped_by("timeout"),
        attack("sleep_in_naps").limits(WALL).stopped_by("timeout"),
        attack("block_for_ever").limits(WALL).stopped_by("timeout"),
    ])
    .await;
}
